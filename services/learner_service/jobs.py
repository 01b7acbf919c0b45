"""What a learner works on, and what it asks of the registry: plain values and one contract, free of gRPC."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lwmecps_core.results import Row
from lwmecps_core.specs import TaskDistribution, TaskSpec
from services.common.run_spec import RunSpec

if TYPE_CHECKING:  # who only claims runs needs no torch
    from lwmecps_core.policy import PolicyData
    from lwmecps_core.rollout.collector import Collector
    from lwmecps_core.training.progress import LoopState, Progress, TaskSource


class Wish(Enum):
    """What people want of a run, as the registry tells whoever holds it."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class End(Enum):
    """How a learner lets go of a run."""

    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Job:
    """A claimed run; `token` fences everything that is written about it."""

    run_id: str
    token: int
    spec: RunSpec
    labels: Mapping[str, str] = field(default_factory=dict)
    """What its creator wrote on it."""
    traceparent: str = ""
    """The trace that it belongs to."""


@dataclass(frozen=True)
class StepReport:
    """News about a run: how far it is (None: no step yet) and what came out since the last report.

    `metrics` is step → name → value.
    """

    step: int | None = None
    total: int | None = None
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    trace: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tracking_id: str = ""


@dataclass(frozen=True)
class LoopInput:
    """All that a loop gets: the claimed run, the policy and tasks that it names, the collector, and where to start.

    `origin` are the source tasks of a transfer.
    """

    job: Job
    policy: "PolicyData | None"
    source: "TaskSource"
    calibration: "TaskSource"
    origin: "TaskSource"
    collector: "Collector"
    start: "LoopState | None"


Loop = Callable[[LoopInput], Iterator["Progress"]]


class JobRegistry(Protocol):
    """The registry as the life of a run needs it.

    A call with a job raises `Conflict` when its token is stale, any call `ServiceUnavailable` when nobody answers.
    """

    def claim(self) -> Job | None:
        """A run that waits for a learner, now held by this one; None when there is none."""

    def heartbeat(self, job: Job, waiting_for: str = "") -> Wish:
        """Keep the lease, say what the run waits for (empty: nothing), and hear what people want. Does not retry."""

    def report(self, job: Job, news: StepReport) -> Wish:
        """Store news."""

    def finish(self, job: Job, end: End, news: StepReport, *, error: str = "", policy_id: str = "") -> None:
        """Store the last news and let go of the run."""

    def load_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskSpec | TaskDistribution]:
        """Registered tasks and distributions."""

    def load_policy(self, policy_id: str) -> "PolicyData":
        """A stored policy; `ModelFileNotFound` when its weights are missing."""

    def save_policy(self, job: Job, policy: "PolicyData") -> str:
        """Store the run's result; the id of the new policy."""

    def save_checkpoint(self, job: Job, step: int, data: bytes) -> None:
        """Store the run's state after `step` steps in place of earlier ones."""

    def load_checkpoint(self, job: Job) -> bytes | None:
        """The newest checkpoint."""
