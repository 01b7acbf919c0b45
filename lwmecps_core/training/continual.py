"""Continual learning: a stored policy meets clusters one after another, and is measured on all of them after each."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import ceil

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, begun_anew
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.forgetting import measures
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import Collector, PolicySnapshot
from lwmecps_core.run_config import rollout_length
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import bound_algorithm, evaluation_plan
from lwmecps_core.training.evaluation import rows, signed, summary, trace
from lwmecps_core.training.loop import PLAIN, Descent, Losses, Method
from lwmecps_core.training.multipliers import told_by
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import given_tasks, seeds, torch_generator
from lwmecps_core.training.stream import StreamMemory, Turn
from lwmecps_core.tree import flatten, prefixed, under, unflatten


def continual(
    policy: PolicyData,
    source: TaskSource,
    cfg: ContinualConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:
    """Go on training a stored policy on the clusters of `source`, one after another, in their order.

    The first step measures the policy on all of them. Then each has a turn, whose last step measures it on all again:
    those met, and those to come. Rows say by `inner_steps` how many were met, so that they are the matrix R of
    `lwmecps_core.forgetting`; its measures are metrics of these steps. Every measurement meets the same episodes,
    without chance. A turn is plain training from where the one before ended; its optimiser and what it has of a replay
    memory begin anew.

    Raises `InvalidInput` when two clusters have one name, or one of them doesn't fit the policy.
    """
    x = _setup(policy, told_by(policy.metadata, given_tasks(source, "continual learning")), cfg, collector, seed)
    at = _Reached(x.start.params, x.start.extra) if start is None else _Reached.of(start)
    if start is None:
        at.step = 1
        yield _measured(x, at, {})
    else:
        x.known.restore(under(start.tensors, "known/"))
    while at.step < x.total:
        yield from _turn(x, at)


@dataclass(frozen=True)
class _Stream:
    """What is the same in all steps; only `known` changes."""

    clusters: list[TaskSpec]
    cfg: ContinualConfig
    seed: int
    start: PolicyData
    algo: Algorithm
    known: StreamMemory

    @property
    def steps_per_turn(self) -> int:
        """Batches of one cluster's turn."""
        return ceil(self.cfg.episodes_per_cluster / (self.cfg.episodes_per_batch * self.cfg.tasks_per_batch))

    @property
    def total(self) -> int:
        """The measurement of the start, and all turns."""
        return 1 + self.steps_per_turn * len(self.clusters)


@dataclass
class _Reached:
    """Where the stream is: all that a yielded state holds, beside what is known of clusters."""

    params: Params
    """Before the turn."""
    extra: Extra
    step: int = 0
    loop: dict[str, Tensor] = field(default_factory=dict)
    """The state of the turn's descent."""
    r: list[list[float]] = field(default_factory=list)
    """The matrix R so far."""
    wall_s: float = 0.0

    @classmethod
    def of(cls, state: LoopState) -> "_Reached":
        """Inverse of `state`."""
        params, extra = unflatten(state.tensors, "before"), under(state.tensors, "extra/")
        return cls(params, extra, state.step, under(state.tensors, "loop/"), **state.scalars)

    def state(self, known: StreamMemory) -> LoopState:
        """Complete, as resuming needs it."""
        tensors = flatten(self.params, "before") | prefixed(self.extra, "extra/")
        tensors |= prefixed(self.loop, "loop/") | prefixed(known.state(), "known/")
        return LoopState(self.step, tensors, {"r": [list(line) for line in self.r], "wall_s": self.wall_s})


def _setup(policy: PolicyData, clusters: list[TaskSpec], cfg: ContinualConfig, inner: Collector, seed: int) -> _Stream:
    """The policy that the stream begins with, and its clusters."""
    names = [task.name for task in clusters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        reason = f"two of them are called {twice[0]!r}; each cluster of a stream needs a name of its own"
        raise InvalidInput("continual learning", [Violation("tasks", reason)])
    algo, *_ = [bound_algorithm(policy, task) for task in clusters]
    if cfg.random_weights:
        params, extra = begun_anew(algo, policy.extra, torch_generator(seed, "weights"))
        policy = replace(policy, params=params, extra=extra)
    known = StreamMemory(inner, clusters, algo, policy.algorithm, cfg.keep_contexts)
    return _Stream(clusters, cfg, seed, policy, algo, known)


def _turn(x: _Stream, at: _Reached) -> Iterator[Progress]:
    """All that is left of the turn of one cluster."""
    number, done = divmod(at.step - 1, x.steps_per_turn)
    turn = Turn(x.clusters[: number + 1], x.cfg, seeds(x.seed, f"cluster-{number}", 1)[0])
    loop = Descent(
        x.algo,
        x.start.algorithm,
        x.known,
        turn.seed,
        params=at.params,
        extra=at.extra,
        learning_rate=x.cfg.learning_rate,
        method=near(at.params, x.cfg.weight_penalty),
        curriculum=turn,
    )
    before = LoopState(done, at.loop) if done else None
    width, episodes, begun = x.cfg.tasks_per_batch, x.cfg.episodes_per_batch, time.perf_counter()
    for one in loop.run(tuple(x.clusters), width, episodes, x.steps_per_turn, before):
        at.step, at.loop = at.step + 1, one.state.tensors
        at.wall_s += time.perf_counter() - begun
        now = loop.snapshot(one.step)
        if one.step < one.total:
            policy = replace(x.start, params=now.params, extra=now.extra)
            yield replace(one, step=at.step, total=x.total, state=at.state(x.known), policy=policy)
        else:
            at.params, at.extra, at.loop = now.params, now.extra, {}
            yield _measured(x, at, one.metrics)
        begun = time.perf_counter()


def _measured(x: _Stream, at: _Reached, metrics: dict[str, float]) -> Progress:
    """All clusters as the policy acts on them between two turns: a line of R, and what it says."""
    policy, met = replace(x.start, params=at.params, extra=at.extra), len(at.r)
    plan = evaluation_plan(x.clusters, x.cfg.evaluation_episodes, x.seed)
    batches = x.known.measure(x.clusters, PolicySnapshot(policy.algorithm, policy.params, policy.extra, met), plan)
    found = rows(batches, [t.name for t in x.clusters], "", met, wall_s=at.wall_s / max(met, 1), tasks=x.clusters)
    counts, earned = x.known.episodes.tolist(), x.known.earned.tolist()
    horizon = x.clusters[0].horizon
    length = rollout_length(policy.algorithm) or horizon
    found = [
        replace(
            r,
            env_steps=n * length,
            episode=n * length // horizon + 1,
            support_reward_mean=total / n * horizon / length if n else None,
        )
        for r, n, total in zip(found, counts, earned, strict=True)
    ]
    at.r.append([r.reward for r in found])
    metrics = (metrics or summary(batches) | signed(batches, x.clusters)) | measures(at.r, met)
    shown = trace(batches[0], x.clusters[0])
    return Progress(at.step, x.total, metrics, at.state(x.known), policy, tuple(found), shown)


def near(before: Params, weight: float) -> Method:
    """Plain training that is pulled back to the weights `before` by ½ `weight` ‖θ − θ₀‖², in each group's loss.

    Source: the quadratic penalty that Kirkpatrick et al. 2017, arXiv:1612.00796, compare theirs with (their figure 2).
    """
    if not weight:
        return PLAIN

    def pulled(params: Params, losses: Losses, batch: Batch) -> Losses:
        return {group: loss + 0.5 * weight * _apart(params[group], before[group]) for group, loss in losses.items()}

    return Method(added=lambda policy, step: pulled)


def _apart(now: dict[str, Tensor], before: dict[str, Tensor]) -> Tensor:
    """‖θ − θ₀‖² of one group `[K]`; what is now has a task axis."""
    return torch.stack([(x - before[name]).square().flatten(1).sum(1) for name, x in now.items()]).sum(0)
