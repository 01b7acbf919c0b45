"""Plain training: descent of one policy on many tasks, or of one policy per task side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from lwmecps_core import context
from lwmecps_core.algorithms import exploring
from lwmecps_core.algorithms.base import ONE_SCALE, Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.rollout.remembered import nothing_known
from lwmecps_core.run_config import AlgorithmConfig, rollout_length
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training import belief
from lwmecps_core.training.common import check_sound, remembered
from lwmecps_core.training.evaluation import signed, summary
from lwmecps_core.training.imitation import Demonstrator
from lwmecps_core.training.multipliers import Multipliers
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.remembering import Remembered
from lwmecps_core.training.sampling import given_tasks, renewed, seeds, some_tasks, torch_generator
from lwmecps_core.tree import by_task, detached, expanded, expanded_extra, gradients, prefixed, row, under

Losses = dict[str, Tensor]
"""Parameter group → loss `[K]`."""
AddedLoss = Callable[[Params, Losses, Batch], Losses]
"""(parameters, the algorithm's losses, minibatch) → the losses to descend."""


@dataclass(frozen=True)
class Method:
    """How a descent differs from plain training.

    `helpers` are parameter groups that are trained beside the policy's and are no part of it. `trained` (params, step,
    total) returns the part of the tree that learns in a step: the rest stays bit-identical. `added` (policy, step) is
    asked at the start of a step for what to add to the losses.
    """

    helpers: Params = field(default_factory=dict)
    trained: Callable[[Params, int, int], Params] = lambda params, step, total: params
    added: Callable[[PolicySnapshot, int], AddedLoss] = lambda policy, step: lambda params, losses, batch: losses


PLAIN = Method()


class TaskChooser(Protocol):
    """Which tasks a descent goes on with, where chance alone doesn't say."""

    @property
    def learnt(self) -> list[int]:
        """Which of the tasks of `next` give gradients."""

    def next(self, step: int) -> tuple[list[TaskSpec], list[bool]]:
        """The tasks of a step, and which of them were no part of the one before."""

    def learn(
        self,
        algo: Algorithm,
        policy: PolicySnapshot,
        tasks: Sequence[TaskSpec],
        batches: Sequence[RolloutBatch],
        step: int,
        noise: torch.Generator,
    ) -> dict[str, float]:
        """Hear what came of them, before the policy learns from it; returns metrics."""

    def state(self) -> dict[str, Tensor]:
        """All that changes."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""


class Descent:
    """K parameter sets and their optimiser; K = 1 is one policy for all tasks, else set k belongs to task k.

    `rate_share` (step) is the share of the learning rate that a step's updates take (see `optimiser.scheduled`),
    and `entropy_share` (step) that of the weight of an entropy bonus. Each task is part of `collections_per_task`
    collections in a row, over which what is remembered of it goes on. With `multipliers` tasks have bounds, and are
    told those of the step. A `curriculum` chooses the tasks, not chance alone. The first `imitated` steps learn from
    what `Demonstrator` shows.
    """

    def __init__(
        self,
        algo: Algorithm,
        algorithm: AlgorithmConfig,
        collector: Collector,
        seed: int,
        *,
        params: Params,
        extra: Extra,
        sets: int = 1,
        learning_rate: float | None = None,
        method: Method = PLAIN,
        rate_share: Callable[[int], float] = lambda step: 1.0,
        entropy_share: Callable[[int], float] = lambda step: 1.0,
        collections_per_task: int = 1,
        multipliers: Multipliers | None = None,
        curriculum: TaskChooser | None = None,
        imitated: int = 0,
    ) -> None:
        self._algo, self._algorithm, self._collector, self._seed, self._sets = algo, algorithm, collector, seed, sets
        rate = algo.learning_rate if learning_rate is None else learning_rate
        self._method, self._rate_share, self._entropy_share = method, rate_share, entropy_share
        start = with_task_axis(params | method.helpers, sets)
        self._outer = Optimiser(start, rate, algo.max_grad_norm, method=algo.optimiser)
        self._extra = expanded_extra(extra, sets)
        self._memory = Remembered(algo.memory_size)
        self._times, self._remembered = collections_per_task, dict[str, Tensor]()
        self._earned = torch.zeros(sets, dtype=torch.float64)
        self._multipliers, self._curriculum, self._imitated = multipliers, curriculum, imitated
        self._belief = belief.made(algo, algorithm, self._outer.params, seed)

    def run(
        self, source: TaskSource, width: int, episodes: int, total: int, start: LoopState | None
    ) -> Iterator[Progress]:
        """`total` steps, each on one collection of `episodes` episodes of `width` tasks (or of all, if K > 1)."""
        if start is not None:
            self._restore(start)
        for step in range(start.step if start else 0, total):
            tasks, new = self._tasks(source, width, step)
            if self._multipliers:
                tasks = self._multipliers.told(tasks, step)
            plan = CollectionPlan(
                seeds=seeds(self._seed, f"train-{step}", len(tasks)),
                episodes=episodes,
                length=rollout_length(self._algorithm),
            )
            snapshot = replace(self.snapshot(step), memory=self._known(tasks[0], new, episodes))
            collector = Demonstrator() if step < self._imitated else self._collector
            batches = collector.collect(tasks, snapshot, plan)
            self._remembered = remembered(batches) if self._times > 1 else {}
            if self._sets > 1:
                self._earned += torch.tensor([_per_interval(batch) for batch in batches], dtype=torch.float64)
            found = self._judged(tasks, batches, step)
            learnt = self._learnt_from(batches)
            metrics = self._learn(learnt, step, total) | summary(batches) | signed(batches, tasks)
            metrics |= self._believe(learnt, tasks, step)
            check_sound(self._outer.params, step, [t.name for t in tasks] if self._sets > 1 else ())
            if self._multipliers and step >= self._imitated:
                metrics |= self._multipliers.learn(tasks, batches)
            metrics |= found
            yield Progress(step + 1, total, metrics, self._state(step + 1), self._policy())

    def snapshot(self, version: int) -> PolicySnapshot:
        """The policies as they are now."""
        params = detached({g: names for g, names in self._outer.params.items() if g not in self._method.helpers})
        if self._sets > 1:
            return PolicySnapshot(self._algorithm, params, self._extra, version, per_task=True)
        return PolicySnapshot(self._algorithm, row(params, 0), {k: v[0] for k, v in self._extra.items()}, version)

    def earned(self, steps: int, horizon: int) -> list[float]:
        """What an episode earned on each set's own task while it learnt, on average over so many steps; empty where
        that isn't known.
        """
        known = self._sets > 1 and not self._earned.isnan().any()
        return (self._earned / steps * horizon).tolist() if known else []

    def _tasks(self, source: TaskSource, width: int, step: int) -> tuple[list[TaskSpec], list[bool]]:
        """The tasks of a step, and which of them were no part of the one before."""
        if self._sets > 1:
            return given_tasks(source, "independent training"), renewed(width, step, self._times)
        if self._curriculum:
            return self._curriculum.next(step)
        return some_tasks(source, width, self._seed, step, self._times), renewed(width, step, self._times)

    def _judged(self, tasks: list[TaskSpec], batches: list[RolloutBatch], step: int) -> dict[str, float]:
        """Score the tasks that a curriculum is done with for now; returns metrics."""
        if not self._curriculum:
            return {}
        noise = torch_generator(self._seed, f"scores-{step}")
        return self._curriculum.learn(self._algo, self.snapshot(step), tasks, batches, step, noise)

    def _learnt_from(self, some: list[Any]) -> list[Any]:
        """Of one thing for each task those that are learnt from."""
        return [some[i] for i in self._curriculum.learnt] if self._curriculum else some

    def _believe(self, batches: list[RolloutBatch], tasks: list[TaskSpec], step: int) -> dict[str, float]:
        """Let the belief learn, after the policy has learnt by what was believed while it acted; returns metrics."""
        if not self._belief:
            return {}
        return self._belief.learn(self._outer.params, batches, self._learnt_from(tasks), step, self._rate_share(step))

    def _learn(self, batches: list[RolloutBatch], step: int, total: int) -> dict[str, float]:
        if not batches:
            return {}
        batch = self._samples(batches, torch_generator(self._seed, f"noise-{step}"))
        if self._algo.memory_size:
            batch = self._memory.add(batch)
        norms: list[Tensor] = []
        own: Losses = {}
        losses: Losses = {}
        added = self._method.added(self.snapshot(step), step)
        trained = self._method.trained(self._outer.params, step, total)
        self._outer.rate_share, share = self._rate_share(step), self._entropy_share(step)
        algo = self._algo if share == 1.0 else exploring(self._algorithm, self._algo.spec, share)
        for part in self._algo.minibatches(batch, torch_generator(self._seed, f"minibatches-{step}")):
            part, self._extra = self._algo.targets(self._outer.params, self._extra, part)
            own = algo.losses(self._outer.params, self._extra, part)
            losses = added(self._outer.params, own, part)
            norms.append(self._outer.step(gradients(losses, trained)))
            self._extra = self._algo.after_update(self._outer.params, self._extra)
        return {f"{group}_loss": float(x.detach().mean()) for group, x in (losses | own).items()} | {
            "gradient_norm": float(torch.stack(norms).mean())
        }

    def _known(self, task: TaskSpec, new: list[bool], episodes: int) -> dict[str, Tensor]:
        """What is remembered of the tasks of a step, `[width, episodes, ...]`: nothing of those that are new."""
        if not self._remembered:
            return {}
        kept = context.make(self._algorithm.context, env_spec(task))
        fresh, told = nothing_known(self._algo, kept, len(new) * episodes), torch.tensor(new)
        return {
            name: torch.where(by_task(told, x), fresh[name].reshape(x.shape), x) for name, x in self._remembered.items()
        }

    def _samples(self, batches: list[RolloutBatch], noise: torch.Generator) -> Batch:
        """`[K, S, ...]`: each set's own samples, or all tasks' samples for the one set."""
        data = stacked(batches)
        if self._sets > 1:
            return self._algo.prepare(self._outer.params, self._extra, data, noise)
        # Task by task first: advantages are normalised within a task, since rewards differ in scale. With bounds they
        # don't: what a multiplier is worth is how much misses weigh beside the costs of other tasks.
        shot = self.snapshot(0)
        tasks = len(batches)
        data |= {ONE_SCALE: torch.ones(tasks)} if self._multipliers else {}
        whole = self._algo.prepare(expanded(shot.params, tasks), expanded_extra(shot.extra, tasks), data, noise)
        return {name: x.flatten(0, 1).unsqueeze(0) for name, x in whole.items()}

    def _policy(self) -> PolicyData | None:
        if self._sets > 1:
            return None
        shot, found = self.snapshot(0), self._multipliers.found() if self._multipliers else {}
        return PolicyData(self._algorithm, self._algo.spec, shot.params, shot.extra, metadata=found)

    def _state(self, step: int) -> LoopState:
        kept = prefixed(self._extra, "extra/") | prefixed(self._memory.fields, "memory/")
        kept |= prefixed(self._remembered, "remembered/")
        kept |= prefixed(self._multipliers.state(), "multipliers/") if self._multipliers else {}
        kept |= prefixed(self._curriculum.state(), "curriculum/") if self._curriculum else {}
        kept |= prefixed(self._belief.state(), "belief/") if self._belief else {}
        kept |= {"earned": self._earned.clone()} if self._sets > 1 else {}
        return LoopState(step, self._outer.state() | kept)

    def _restore(self, state: LoopState) -> None:
        self._outer.restore(state.tensors)
        self._extra = under(state.tensors, "extra/")
        self._memory = Remembered(self._algo.memory_size, under(state.tensors, "memory/"))
        self._remembered = under(state.tensors, "remembered/")
        self._earned = state.tensors.get("earned", torch.full_like(self._earned, torch.nan)).clone()
        if self._multipliers:
            self._multipliers.restore(under(state.tensors, "multipliers/"))
        if self._curriculum:
            self._curriculum.restore(under(state.tensors, "curriculum/"))
        if self._belief:
            self._belief.restore(under(state.tensors, "belief/"))


def _per_interval(batch: RolloutBatch) -> float:
    """Mean reward of the intervals of a rollout that count."""
    return float(batch.reward.sum() / batch.valid.sum())
