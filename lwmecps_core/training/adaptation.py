"""Adaptation of a stored policy to new tasks by a few inner steps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from lwmecps_core import meta
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, begun_anew, learnable
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.meta import learnt_optimiser
from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.meta.learnt_optimiser import OptimiserData
from lwmecps_core.optimiser import with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import SIMULATED, AdaptConfig, MAMLConfig, MetaConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import bound_algorithm, evaluation_plan, mean_rewards, remembered, taught_by
from lwmecps_core.training.evaluation import rows, signed, summary, trace
from lwmecps_core.training.guard import Guard
from lwmecps_core.training.multipliers import told_by
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import given_tasks, seeds, torch_generator
from lwmecps_core.transfer.metrics import adaptation_speed
from lwmecps_core.tree import by_task, expanded, expanded_extra, flatten, prefixed, row, tree_map, under, unflatten


def adapt(
    policy: PolicyData,
    source: TaskSource,
    cfg: AdaptConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:
    """Adapt a stored policy to every task of `source` by the inner rule that it was taught, or by the steps of a learnt
    optimiser; the rows of step j measure it after j inner steps.

    With `keep_placement_if_worse`, the first collection leaves every task as it was deployed, and the policy has one
    episode, without chance, to show that it can act there at all; where it can't, the task is left alone: no policy
    acts there, and none results. A task on which support episodes cost too much beside what it earns by itself has no
    more of them. With
    `keep_start_if_worse`, a step that loses too much is undone. At the end the adapted policy has to prove itself on
    support episodes under the seeds of the first ones: the best of it, the start, and the placement left alone is what
    is kept and what the last rows measure. `Guard` says what is too much.
    """
    x = _setup(policy, told_by(policy.metadata, given_tasks(source, "adaptation")), cfg, collector, seed)
    at = _Standing(x.origin, Guard.over(len(x.tasks), cfg)) if start is None else _Standing.of(start)
    total = cfg.adaptation_steps + 1
    for step in range(at.step, total):
        metrics = _learn(x, at, step) if step else {}
        at.step = step + 1
        measured = cfg.backend == SIMULATED or step in (0, cfg.adaptation_steps)
        progress = _measured(x, at, step) if measured else Progress(step + 1, total, {}, at.state())
        if step == cfg.adaptation_steps and cfg.compare_oracle:
            progress.metrics["adaptation_accuracy"] = _gap_closed(x, at.rewards)
        acts = len(x.tasks) == 1 and not at.guard.held[0]
        result = replace(x.start, params=row(at.current, 0)) if acts else None
        yield replace(progress, metrics=metrics | progress.metrics, policy=result)


@dataclass(frozen=True)
class _Setup:
    """What is the same in all steps; `learnt`, `origin` and `extra` have a leading task axis."""

    tasks: list[TaskSpec]
    cfg: AdaptConfig
    collector: Collector
    seed: int
    start: PolicyData
    algo: Algorithm
    learner: MetaLearner
    learnt: Params
    origin: Params
    extra: Extra
    optimiser: OptimiserData | None
    """Takes the place of the learner's steps."""

    def collect(
        self, acting: Params, version: int, plan: CollectionPlan, at: "_Standing", *, held: Sequence[bool] | None = None
    ) -> list[RolloutBatch]:
        """Rollouts of every task, by policies that remember what they have seen of it; those that are held are left
        alone.
        """
        left = tuple(at.guard.held if held is None else held)
        snapshot = PolicySnapshot(self.start.algorithm, acting, self.extra, version, True, at.memory)
        return self.collector.collect(self.tasks, snapshot, replace(plan, held=left))

    def support_plan(self, step: int) -> CollectionPlan:
        """What a step learns from."""
        return CollectionPlan(
            seeds=seeds(self.seed, f"support-{step}", len(self.tasks)), episodes=self.cfg.episodes_per_step
        )


@dataclass
class _Standing:
    """Where adaptation is; all but `support`, which is collected again after a pause, is in a yielded state."""

    current: Params
    guard: Guard
    step: int = 0
    wall_s: float = 0.0
    episodes: int = 0
    """That were played on each task in order to learn."""
    earned: list[float] = field(default_factory=list)
    """By these, on each task, in all."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """What the policy remembers of each task, `[K, 1, ...]`: what it saw in the first of the episodes side by side."""
    rewards: list[list[float]] = field(default_factory=list)
    """Every task's, after each step that was measured."""
    moments: dict[str, Tensor] = field(default_factory=dict)
    """What a learnt optimiser remembers of each task."""
    support: Batch = field(default_factory=dict)

    @classmethod
    def of(cls, state: LoopState) -> "_Standing":
        """Inverse of `state`."""
        kept = dict(state.scalars) | {name: under(state.tensors, f"{name}/") for name in ("memory", "moments")}
        return cls(unflatten(state.tensors, "params"), Guard(**kept.pop("guard")), state.step, **kept)

    def state(self) -> LoopState:
        """Complete, as resuming needs it."""
        kept = {name: getattr(self, name) for name in ("wall_s", "rewards", "episodes", "earned")}
        tensors = flatten(self.current, "params") | prefixed(self.memory, "memory/")
        tensors |= prefixed(self.moments, "moments/")
        return LoopState(self.step, tensors, kept | {"guard": self.guard.state()})

    def played(self, batches: Sequence[RolloutBatch]) -> list[float]:
        """Count support episodes, and remember what they showed; returns each task's mean reward."""
        rewards, width = mean_rewards(batches), batches[0].width
        before = self.earned or [0.0] * len(rewards)
        self.earned = [total + width * reward for total, reward in zip(before, rewards, strict=True)]
        self.episodes += width
        self.memory = {name: x[:, :1] for name, x in remembered(batches).items()}
        return rewards


def _setup(policy: PolicyData, tasks: list[TaskSpec], cfg: AdaptConfig, collector: Collector, seed: int) -> _Setup:
    """The policy that all tasks start from, and how it was taught to adapt."""
    algo = bound_algorithm(policy, tasks[0])
    if cfg.random_weights:
        params, extra = begun_anew(algo, policy.extra, torch_generator(seed, "weights"))
        policy = replace(policy, params=params, extra=extra)
    learner, learnt, optimiser = taught_by(policy), policy.learnt, _optimiser(cfg)
    if optimiser is not None:  # each of its steps is on data of its own, whatever the policy was taught by
        learner = meta.make(MAMLConfig())
    if cfg.inner_lr is not None or not learnt:
        learnt = learner.init(algo, policy.params, MetaConfig().inner_lr if cfg.inner_lr is None else cfg.inner_lr)
    return _Setup(
        tasks,
        cfg,
        collector,
        seed,
        policy,
        algo,
        learner,
        learnt=expanded(learnt, len(tasks)),
        origin=with_task_axis(policy.params, len(tasks)),
        extra=expanded_extra(policy.extra, len(tasks)),
        optimiser=optimiser,
    )


def _optimiser(cfg: AdaptConfig) -> OptimiserData | None:
    """The learnt one, where the settings have its file."""
    if cfg.optimiser is None:
        return None
    made = learnt_optimiser.from_bytes(cfg.optimiser, "settings")
    return made if cfg.inner_lr is None else learnt_optimiser.with_rate(made, cfg.inner_lr)


def _learn(x: _Setup, at: _Standing, step: int) -> dict[str, float]:
    """One inner step on every task, and after the last one the choice of what is kept."""
    begun = time.perf_counter()
    if at.guard.keep_placement and not at.guard.of_placement:
        _try_out(x, at)
    metrics = _inner_step(x, at, step, _support(x, at, step))
    if step == x.cfg.adaptation_steps and at.guard.decides:
        again = x.collect(at.current, step, x.support_plan(1), at, held=at.guard.resting)
        worse = at.guard.decide(at.played(again))
        at.current = _replaced(at.current, x.origin, worse)
        metrics["kept_start"] = float(np.mean(worse))
    if at.guard.keep_placement:
        metrics["kept_placement"] = float(np.mean(at.guard.held))
    at.wall_s += time.perf_counter() - begun
    return metrics


def _try_out(x: _Setup, at: _Standing) -> None:
    """Leave the tasks alone for a collection, then play one episode of it without chance."""
    undisturbed = x.collect(x.origin, 0, replace(x.support_plan(1), greedy=True), at, held=[True] * len(x.tasks))
    at.guard.of_placement = at.played(undisturbed)
    tried = x.collect(x.origin, 0, replace(x.support_plan(1), episodes=1, greedy=True), at)
    alone = mean_rewards([batch.columns(0, 1) for batch in undisturbed])
    at.guard.probe(at.played(tried), alone, 1 / x.cfg.episodes_per_step)


def _support(x: _Setup, at: _Standing, step: int) -> list[float]:
    """Collect what the step learns from, unless the first step's data serve all; returns what they earned."""
    frozen = x.learner.frozen_support
    if frozen and at.support:
        return at.guard.of_start
    version, acting = (1, x.origin) if frozen else (step, at.current)
    batches = x.collect(acting, version, x.support_plan(version), at, held=at.guard.resting)
    at.support = learnable(x.algo, acting, x.extra, stacked(batches), torch_generator(x.seed, f"noise-{version}"))
    if version != step:  # seen before a pause; tasks that were left alone since would earn something else now
        return at.guard.of_start
    earned = at.played(batches)
    at.guard.see(earned)
    return earned


def _inner_step(x: _Setup, at: _Standing, step: int, earned: Sequence[float]) -> dict[str, float]:
    """The rule's step; tasks that lost too much go back to the start, and those that are left alone stay there."""
    fell = at.guard.undo(earned)
    shares = torch.tensor(at.guard.shares)
    if x.optimiser is None:
        slower = x.learner.slower(x.learnt, shares)
        stepped = x.learner.step(x.algo, x.origin, at.current, x.extra, slower, at.support)
    else:
        before = at.moments or learnt_optimiser.state({g: at.current[g] for g in x.algo.inner_groups})
        stepped, after = learnt_optimiser.step(x.optimiser, x.algo, at.current, x.extra, before, at.support, shares)
        at.moments = learnt_optimiser.forgotten(after, torch.tensor(fell))
    at.current = _replaced(stepped, x.origin, [a or b for a, b in zip(fell, at.guard.resting, strict=True)])
    return {"support_reward": float(np.mean(earned)), "undone": float(np.mean(fell))}


def _measured(x: _Setup, at: _Standing, step: int) -> Progress:
    """Rows and metrics of every task on the episodes that every other method meets."""
    plan = evaluation_plan(x.tasks, x.cfg.evaluation_episodes, x.seed)
    batches = x.collect(at.current, step, plan, at)
    used, wall_s = at.episodes * x.tasks[0].horizon, at.wall_s / len(x.tasks)
    support = [total / at.episodes for total in at.earned]
    names = [t.name for t in x.tasks]
    found = rows(batches, names, "", step, used, wall_s, episode=at.episodes + 1, support=support, tasks=x.tasks)
    at.rewards.append([r.reward for r in found])
    metrics = (
        summary(batches)
        | signed(batches, x.tasks)
        | {
            "test_avg_reward": float(np.mean(at.rewards[-1])),
            "test_avg_length": float(np.mean([b.valid.sum(0).mean() for b in batches])),
            "adaptation_speed": adaptation_speed([float(np.mean(each)) for each in at.rewards], step),
        }
    )
    total = x.cfg.adaptation_steps + 1
    return Progress(step + 1, total, metrics, at.state(), rows=tuple(found), trace=trace(batches[0], x.tasks[0]))


def _replaced(params: Params, others: Params, where: Sequence[bool]) -> Params:
    """`params` `[K, ...]`, and `others` for the tasks that `where` marks."""
    marked = torch.tensor(where)
    return tree_map(lambda x, y: torch.where(by_task(marked, x), y, x), params, others)


def _gap_closed(x: _Setup, rewards: Sequence[Sequence[float]]) -> float:
    """Share of the gap from the unadapted policy to the oracle that adaptation closes, on the same episodes."""
    plan = evaluation_plan(x.tasks, x.cfg.evaluation_episodes, x.seed)
    best = run_baseline("oracle", x.tasks, plan.seeds, plan.episodes)
    oracle = float(np.mean([b.reward.sum(0).mean() for b in best]))
    before, after = float(np.mean(rewards[0])), float(np.mean(rewards[-1]))
    return (after - before) / max(oracle - before, 1e-9)
