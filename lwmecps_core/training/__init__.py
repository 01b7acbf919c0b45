"""The loops: train, meta-train, transfer, adapt, evaluate, over any collector.

Each is a generator that yields `Progress` after every step and can start again from any yielded state: all randomness
of a step comes from (seed, step), so that a resumed run equals an undisturbed one. The tensors of a yielded state are
live: copy them before asking for the next step.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.descent import Descent, under
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.evaluation import rows, summary, trace
from lwmecps_core.meta.adapt import adapted_once, stacked
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.progress import LoopState, Progress, TaskSource
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import (
    AdaptConfig,
    AlgorithmConfig,
    EvaluateConfig,
    MetaConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.sampling import given_tasks, seeds, some_tasks, torch_generator
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tree import detached, expanded, expanded_extra, flatten, row, tree_map, unflatten

CALIBRATION_TASKS = 32
LARGEST_RATE = 1.0
"""Of inner steps: parameters that seldom have a gradient would otherwise learn to leap when they have one."""


def train(
    source: TaskSource, algorithm: AlgorithmConfig, cfg: TrainConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Train from nothing: one policy on the tasks of `source`, or side by side one for each (`independent`).

    `total_episodes` counts the episodes of all tasks that share a policy. Ends with rows when `evaluation_episodes`
    asks for them.
    """
    spec = env_spec(some_tasks(source, 1, seed, 0)[0])
    algo = algorithms.make(algorithm, spec)
    params, extra = algo.init(torch_generator(seed, "weights"))
    sets = len(given_tasks(source, "independent training")) if cfg.independent else 1
    width = 1 if cfg.independent else cfg.tasks_per_batch
    loop = Descent(algo, algorithm, collector, seed, params=params, extra=extra, sets=sets)
    total = ceil(cfg.total_episodes / (cfg.episodes_per_batch * width))
    begun = time.perf_counter()
    for progress in loop.run(source, width, cfg.episodes_per_batch, total, start):
        if progress.step == total and cfg.evaluation_episodes:
            tasks = given_tasks(source, "evaluation after training")
            batches = collector.collect(
                tasks, loop.snapshot(total), evaluation_plan(tasks, cfg.evaluation_episodes, seed)
            )  # fmt: skip
            used = total * cfg.episodes_per_batch * width * tasks[0].horizon
            wall_s = (time.perf_counter() - begun) / len(tasks)
            found = rows(batches, [t.name for t in tasks], "", 0, used, wall_s)
            progress = replace(progress, rows=tuple(found), trace=trace(batches[0]))
        yield progress


def transfer(
    policy: PolicyData, source: TaskSource, cfg: TransferConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Fine-tuning: go on training a stored policy on other tasks, at `learning_rate`."""
    algo = _algorithm(policy, some_tasks(source, 1, seed, 0)[0])
    loop = Descent(
        algo, policy.algorithm, collector, seed,
        params=policy.params, extra=policy.extra, learning_rate=cfg.learning_rate,
    )  # fmt: skip
    total = ceil(cfg.total_episodes / cfg.episodes_per_batch)
    yield from loop.run(source, 1, cfg.episodes_per_batch, total, start)


def meta_train(
    source: TaskSource, algorithm: AlgorithmConfig, cfg: MetaConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Meta-train on tasks of `source`: every epoch adapts to `meta_batch_size` tasks and descends the meta-gradient.

    The result's `inner_lr` holds the inner rates, learnt ones if `learn_inner_lr`. An epoch takes `adaptation_steps`
    + 1 collections, whatever the number of tasks.
    """
    spec = env_spec(some_tasks(source, 1, seed, 0)[0])
    algo = algorithms.make(algorithm, spec)
    params, extra = algo.init(torch_generator(seed, "weights"))
    rates = _equal_rates(algo, params, cfg.inner_lr)
    if start is None or start.step <= cfg.warmup_epochs:
        warmup = Descent(algo, algorithm, collector, seed, params=params, extra=extra)
        for progress in warmup.run(source, cfg.meta_batch_size, cfg.episodes_per_step, cfg.warmup_epochs, start):
            result = None if progress.policy is None else replace(progress.policy, inner_lr=rates)
            yield replace(progress, total=cfg.num_meta_epochs, policy=result)
        params, extra = warmup.snapshot(0).params, warmup.snapshot(0).extra
        start = None
    joined = with_task_axis(_joined(params, rates), 1)
    outer = Optimiser(joined, cfg.outer_lr, cfg.max_grad_norm, {g: cfg.rate_lr for g in joined if g not in params})
    if start is not None:
        outer.restore(start.tensors)
        extra = under(start.tensors, "extra/")
    for step in range(start.step if start else cfg.warmup_epochs, cfg.num_meta_epochs):
        params, rates = _parted(row(outer.params, 0))
        tasks = some_tasks(source, cfg.meta_batch_size, seed, step)
        policy = PolicyData(algorithm, spec, detached(params), extra, detached(rates))
        data, points = _collect_chain(
            algo, collector, tasks, policy, cfg, seeds(seed, f"meta-{step}", cfg.adaptation_steps + 1)
        )  # fmt: skip
        metrics = _meta_descend(algo, outer, extra, points, cfg, torch_generator(seed, f"outer-{step}"))
        params, rates = _parted(detached(row(outer.params, 0)))
        extra = algo.after_update(params, extra)
        rewards = [[float(b.reward.sum(0).mean()) for b in point] for point in data]
        metrics |= {"task_performance": float(np.mean(rewards[-1])), "adaptation_speed": _speed(rewards)}
        state = LoopState(step + 1, outer.state() | {f"extra/{name}": x for name, x in extra.items()})
        result = PolicyData(algorithm, spec, params, extra, rates)
        yield Progress(step + 1, cfg.num_meta_epochs, metrics | summary(data[-1]), state, result)


def adapt(
    policy: PolicyData, source: TaskSource, cfg: AdaptConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Adapt a stored policy to every task of `source`; the rows of step j measure it after j inner steps."""
    tasks = given_tasks(source, "adaptation")
    algo = _algorithm(policy, tasks[0])
    params, extra = (
        (policy.params, policy.extra) if not cfg.random_weights else algo.init(torch_generator(seed, "weights"))
    )
    if cfg.inner_lr is None and policy.inner_lr:
        rates = policy.inner_lr
    else:
        rates = _equal_rates(algo, params, MetaConfig().inner_lr if cfg.inner_lr is None else cfg.inner_lr)
    rates = expanded(rates, len(tasks))
    current = with_task_axis(params, len(tasks))
    many = expanded_extra(extra, len(tasks))
    first, spent = 0, 0.0
    if start is not None:
        current = unflatten(start.tensors, "params")
        first, spent = start.step, start.scalars["wall_s"]
    rewards: list[list[float]] = [] if start is None else start.scalars["rewards"]
    total = cfg.adaptation_steps + 1
    for step in range(first, total):
        metrics: dict[str, float] = {}
        if step:
            begun = time.perf_counter()
            batches = collector.collect(
                tasks, PolicySnapshot(policy.algorithm, current, many, step, per_task=True),
                CollectionPlan(seeds=seeds(seed, f"support-{step}", len(tasks)), episodes=cfg.episodes_per_step),
            )  # fmt: skip
            current = adapted_once(algo, current, many, rates, algo.whole(current, many, stacked(batches)))
            spent += time.perf_counter() - begun
            metrics |= {"support_reward": float(np.mean([b.reward.sum(0).mean() for b in batches]))}
        measured = collector.collect(
            tasks, PolicySnapshot(policy.algorithm, current, many, step, per_task=True),
            evaluation_plan(tasks, cfg.evaluation_episodes, seed),
        )  # fmt: skip
        data_used = step * cfg.episodes_per_step * tasks[0].horizon
        found = rows(measured, [t.name for t in tasks], "", step, data_used, spent / len(tasks))
        rewards.append([r.reward for r in found])
        metrics |= summary(measured) | {
            "test_avg_reward": float(np.mean(rewards[-1])),
            "test_avg_length": float(np.mean([b.valid.sum(0).mean() for b in measured])),
            "adaptation_speed": _speed(rewards),
        }
        if step == cfg.adaptation_steps and cfg.compare_oracle:
            metrics["adaptation_accuracy"] = _gap_closed(tasks, rewards, cfg.evaluation_episodes, seed)
        state = LoopState(step + 1, flatten(current, "params"), {"wall_s": spent, "rewards": rewards})
        result = replace(policy, params=row(current, 0), extra=extra) if len(tasks) == 1 else None
        yield Progress(step + 1, total, metrics, state, result, tuple(found), trace(measured[0]))


def evaluate(
    policy: PolicyData | None, source: TaskSource, cfg: EvaluateConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None, calibration: TaskSource = (),
) -> Iterator[Progress]:  # fmt: skip
    """Measure a stored policy, or the baseline that `cfg` names, on every task of `source`.

    `calibration` are the tasks on which a calibrated baseline is tuned. Raises `InvalidInput` when neither a policy nor
    a baseline is given.
    """
    tasks = given_tasks(source, "evaluation")
    plan = evaluation_plan(tasks, cfg.episodes, seed)
    begun = time.perf_counter()
    if cfg.baseline:
        tuned_on = (
            calibration if isinstance(calibration, tuple) else some_tasks(calibration, CALIBRATION_TASKS, seed, 0)
        )
        batches = run_baseline(cfg.baseline, tasks, plan.seeds, cfg.episodes, training_tasks=tuned_on)
    elif policy is not None:
        _algorithm(policy, tasks[0])
        batches = collector.collect(tasks, PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0), plan)
    else:
        raise InvalidInput("evaluation", [Violation("policy_id", "give a policy or a baseline")])
    found = rows(batches, [t.name for t in tasks], "", 0, 0, (time.perf_counter() - begun) / len(tasks))
    metrics = summary(batches) | {"test_avg_reward": float(np.mean([r.reward for r in found]))}
    yield Progress(1, 1, metrics, LoopState(1, {}), policy, tuple(found), trace(batches[0]))


def evaluation_plan(tasks: Sequence[TaskSpec], episodes: int, seed: int) -> CollectionPlan:
    """The plan by which everything is measured: under one seed all methods meet the same episodes."""
    return CollectionPlan(seeds=seeds(seed, "evaluation", len(tasks)), episodes=episodes, greedy=True)


def _collect_chain(
    algo: Algorithm, collector: Collector, tasks: Sequence[TaskSpec], policy: PolicyData, cfg: MetaConfig,
    chain_seeds: Sequence[int],
) -> tuple[list[list[RolloutBatch]], list[Batch]]:  # fmt: skip
    """Collect, adapt, collect…: the rollouts and batches before each inner step and after the last."""
    k = len(tasks)
    current, rates = with_task_axis(policy.params, k), expanded(policy.inner_lr, k)
    extra = expanded_extra(policy.extra, k)
    data: list[list[RolloutBatch]] = []
    batches: list[Batch] = []
    for j, point_seed in enumerate(chain_seeds):
        if j:
            current = adapted_once(algo, current, extra, rates, batches[-1])
        snapshot = PolicySnapshot(policy.algorithm, detached(current), extra, j, per_task=True)
        plan = CollectionPlan(seeds=seeds(point_seed, "tasks", k), episodes=cfg.episodes_per_step)
        data.append(collector.collect(tasks, snapshot, plan))
        batches.append(algo.whole(current, extra, stacked(data[-1])))
    return data, batches


def _meta_descend(
    algo: Algorithm, outer: Optimiser, extra: Extra, points: Sequence[Batch], cfg: MetaConfig,
    generator: torch.Generator,
) -> dict[str, float]:  # fmt: skip
    """Outer updates on one chain of collections; metrics of the first pass, where the data are on-policy."""
    share = cfg.multi_step_loss
    weights = (share / cfg.adaptation_steps,) * cfg.adaptation_steps + (1.0 - share,)
    tasks = points[0]["weight"].shape[0]
    before, after, norms = [], [], []
    for epoch in range(cfg.outer_epochs):
        for chosen in torch.split(torch.randperm(tasks, generator=generator), cfg.tasks_per_update or tasks):
            part = [{name: x[chosen] for name, x in point.items()} for point in points]
            params, rates = _parted(row(outer.params, 0))
            found = meta_gradient(
                algo, params, extra, rates, part[:-1], part[-1],
                first_order=cfg.method == "fomaml", step_weights=weights,
            )  # fmt: skip
            grads = dict(found.params)
            for group, names in found.rates.items():
                learnt = {n: x * rates[group][n] * cfg.learn_inner_lr for n, x in names.items()}
                grads[f"rate/{group}"] = learnt
            norms.append(outer.step(with_task_axis(grads, 1)))
            if epoch == 0:
                before.append(found.loss_before)
                after.append(found.loss_after)
    first, last = torch.cat(before).mean(), torch.cat(after).mean()
    return {
        "meta_loss": float(last), "avg_task_loss": float(first), "adaptation_loss": float(last - first),
        "gradient_norm": float(torch.cat(norms).mean()),
    }  # fmt: skip


def _joined(params: Params, rates: Params) -> Params:
    """One tree to optimise: parameters, and rates as logarithms, so that they stay positive and change by factors."""
    return params | {f"rate/{group}": {n: x.log() for n, x in names.items()} for group, names in rates.items()}


def _parted(joined: Params) -> tuple[Params, Params]:
    params = {g: names for g, names in joined.items() if not g.startswith("rate/")}
    logarithms = {g: joined[f"rate/{g}"] for g in params if f"rate/{g}" in joined}
    return params, tree_map(lambda x: x.detach().exp().clamp_max(LARGEST_RATE), logarithms)


def _equal_rates(algo: Algorithm, params: Params, rate: float) -> Params:
    return tree_map(lambda leaf: torch.full_like(leaf, rate), {group: params[group] for group in algo.inner_groups})


def _algorithm(policy: PolicyData, task: TaskSpec) -> Algorithm:
    """The policy's algorithm bound to the task's environment; raises `InvalidInput` when the two don't fit."""
    spec = env_spec(task)
    made_for = policy.env_spec
    same_kind = (spec.env_id, spec.action_entity) == (made_for.env_id, made_for.action_entity)
    moves = policy.algorithm.network == "set" and spec.action_entity in ("deployment", "pair")
    if not same_kind or (spec != made_for and not moves):
        raise InvalidInput(
            f"task {task.name}", [Violation("env_id", f"the policy was made for {made_for}, not {spec}")]
        )
    return algorithms.make(policy.algorithm, spec)


def _speed(rewards: Sequence[Sequence[float]]) -> float:
    """Mean gain of reward per inner step: `rewards[j]` are the tasks' rewards after j steps."""
    return float(np.mean(rewards[-1]) - np.mean(rewards[0])) / max(1, len(rewards) - 1)


def _gap_closed(tasks: Sequence[TaskSpec], rewards: Sequence[Sequence[float]], episodes: int, seed: int) -> float:
    """Share of the gap from the unadapted policy to the oracle that adaptation closes, on the same episodes."""
    plan = evaluation_plan(tasks, episodes, seed)
    best = run_baseline("oracle", tasks, plan.seeds, episodes)
    oracle = float(np.mean([b.reward.sum(0).mean() for b in best]))
    before, after = float(np.mean(rewards[0])), float(np.mean(rewards[-1]))
    return (after - before) / max(oracle - before, 1e-9)
