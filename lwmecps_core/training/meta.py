"""Meta-training: chains of collections and inner steps on many tasks, and descent of the meta-gradient."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lwmecps_core import algorithms, meta
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.meta.base import MetaGradient, MetaLearner, collections
from lwmecps_core.optimiser import PackedOptimiser, with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, MetaConfig
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import equal_rates
from lwmecps_core.training.evaluation import summary
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import seeds, some_tasks, torch_generator
from lwmecps_core.transfer.metrics import adaptation_speed
from lwmecps_core.tree import detached, expanded, expanded_extra, prefixed, tree_map, under

LARGEST_RATE = 1.0
"""Of inner steps: parameters that seldom have a gradient would otherwise learn to leap when they have one."""


def meta_train(
    source: TaskSource,
    algorithm: AlgorithmConfig,
    cfg: MetaConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:
    """Meta-train on tasks of `source`: every epoch adapts to `meta_batch_size` tasks and descends the meta-gradient.

    The result's `inner_lr` holds the inner rates, learnt ones if `learn_inner_lr` and the method learns any; its
    metadata hold the inner rule, by which it adapts later. An epoch takes `adaptation_steps` + 1 collections (two, if
    the method freezes the support data), whatever the number of tasks.
    """
    algo = algorithms.make(algorithm, env_spec(some_tasks(source, 1, seed, 0)[0]))
    yield from meta_descent(algo, source, algorithm, cfg, collector, seed=seed, start=start)


def meta_descent(
    algo: Algorithm,
    source: TaskSource,
    algorithm: AlgorithmConfig,
    cfg: MetaConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:
    """Meta-training of `algo`, whatever its environment: `source` holds what `collector` takes for tasks."""
    learner, spec = meta.REGISTRY[cfg.method], algo.spec
    rule = {"meta_method": cfg.method, "proximal": cfg.proximal}
    params, extra = algo.init(torch_generator(seed, "weights"))
    rates = equal_rates(algo, params, cfg.inner_lr)
    if start is None or start.step <= cfg.warmup_epochs:
        warmup = Descent(algo, algorithm, collector, seed, params=params, extra=extra)
        for progress in warmup.run(source, cfg.meta_batch_size, cfg.episodes_per_step, cfg.warmup_epochs, start):
            result = None if progress.policy is None else replace(progress.policy, inner_lr=rates, metadata=rule)
            yield replace(progress, total=cfg.num_meta_epochs, policy=result)
        params, extra = warmup.snapshot(0).params, warmup.snapshot(0).extra
        start = None
    joined = _joined(params, rates)
    rate_lrs = {group: cfg.rate_lr for group in joined if group not in params}
    outer = PackedOptimiser(joined, cfg.outer_lr, cfg.max_grad_norm, rate_lrs)
    if start is not None:
        outer.restore(start.tensors)
        extra = under(start.tensors, "extra/")
    for step in range(start.step if start else cfg.warmup_epochs, cfg.num_meta_epochs):
        params, rates = _parted(outer.params)
        tasks = some_tasks(source, cfg.meta_batch_size, seed, step)
        policy = PolicyData(algorithm, spec, detached(params), extra, detached(rates))
        data, points = _collect_chain(
            learner, algo, collector, tasks, policy, cfg, seeds(seed, f"meta-{step}", collections(learner, cfg))
        )
        metrics = _meta_descend(learner, algo, outer, extra, points, cfg, torch_generator(seed, f"outer-{step}"))
        params, rates = _parted(detached(outer.params))
        extra = algo.after_update(params, extra)
        curve = [float(np.mean([float(b.reward.sum(0).mean()) for b in point])) for point in data]
        metrics |= {"task_performance": curve[-1]}
        metrics |= {"adaptation_speed": adaptation_speed(curve, cfg.adaptation_steps)}
        state = LoopState(step + 1, outer.state() | prefixed(extra, "extra/"))
        result = PolicyData(algorithm, spec, params, extra, rates, rule)
        yield Progress(step + 1, cfg.num_meta_epochs, metrics | summary(data[-1]), state, result)


def _collect_chain(
    learner: MetaLearner,
    algo: Algorithm,
    collector: Collector,
    tasks: Sequence[TaskSpec],
    policy: PolicyData,
    cfg: MetaConfig,
    chain_seeds: Sequence[int],
) -> tuple[list[list[RolloutBatch]], list[Batch]]:
    """Collect, adapt, collect…: the rollouts and batches before each round of inner steps and after the last."""
    k = len(tasks)
    start, rates = with_task_axis(policy.params, k), expanded(policy.inner_lr, k)
    current, steps_each = start, cfg.adaptation_steps // (len(chain_seeds) - 1)
    extra = expanded_extra(policy.extra, k)
    data: list[list[RolloutBatch]] = []
    batches: list[Batch] = []
    for j, point_seed in enumerate(chain_seeds):
        for _ in range(steps_each if j else 0):
            current = learner.step(algo, start, current, extra, rates, batches[-1], cfg)
        snapshot = PolicySnapshot(policy.algorithm, detached(current), extra, j, per_task=True)
        plan = CollectionPlan(seeds=seeds(point_seed, "tasks", k), episodes=cfg.episodes_per_step)
        data.append(collector.collect(tasks, snapshot, plan))
        batches.append(algo.prepare(current, extra, stacked(data[-1]), torch_generator(point_seed, "noise")))
    return data, batches


def _meta_descend(
    learner: MetaLearner,
    algo: Algorithm,
    outer: PackedOptimiser,
    extra: Extra,
    points: Sequence[Batch],
    cfg: MetaConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Outer updates on one chain of collections; metrics of the first pass, where the data are on-policy."""
    tasks = points[0]["weight"].shape[0]
    norms: list[Tensor] = []
    on_policy: list[MetaGradient] = []
    for epoch in range(cfg.outer_epochs):
        for chosen in torch.split(torch.randperm(tasks, generator=generator), cfg.tasks_per_update or tasks):
            part = [{name: x[chosen] for name, x in point.items()} for point in points]
            params, rates = _parted(outer.params)
            found = learner.meta_gradient(algo, params, extra, rates, part, cfg)
            grads = dict(found.params)
            for group, names in found.rates.items():
                grads[f"rate/{group}"] = {n: x * rates[group][n] for n, x in names.items()}
            norms.append(outer.step(grads))
            if epoch == 0:
                on_policy.append(found)

    def mean(values: Iterable[Tensor]) -> float:
        return float(torch.cat(list(values)).mean())

    first, last = mean(f.loss_before for f in on_policy), mean(f.loss_after for f in on_policy)
    own = {name: mean(f.metrics[name] for f in on_policy) for name in on_policy[0].metrics}
    return own | {
        "meta_loss": last,
        "avg_task_loss": first,
        "adaptation_loss": last - first,
        "gradient_norm": mean(norms),
    }


def _joined(params: Params, rates: Params) -> Params:
    """One tree to optimise: parameters, and rates as logarithms, so that they stay positive and change by factors."""
    return params | {f"rate/{group}": {n: x.log() for n, x in names.items()} for group, names in rates.items()}


def _parted(joined: Params) -> tuple[Params, Params]:
    params = {g: names for g, names in joined.items() if not g.startswith("rate/")}
    logarithms = {g: joined[f"rate/{g}"] for g in params if f"rate/{g}" in joined}
    return params, tree_map(lambda x: x.detach().exp().clamp_max(LARGEST_RATE), logarithms)
