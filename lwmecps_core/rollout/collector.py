"""What a learner asks of whoever collects rollouts, in this process or behind a queue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lwmecps_core.algorithms.base import Extra, Params
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import config
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import TaskSpec


@dataclass(frozen=True)
class PolicySnapshot:
    """Immutable weights that act: parameters with a leading task axis when `per_task`, else shared by all tasks.

    `memory` is what the policy knows of each task when it begins: name → `[tasks, episodes, ...]`, or
    `[tasks, 1, ...]` for all of a task's episodes alike; empty: nothing yet.
    """

    algorithm: AlgorithmConfig
    params: Params
    extra: Extra
    version: int
    per_task: bool = False
    memory: dict[str, Tensor] = field(default_factory=dict)


@config
class CollectionPlan:
    """What to collect: `episodes` episodes of every task, `seeds[k]` deciding all randomness of task k.

    `greedy` acts by the policy's mode. `length` is the number of intervals (0: the tasks' horizon). Where `held[k]`,
    the policy is not asked: task k keeps what it was deployed with, as under the baseline `static` (empty: nowhere).
    """

    seeds: tuple[int, ...]
    episodes: int = 4
    length: int = 0
    greedy: bool = False
    held: tuple[bool, ...] = ()


class Collector(Protocol):
    """Turns a plan into rollouts: the result is a pure function of the arguments, wherever it is computed."""

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """One batch `[T, episodes]` per task, in the order of `tasks` (all of one `EnvSpec`), with what the policy
        remembers at its end.

        Raises `CollectionTimeout` when the rollouts do not arrive before the collector's deadline.
        """
