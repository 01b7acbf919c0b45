"""Plain training: descent of one policy on many tasks, or of one policy per task side by side."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.evaluation import summary
from lwmecps_core.meta.adapt import gradients, stacked
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.progress import LoopState, Progress, TaskSource
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.sampling import given_tasks, seeds, some_tasks, torch_generator
from lwmecps_core.tree import expanded, expanded_extra, row, tree_map


class Descent:
    """K parameter sets and their optimiser; K = 1 is one policy for all tasks, else set k belongs to task k."""

    def __init__(
        self, algo: Algorithm, algorithm: AlgorithmConfig, collector: Collector, seed: int, *,
        params: Params, extra: Extra, sets: int = 1, learning_rate: float | None = None,
    ) -> None:  # fmt: skip
        self._algo, self._algorithm, self._collector, self._seed, self._sets = algo, algorithm, collector, seed, sets
        rate = algo.learning_rate if learning_rate is None else learning_rate
        self._outer = Optimiser(with_task_axis(params, sets), rate, algo.max_grad_norm)
        self._extra = expanded_extra(extra, sets)
        self._memory: Batch = {}

    def run(
        self, source: TaskSource, width: int, episodes: int, total: int, start: LoopState | None
    ) -> Iterator[Progress]:
        """`total` steps, each on one collection of `episodes` episodes of `width` tasks (or of all, if K > 1)."""
        if start is not None:
            self._restore(start)
        for step in range(start.step if start else 0, total):
            if self._sets > 1:
                tasks = given_tasks(source, "independent training")
            else:
                tasks = some_tasks(source, width, self._seed, step)
            plan = CollectionPlan(seeds=seeds(self._seed, f"train-{step}", len(tasks)), episodes=episodes)
            batches = self._collector.collect(tasks, self.snapshot(step), plan)
            metrics = self._learn(batches, step) | summary(batches)
            yield Progress(step + 1, total, metrics, self._state(step + 1), self._policy())

    def snapshot(self, version: int) -> PolicySnapshot:
        """The policies as they are now."""
        params = tree_map(lambda leaf: leaf.detach().clone(), self._outer.params)
        if self._sets > 1:
            return PolicySnapshot(self._algorithm, params, self._extra, version, per_task=True)
        return PolicySnapshot(self._algorithm, row(params, 0), {k: v[0] for k, v in self._extra.items()}, version)

    def _learn(self, batches: list[RolloutBatch], step: int) -> dict[str, float]:
        batch = self._samples(batches)
        if self._algo.memory_size:
            batch = self._memory = _remember(self._memory, batch, self._algo.memory_size)
        norms: list[Tensor] = []
        losses: dict[str, Tensor] = {}
        for part in self._algo.minibatches(batch, torch_generator(self._seed, f"minibatches-{step}")):
            losses = self._algo.losses(self._outer.params, self._extra, part)
            norms.append(self._outer.step(gradients(losses, self._outer.params)))
            self._extra = self._algo.after_update(self._outer.params, self._extra)
        return {f"{group}_loss": float(x.detach().mean()) for group, x in losses.items()} | {
            "gradient_norm": float(torch.stack(norms).mean())
        }

    def _samples(self, batches: list[RolloutBatch]) -> Batch:
        """`[K, S, ...]`: each set's own samples, or all tasks' samples for the one set."""
        data = stacked(batches)
        if self._sets > 1:
            return self._algo.whole(self._outer.params, self._extra, data)
        # Task by task first: advantages are normalised within a task, since rewards differ in scale.
        shot = self.snapshot(0)
        tasks = len(batches)
        whole = self._algo.whole(expanded(shot.params, tasks), expanded_extra(shot.extra, tasks), data)
        return {name: x.flatten(0, 1).unsqueeze(0) for name, x in whole.items()}

    def _policy(self) -> PolicyData | None:
        if self._sets > 1:
            return None
        shot = self.snapshot(0)
        return PolicyData(self._algorithm, self._algo.spec, shot.params, shot.extra)

    def _state(self, step: int) -> LoopState:
        extra = {f"extra/{name}": x for name, x in self._extra.items()}
        memory = {f"memory/{name}": x for name, x in self._memory.items()}
        return LoopState(step, self._outer.state() | extra | memory)

    def _restore(self, state: LoopState) -> None:
        self._outer.restore(state.tensors)
        self._extra, self._memory = under(state.tensors, "extra/"), under(state.tensors, "memory/")


def under(flat: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """The entries of a flat dict below `prefix`, without it."""
    return {name[len(prefix) :]: x for name, x in flat.items() if name.startswith(prefix)}


def _remember(memory: Batch, new: Batch, size: int) -> Batch:
    """The newest `size` samples of `[K, S, ...]` fields."""
    if not memory:
        return {name: x[:, -size:] for name, x in new.items()}
    return {name: torch.cat([memory[name], x], dim=1)[:, -size:] for name, x in new.items()}
