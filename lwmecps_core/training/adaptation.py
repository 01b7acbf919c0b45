"""Adaptation of a stored policy to new tasks by a few inner steps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.optimiser import with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import SIMULATED, AdaptConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import bound_algorithm, equal_rates, evaluation_plan, inner_rule, speed
from lwmecps_core.training.evaluation import rows, summary, trace
from lwmecps_core.training.guard import Guard
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import given_tasks, seeds, torch_generator
from lwmecps_core.tree import expanded, expanded_extra, flatten, row, tree_map, unflatten


def adapt(
    policy: PolicyData,
    source: TaskSource,
    cfg: AdaptConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:
    """Adapt a stored policy to every task of `source` by the inner rule that it was taught; the rows of step j measure
    it after j inner steps.

    With `keep_placement_if_worse`, the first collection leaves every task as it was deployed, and the policy has one
    episode to show that it can act there at all. A task on which support episodes cost too much beside what it earns by
    itself is left alone from then on: no policy acts there, and none results. With
    `keep_start_if_worse`, a step that loses too much is undone. At the end the adapted policy has to prove itself on
    support episodes under the seeds of the first ones: the best of it, the start, and the placement left alone is what
    is kept and what the last rows measure. `Guard` says what is too much.
    """
    tasks = given_tasks(source, "adaptation")
    algo = bound_algorithm(policy, tasks[0])
    learner, rule = inner_rule(policy)
    params, extra = (
        (policy.params, policy.extra) if not cfg.random_weights else algo.init(torch_generator(seed, "weights"))
    )
    if cfg.inner_lr is None and policy.inner_lr:
        rates = policy.inner_lr
    else:
        rates = equal_rates(algo, params, rule.inner_lr if cfg.inner_lr is None else cfg.inner_lr)
    rates = expanded(rates, len(tasks))
    origin = current = with_task_axis(params, len(tasks))
    many = expanded_extra(extra, len(tasks))

    def collect(acting: Params, step: int, plan: CollectionPlan, held: Sequence[bool]) -> list[RolloutBatch]:
        snapshot = PolicySnapshot(policy.algorithm, acting, many, step, per_task=True)
        return collector.collect(tasks, snapshot, replace(plan, held=tuple(held)))

    def support_plan(step: int) -> CollectionPlan:
        return CollectionPlan(seeds=seeds(seed, f"support-{step}", len(tasks)), episodes=cfg.episodes_per_step)

    def try_out() -> int:
        """Leave the tasks alone for a collection, then play one episode of it; returns the number of episodes."""
        undisturbed = collect(origin, 0, replace(support_plan(1), greedy=True), [True] * len(tasks))
        guard.of_placement = _rewards(undisturbed)
        if cfg.episodes_per_step == 1:
            return 1  # the first collection is but one episode
        tried = collect(origin, 0, replace(support_plan(1), episodes=1), guard.held)
        alone = _rewards([batch.columns(0, 1) for batch in undisturbed])
        guard.probe(_rewards(tried), alone, 1 / cfg.episodes_per_step)
        return cfg.episodes_per_step + 1

    first, spent, episodes = 0, 0.0, 0
    rewards: list[list[float]] = []
    guard = Guard.over(len(tasks), cfg)
    if start is not None:
        current = unflatten(start.tensors, "params")
        first, spent, episodes = start.step, start.scalars["wall_s"], start.scalars["episodes"]
        rewards, guard = start.scalars["rewards"], Guard(**start.scalars["guard"])
    support: Batch = {}
    total = cfg.adaptation_steps + 1
    for step in range(first, total):
        metrics: dict[str, float] = {}
        begun = time.perf_counter()
        if step:
            if guard.keep_placement and not guard.of_placement:
                episodes += try_out()
            if not (learner.frozen_support and support):
                at, acting = (1, origin) if learner.frozen_support else (step, current)
                batches = collect(acting, at, support_plan(at), guard.held)
                support = algo.prepare(acting, many, stacked(batches), torch_generator(seed, f"noise-{at}"))
                support_rewards = _rewards(batches)
                if at == step:  # otherwise frozen data that are collected again after a pause, and equal
                    guard.see(support_rewards)
                    episodes += cfg.episodes_per_step
            fell = guard.undo(support_rewards)
            stepped = learner.step(algo, origin, current, many, _scaled(rates, guard.shares), support, rule)
            current = _replaced(stepped, origin, [a or b for a, b in zip(fell, guard.held, strict=True)])
            metrics |= {"support_reward": float(np.mean(support_rewards)), "undone": float(np.mean(fell))}
        if step == cfg.adaptation_steps and guard.decides:
            again = _rewards(collect(current, step, support_plan(1), guard.held))
            episodes += cfg.episodes_per_step
            worse = guard.decide(again)
            current = _replaced(current, origin, worse)
            metrics |= {"kept_start": float(np.mean(worse))}
        metrics |= {"kept_placement": float(np.mean(guard.held))} if step and guard.keep_placement else {}
        spent += (time.perf_counter() - begun) if step else 0.0
        found: list[Row] = []
        series: dict[str, tuple[float, ...]] = {}
        if cfg.backend == SIMULATED or step in (0, cfg.adaptation_steps):
            measured = collect(current, step, evaluation_plan(tasks, cfg.evaluation_episodes, seed), guard.held)
            data_used = episodes * tasks[0].horizon
            found = rows(measured, [t.name for t in tasks], "", step, data_used, spent / len(tasks))
            rewards.append([r.reward for r in found])
            series = trace(measured[0])
            metrics |= summary(measured) | {
                "test_avg_reward": float(np.mean(rewards[-1])),
                "test_avg_length": float(np.mean([b.valid.sum(0).mean() for b in measured])),
                "adaptation_speed": speed(rewards, step),
            }
        if step == cfg.adaptation_steps and cfg.compare_oracle:
            metrics["adaptation_accuracy"] = _gap_closed(tasks, rewards, cfg.evaluation_episodes, seed)
        kept = {"wall_s": spent, "rewards": rewards, "episodes": episodes, "guard": guard.state()}
        state = LoopState(step + 1, flatten(current, "params"), kept)
        acts = len(tasks) == 1 and not guard.held[0]
        result = replace(policy, params=row(current, 0), extra=extra) if acts else None
        yield Progress(step + 1, total, metrics, state, result, tuple(found), series)


def _rewards(batches: Sequence[RolloutBatch]) -> list[float]:
    """Every task's mean reward of an episode."""
    return [float(b.reward.sum(0).mean()) for b in batches]


def _replaced(params: Params, others: Params, where: Sequence[bool]) -> Params:
    """`params` `[K, ...]`, and `others` for the tasks that `where` marks."""
    marked = torch.tensor(where)
    return tree_map(lambda x, y: torch.where(_by_task(marked, x), y, x), params, others)


def _scaled(rates: Params, shares: Sequence[float]) -> Params:
    """`rates` `[K, ...]`, each task's times its share."""
    factor = torch.tensor(shares)
    return tree_map(lambda x: x * _by_task(factor, x), rates)


def _by_task(values: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    """One value for each task `[K]`, shaped so that it meets a leaf `[K, ...]`."""
    return values.reshape(-1, *[1] * (leaf.dim() - 1))


def _gap_closed(tasks: Sequence[TaskSpec], rewards: Sequence[Sequence[float]], episodes: int, seed: int) -> float:
    """Share of the gap from the unadapted policy to the oracle that adaptation closes, on the same episodes."""
    plan = evaluation_plan(tasks, episodes, seed)
    best = run_baseline("oracle", tasks, plan.seeds, episodes)
    oracle = float(np.mean([b.reward.sum(0).mean() for b in best]))
    before, after = float(np.mean(rewards[0])), float(np.mean(rewards[-1]))
    return (after - before) / max(oracle - before, 1e-9)
