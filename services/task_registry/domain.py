"""What the registry keeps: frozen values, free of both SQL and protobuf."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from lwmecps_core.progress import Row
from lwmecps_core.specs import TaskSpec

T = TypeVar("T")


class RunState(StrEnum):
    """A run's state: `PENDING → RUNNING ⇄ PAUSED → COMPLETED | FAILED | CANCELLED`."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether the run will never change state again."""
        return self in FINISHED


FINISHED = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True)
class Task:
    """A registered task; immutable, so its etag only changes by deletion."""

    id: str
    spec: TaskSpec
    labels: dict[str, str]
    created_at: datetime
    etag: str


@dataclass(frozen=True)
class RunSpec:
    """What a run is to do: its kind, the registered tasks and the policy it uses, and all settings as plain data."""

    kind: str
    settings: dict[str, Any]
    task_ids: tuple[str, ...] = ()
    policy_id: str = ""


@dataclass(frozen=True)
class Run:
    """A run, its progress, and who holds it.

    `token` is the fencing token of the newest claim (0: never claimed) and only grows. `desired_state` is what people
    asked for; the learner that holds the run sees it in the answer to its reports. `etag` changes with the state and
    the desired state, not with progress.
    """

    id: str
    spec: RunSpec
    labels: dict[str, str]
    created_at: datetime
    updated_at: datetime
    etag: str
    state: RunState = RunState.PENDING
    desired_state: RunState = RunState.RUNNING
    step: int = 0
    total_steps: int = 0
    owner: str = ""
    token: int = 0
    lease_expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    result_policy_id: str = ""
    tracking_id: str = ""
    latest_metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric at one step of a run."""

    name: str
    step: int
    value: float
    time: datetime


@dataclass(frozen=True)
class Report:
    """What a learner says about a run it holds; `None` and empty fields leave things as they are.

    `metrics`, `rows` of the results table and the `trace` (series by name, of the run's current step) are added to what
    is there; the same again changes nothing.
    """

    state: RunState = RunState.RUNNING
    step: int | None = None
    total_steps: int | None = None
    error: str = ""
    result_policy_id: str = ""
    tracking_id: str = ""
    metrics: tuple[MetricPoint, ...] = ()
    rows: tuple[Row, ...] = ()
    trace: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Artefact:
    """A stored file: its key in the artefact store, its size and the SHA-256 of its content (hex)."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Policy:
    """A registered policy; `artefact` is `None` until its weights are uploaded, and never changes afterwards."""

    id: str
    name: str
    run_id: str
    description: dict[str, Any]
    labels: dict[str, str]
    created_at: datetime
    etag: str
    artefact: Artefact | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The complete state of a run's loop after `step` steps, saved by the holder of fencing token `token`."""

    id: str
    run_id: str
    step: int
    token: int
    artefact: Artefact
    created_at: datetime


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, and the token that gets the next one (empty: this was the last)."""

    items: tuple[T, ...]
    next_page_token: str
