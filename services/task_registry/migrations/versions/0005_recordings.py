"""Recorded users lie beside their tasks, once each, and tasks have summaries for lists."""

import hashlib
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT = sa.String(255)
TASKS = sa.table("tasks", sa.column("id"), sa.column("kind"), sa.column("spec", sa.JSON), sa.column("summary", sa.JSON))
RECORDINGS = sa.table("recordings", sa.column("sha256"), sa.column("content", sa.LargeBinary))
LINKS = sa.table("task_recordings", sa.column("task_id"), sa.column("sha256"))


def upgrade() -> None:
    """Apply, one task after the other: all recordings may be more than fits into memory."""
    op.create_table(
        "recordings", sa.Column("sha256", TEXT, primary_key=True), sa.Column("content", sa.LargeBinary, nullable=False)
    )
    op.create_table(
        "task_recordings",
        sa.Column("task_id", TEXT, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("sha256", TEXT, sa.ForeignKey("recordings.sha256"), nullable=False, index=True),
    )
    op.add_column("tasks", sa.Column("summary", sa.JSON, nullable=False, server_default="{}"))
    for task_id in _ids():
        _take_out(task_id)


def downgrade() -> None:
    """Take back: recorded users go back into their tasks."""
    for task_id in _ids():
        _put_back(task_id)
    op.drop_column("tasks", "summary")
    op.drop_table("task_recordings")
    op.drop_table("recordings")


def _ids() -> list[str]:
    return list(op.get_bind().scalars(sa.select(TASKS.c.id)))


def _take_out(task_id: str) -> None:
    connection = op.get_bind()
    kind, spec = connection.execute(sa.select(TASKS.c.kind, TASKS.c.spec).where(TASKS.c.id == task_id)).one()
    summary = _summary(kind, spec)
    rows = _holder(spec).get("recorded_users")
    if rows:
        content = np.asarray(rows, "<f8").tobytes()
        sha256 = hashlib.sha256(content).hexdigest()
        summary["recording"] = {"sha256": sha256, "steps": len(rows), "nodes": len(rows[0])}
        if connection.scalar(sa.select(RECORDINGS.c.sha256).where(RECORDINGS.c.sha256 == sha256)) is None:
            connection.execute(RECORDINGS.insert().values(sha256=sha256, content=content))
        connection.execute(LINKS.insert().values(task_id=task_id, sha256=sha256))
        _holder(spec)["recorded_users"] = []
    connection.execute(TASKS.update().where(TASKS.c.id == task_id).values(spec=spec, summary=summary))


def _put_back(task_id: str) -> None:
    connection = op.get_bind()
    found = sa.select(RECORDINGS.c.content).join(LINKS, LINKS.c.sha256 == RECORDINGS.c.sha256)
    content = connection.scalar(found.where(LINKS.c.task_id == task_id))
    if content is not None:
        query = sa.select(TASKS.c.spec, TASKS.c.summary).where(TASKS.c.id == task_id)
        spec, summary = connection.execute(query).one()
        nodes = summary["recording"]["nodes"]
        _holder(spec)["recorded_users"] = np.frombuffer(content, "<f8").reshape(-1, nodes).tolist()
        connection.execute(TASKS.update().where(TASKS.c.id == task_id).values(spec=spec))


def _holder(spec: Any) -> Any:
    return spec.get("workload", spec)


def _summary(kind: str, spec: Any) -> dict[str, Any]:
    """What a spec of any earlier version says; what it leaves out has the default of that time."""
    one = kind == "task"
    return {
        "kind": kind,
        "env_id": spec.get("env_id", "lwmecps-v3"),
        "family": spec.get("family", "" if one else "mec_city"),
        "nodes": len(spec["cluster"]["nodes"]) if one else spec.get("nodes", 4),
        "deployments": len(spec["deployments"]) if one else spec.get("deployments", 4),
        "horizon": spec.get("horizon", 120),
        "recording": None,
    }
