"""What every training loop yields after each step, so that whoever drives it can report, pause and resume."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.specs import TaskDistribution, TaskSpec

TaskSource = TaskDistribution | tuple[TaskSpec, ...]
"""What a loop learns from: a way to draw tasks, or given tasks."""


@dataclass(frozen=True)
class LoopState:
    """A loop's complete state after `step` steps: handing it back resumes with identical results.

    `tensors` is flat (name → tensor); `scalars` is JSON-serialisable.
    """

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """One step of a loop: how far it is, its metrics, its state, and what it has produced so far.

    `policy` is the result so far (None for evaluations); `rows` the evaluation rows made in this step; `trace` the
    time series of the first task's first episode when the loop evaluates (name → values per interval).
    """

    step: int
    total: int
    metrics: dict[str, float]
    state: LoopState
    policy: PolicyData | None = None
    rows: tuple[Row, ...] = ()
    trace: dict[str, tuple[float, ...]] = field(default_factory=dict)
