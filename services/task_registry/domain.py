"""What the registry keeps, as frozen values."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from lwmecps_core.results import Row
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import EnvSpec, TaskDistribution, TaskSpec
from services.common.run_spec import RunSpec

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
class Recording:
    """Recorded users `[steps, nodes]`; `sha256` is that of the elements, little-endian float64 in C order."""

    sha256: str
    steps: int
    nodes: int

    @property
    def size_bytes(self) -> int:
        """Size of the elements."""
        return 8 * self.steps * self.nodes


@dataclass(frozen=True)
class TaskSummary:
    """What a task is about; `kind` is `task` or `distribution`."""

    kind: str
    env_id: str
    family: str
    nodes: int
    deployments: int
    horizon: int
    recording: Recording | None = None


@dataclass(frozen=True)
class ListedTask:
    """A registered task, or a way to draw tasks, as lists show it; immutable."""

    id: str
    name: str
    summary: TaskSummary
    labels: dict[str, str]
    created_at: datetime
    etag: str


@dataclass(frozen=True)
class Task(ListedTask):
    """All of a registered task."""

    spec: TaskSpec | TaskDistribution


@dataclass(frozen=True)
class Run:
    """A run, its progress, and who holds it.

    `token` is the fencing token of the newest claim (0: never claimed) and only grows. `desired_state` is what people
    asked for; the learner that holds the run sees it in the answer to its reports. `etag` changes with the state and
    the desired state, `revision` grows with everything that a watcher wants to see. `traceparent` is the trace of the
    call that created it. `lost` counts the learners before this one that vanished with it in a row, without a step in
    between.
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
    wandb_run_id: str = ""
    waiting_for: str = ""
    lost: int = 0
    traceparent: str = ""
    revision: int = 1
    latest_metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric at one step of a run."""

    name: str
    step: int
    value: float
    time: datetime


@dataclass(frozen=True)
class Trace:
    """Time series by name, one value per control interval, of one step of a run."""

    step: int
    series: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class News:
    """A run as it is now, and what was reported about it since a revision."""

    run: Run
    metrics: tuple[MetricPoint, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a learner says about a run it holds; `None` and empty fields leave things as they are.

    `metrics`, `rows` of the results table and `traces` are added to what is there; what has the same key (name and
    step; task, method and inner steps; step) is replaced.
    """

    state: RunState = RunState.RUNNING
    step: int | None = None
    total_steps: int | None = None
    error: str = ""
    result_policy_id: str = ""
    wandb_run_id: str = ""
    metrics: tuple[MetricPoint, ...] = ()
    rows: tuple[Row, ...] = ()
    traces: tuple[Trace, ...] = ()


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
    algorithm: AlgorithmConfig
    env_spec: EnvSpec
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
class StoredMemory:
    """What a policy remembers of a task's cluster; `content` is empty where it was not asked for, `etag` its digest."""

    task_id: str
    name: str
    size_bytes: int
    etag: str
    created_at: datetime
    updated_at: datetime
    content: bytes = b""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, and the token that gets the next one (empty: this was the last)."""

    items: tuple[T, ...]
    next_page_token: str
