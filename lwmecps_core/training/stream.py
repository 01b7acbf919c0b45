"""A stream of clusters while a policy learns from one after another: what a turn's batches hold, what is remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwmecps_core import context
from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.rollout.remembered import nothing_known
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import mean_rewards, remembered
from lwmecps_core.training.sampling import seeds
from lwmecps_core.tree import prefixed, under

TOLD = "privileged"
"""The context that is told what it knows: nothing of it is kept."""


@dataclass(frozen=True)
class Turn:
    """The turn of one cluster: which of the clusters so far stand in its batches; see `loop.TaskChooser`.

    A pure function of the seed and the step: nothing of it changes.
    """

    clusters: Sequence[TaskSpec]
    """Those that were met, and as the last the new one."""
    cfg: ContinualConfig
    seed: int

    def places(self, step: int) -> list[int]:
        """Which cluster each place of a batch has: first the earlier ones, over the steps as many as is their share."""
        width, new = self.cfg.tasks_per_batch, len(self.clusters) - 1
        if not new:
            return [new] * width
        rng = generator(seeds(self.seed, f"replays-{step}", 1)[0])
        count = int(self.cfg.replay_share * width + rng.random())
        return [*rng.integers(new, size=count).tolist(), *[new] * (width - count)]

    def next(self, step: int) -> tuple[list[TaskSpec], list[bool]]:
        """The tasks of a step; all count as new, since what is known of them is kept by `StreamMemory`."""
        places = self.places(step)
        return [self.clusters[i] for i in places], [True] * len(places)

    @property
    def learnt(self) -> list[int]:
        """All places give gradients."""
        return list(range(self.cfg.tasks_per_batch))

    def learn(
        self,
        algo: Algorithm,
        policy: PolicySnapshot,
        tasks: Sequence[TaskSpec],
        batches: Sequence[RolloutBatch],
        step: int,
        noise: torch.Generator,
    ) -> dict[str, float]:
        """The share of the places that earlier clusters had, as a metric."""
        new = self.clusters[-1].name
        return {"replayed": sum(task.name != new for task in tasks) / len(tasks)}

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""


class StreamMemory:
    """A collector that begins on every cluster of a stream with what was remembered of it, and keeps what then is.

    `memory` is name → `[T, 1, ...]`: of every cluster what was seen in the first of the episodes side by side; empty
    where nothing is kept. `episodes` (rollouts, where these are shorter) and what they `earned` in all are `[T]`, too.
    """

    def __init__(
        self,
        collector: Collector,
        clusters: Sequence[TaskSpec],
        algo: Algorithm,
        algorithm: AlgorithmConfig,
        keep: bool,
    ) -> None:
        self._collector, self._number = collector, {task.name: i for i, task in enumerate(clusters)}
        kept = context.make(algorithm.context, env_spec(clusters[0]))
        fresh = nothing_known(algo, kept, len(clusters)) if keep and algorithm.context != TOLD else {}
        self.memory = {name: x.unsqueeze(1) for name, x in fresh.items()}
        self.episodes = torch.zeros(len(clusters), dtype=torch.int64)
        self.earned = torch.zeros(len(clusters), dtype=torch.float64)

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; of a cluster that has several places the first one is remembered."""
        batches = self.measure(tasks, snapshot, plan)
        numbers = self._numbers(tasks)
        at, rewards = torch.tensor(numbers), torch.tensor(mean_rewards(batches), dtype=torch.float64)
        self.episodes = self.episodes.index_add(0, at, torch.full_like(at, plan.episodes))
        self.earned = self.earned.index_add(0, at, plan.episodes * rewards)
        new, met = remembered(batches), torch.tensor(sorted(set(numbers)))
        first = [numbers.index(number) for number in met.tolist()]
        self.memory = {name: x.index_copy(0, met, new[name][first, :1]) for name, x in self.memory.items()}
        return batches

    def measure(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """The same without keeping anything."""
        known = {name: x[self._numbers(tasks)] for name, x in self.memory.items()}
        return self._collector.collect(tasks, replace(snapshot, memory=known), plan)

    def state(self) -> dict[str, Tensor]:
        """All that changes."""
        return prefixed(self.memory, "memory/") | {"episodes": self.episodes, "earned": self.earned}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        self.memory, self.episodes, self.earned = under(state, "memory/"), state["episodes"], state["earned"]

    def _numbers(self, tasks: Sequence[TaskSpec]) -> list[int]:
        return [self._number[task.name] for task in tasks]
