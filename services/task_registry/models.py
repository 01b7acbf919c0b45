"""The tables. Lists are paged newest first by `seq`, which the database assigns in order of insertion."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Seq = BigInteger().with_variant(Integer, "sqlite")
"""SQLite assigns rowids only to columns of type INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """An instant in UTC; SQLite has no time zones, so it stores the same instant without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of every table."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: String(255),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        dict[str, str]: JSON(),
    }


class TaskRow(Base):
    """A registered task or task distribution.

    `spec` is what `lwmecps_core.config.dump` makes of it, without its recorded users; `summary` is a `TaskSummary`.
    """

    __tablename__ = "tasks"
    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    family: Mapped[str] = mapped_column(index=True)
    spec: Mapped[dict[str, Any]] = mapped_column(deferred=True)
    labels: Mapped[dict[str, str]]
    created_at: Mapped[datetime]
    etag: Mapped[str]
    summary: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class RecordingRow(Base):
    """Recorded users: little-endian float64 in C order; what tasks share is kept once."""

    __tablename__ = "recordings"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class TaskRecordingRow(Base):
    """The recording of a task that has one."""

    __tablename__ = "task_recordings"
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("recordings.sha256"), index=True)


class RunRow(Base):
    """A run, its progress and its lease."""

    __tablename__ = "runs"
    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    spec: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, str]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    etag: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    desired_state: Mapped[str]
    step: Mapped[int] = mapped_column(BigInteger)
    total_steps: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str]
    token: Mapped[int] = mapped_column(BigInteger)
    lease_expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(Text)
    result_policy_id: Mapped[str]
    wandb_run_id: Mapped[str]
    waiting_for: Mapped[str] = mapped_column(Text, server_default="")
    traceparent: Mapped[str] = mapped_column(server_default="")
    lost: Mapped[int] = mapped_column(server_default="0")
    revision: Mapped[int] = mapped_column(BigInteger)
    latest_metrics: Mapped[dict[str, Any]]


class RunTaskRow(Base):
    """A registered task that a run uses; the task may be deleted once the run has finished."""

    __tablename__ = "run_tasks"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[str] = mapped_column(primary_key=True, index=True)


class MetricRow(Base):
    """One value of one metric at one step of a run; null stands for NaN, which SQLite can't store."""

    __tablename__ = "metrics"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    time: Mapped[datetime]
    revision: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (Index("metrics_by_revision", "run_id", "revision"),)


class IdempotencyRow(Base):
    """What a creation with a `request_id` made, and a digest of what was asked."""

    __tablename__ = "idempotency_keys"
    scope: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    resource_id: Mapped[str]
    created_at: Mapped[datetime]


class ResultRow(Base):
    """One line of a run's results table, at the position of its first report."""

    __tablename__ = "result_rows"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    inner_steps: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    episode: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    figures: Mapped[dict[str, Any]]
    revision: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (Index("result_rows_by_revision", "run_id", "revision"),)


class TraceRow(Base):
    """One time series of a run: little-endian float64 values, one per control interval."""

    __tablename__ = "traces"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    values: Mapped[bytes] = mapped_column(LargeBinary)


class PolicyRow(Base):
    """A registered policy; the artefact columns are null until its weights are uploaded."""

    __tablename__ = "policies"
    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(index=True)
    run_id: Mapped[str] = mapped_column(index=True)
    algorithm: Mapped[dict[str, Any]]
    env_spec: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, str]]
    created_at: Mapped[datetime]
    etag: Mapped[str]
    artefact_key: Mapped[str | None]
    artefact_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    artefact_sha256: Mapped[str | None]


class CheckpointRow(Base):
    """A saved loop state of a run."""

    __tablename__ = "checkpoints"
    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    step: Mapped[int] = mapped_column(BigInteger)
    token: Mapped[int] = mapped_column(BigInteger)
    artefact_key: Mapped[str]
    artefact_size_bytes: Mapped[int] = mapped_column(BigInteger)
    artefact_sha256: Mapped[str]
    created_at: Mapped[datetime]


class MemoryRow(Base):
    """What a policy remembers of a task's cluster, under a name; its content is only loaded where it is read."""

    __tablename__ = "memories"
    seq: Mapped[int] = mapped_column(Seq, primary_key=True, autoincrement=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("task_id", "name", name="memories_by_name"),)
