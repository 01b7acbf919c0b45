"""What a learner works on, and what it asks of the registry: plain values and one contract, free of gRPC."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.kinds import KINDS
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.collector import Collector
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import seeds
from services.common.run_spec import RunSpec


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
    policy: PolicyData | None
    source: TaskSource
    calibration: TaskSource
    origin: TaskSource
    collector: Collector
    start: LoopState | None


Loop = Callable[[LoopInput], Iterator[Progress]]


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

    def load_policy(self, policy_id: str) -> PolicyData:
        """A stored policy; `ModelFileNotFound` when its weights are missing."""

    def save_policy(self, job: Job, policy: PolicyData) -> str:
        """Store the run's result; the id of the new policy."""

    def save_checkpoint(self, job: Job, step: int, data: bytes) -> None:
        """Store the run's state after `step` steps in place of earlier ones."""

    def load_checkpoint(self, job: Job) -> bytes | None:
        """The newest checkpoint."""


def check_source(kind: str, items: Sequence[TaskSpec | TaskDistribution], num_tasks: int) -> None:
    """Raise `InvalidInput` when a run of this kind can't work on these tasks.

    The kind is empty for tasks that a run names beside those it works on.
    """
    distributions = sum(isinstance(item, TaskDistribution) for item in items)
    reason = ""
    if not items:
        raise InvalidInput("run", [Violation("task_ids", "at least one task is needed")])
    if distributions and not num_tasks and kind and KINDS[kind].one_by_one:
        reason = f"must be set when a run of kind {kind} names a task distribution"
    elif distributions and not num_tasks and len(items) > 1:
        reason = "must be set when a run names a task distribution beside other tasks"
    elif num_tasks and not distributions:
        reason = "must be 0 when a run names no task distribution"
    if reason:
        raise InvalidInput("run", [Violation("num_tasks", reason)])
    specs = {spec.env_id for spec in items}
    if len(specs) > 1:
        raise InvalidInput("run", [Violation("task_ids", f"tasks of one environment are needed, not {sorted(specs)}")])


def resolve_source(
    kind: str, items: Sequence[TaskSpec | TaskDistribution], num_tasks: int, task_seed: int
) -> TaskSource:
    """What a loop learns from: the tasks themselves, a distribution, or `num_tasks` tasks drawn from each in turn."""
    check_source(kind, items, num_tasks)
    given = tuple(item for item in items if isinstance(item, TaskSpec))
    distributions = [item for item in items if isinstance(item, TaskDistribution)]
    if not distributions:
        return given
    if not num_tasks:
        return distributions[0]
    drawn = enumerate(seeds(task_seed, "tasks", num_tasks))
    return given + tuple(draw(distributions[i % len(distributions)], seed) for i, seed in drawn)
