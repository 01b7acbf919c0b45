"""The messages of the rollout path as values."""

from dataclasses import dataclass

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.specs import TaskSpec


@dataclass(frozen=True)
class SnapshotRef:
    """Names one immutable policy snapshot by the SHA-256 of its bytes."""

    hash: str
    version: int


@dataclass(frozen=True)
class CollectionRequest:
    """Some tasks to roll out under one snapshot; `id` is a digest of all the rest but the trace.

    `first_task` is the place of the first task on the task axis of a snapshot that has one; `traceparent` is the trace
    of who asks, in W3C's form (empty: none).
    """

    id: str
    run_id: str
    tasks: tuple[TaskSpec, ...]
    snapshot: SnapshotRef
    first_task: int
    plan: CollectionPlan
    reply_stream: str
    traceparent: str = ""


@dataclass(frozen=True)
class Origin:
    """Who made a part: the worker, its incarnation (start, ns since 1970), and the part's number from 0."""

    worker: str
    epoch: int
    sequence: int


@dataclass(frozen=True)
class RolloutPart:
    """Columns `first_column…` of the `width` columns of request `request_id`'s `task`-th rollout.

    `batch` is None when workers gave the request up; `error` says why.
    """

    request_id: str
    origin: Origin
    task: int = 0
    first_column: int = 0
    width: int = 0
    batch: RolloutBatch | None = None
    error: str = ""
