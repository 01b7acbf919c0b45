"""Meta-training: chains of collections and inner steps on many tasks, and descent of the meta-gradient."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lwmecps_core import algorithms, meta
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, learnable
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import dump
from lwmecps_core.discovered import without_file
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.meta.base import MetaGradient, MetaLearner, collections
from lwmecps_core.optimiser import PackedOptimiser, scheduled, with_task_axis
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, MetaConfig, rollout_length
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.training import belief
from lwmecps_core.training.belief import BeliefLearner
from lwmecps_core.training.common import check_sound
from lwmecps_core.training.curriculum import Curriculum, made
from lwmecps_core.training.evaluation import summary
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import seeds, some_tasks, torch_generator
from lwmecps_core.training.sources import check_together
from lwmecps_core.transfer.metrics import adaptation_speed
from lwmecps_core.tree import detached, expanded, expanded_extra, prefixed, under

LEARNT = "learnt/"
"""What the names of the meta-learner's own groups begin with where they are optimised beside the policy's."""


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

    The result's `learnt` holds what the meta-learner has learnt beside the start, its metadata the meta-learner by
    whose steps it adapts later. An epoch takes `adaptation_steps` + 1 collections (two, if
    the method freezes the support data), whatever the number of tasks.
    """
    check_together([source] if isinstance(source, TaskDistribution) else source)
    algo = algorithms.from_nothing(algorithm, env_spec(some_tasks(source, 1, seed, 0)[0]))
    algorithm = without_file(algorithm)
    length = rollout_length(algorithm) if cfg.warmup_epochs else 0
    curriculum = made(cfg, source, width=cfg.meta_batch_size, length=length, seed=seed)
    yield from meta_descent(algo, source, algorithm, cfg, collector, seed=seed, start=start, curriculum=curriculum)


def meta_descent(
    algo: Algorithm,
    source: TaskSource,
    algorithm: AlgorithmConfig,
    cfg: MetaConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
    curriculum: Curriculum | None = None,
) -> Iterator[Progress]:
    """Meta-training of `algo`, whatever its environment: `source` holds what `collector` takes for tasks.

    A `curriculum` chooses them, and scores them by the rollouts after the inner steps.
    """
    learner, spec = meta.make(cfg.learner), algo.spec
    rule = {"meta_learner": dump(cfg.learner)}
    params, extra = algo.init(torch_generator(seed, "weights"))
    learnt = learner.init(algo, params, cfg.inner_lr)
    share = partial(scheduled, cfg.schedule, cfg.schedule_share, total=cfg.num_meta_epochs)
    if start is None or start.step <= cfg.warmup_epochs:
        warmup = Descent(
            algo, algorithm, collector, seed, params=params, extra=extra, rate_share=share, curriculum=curriculum
        )
        for progress in warmup.run(source, cfg.meta_batch_size, cfg.episodes_per_step, cfg.warmup_epochs, start):
            result = None if progress.policy is None else replace(progress.policy, learnt=learnt, metadata=rule)
            yield replace(progress, total=cfg.num_meta_epochs, policy=result)
        params, extra = warmup.snapshot(0).params, warmup.snapshot(0).extra
        start = None
    free = _marked(learner.free(learnt))
    outer = PackedOptimiser(params | free, cfg.outer_lr, cfg.max_grad_norm, dict.fromkeys(free, learner.learning_rate))
    believing = belief.made(algo, algorithm, expanded(params, 1), seed)
    if start is not None:
        outer.restore(start.tensors)
        extra = under(start.tensors, "extra/")
        _restore(start.tensors, curriculum, believing)
    for step in range(start.step if start else cfg.warmup_epochs, cfg.num_meta_epochs):
        params, learnt = _parted(learner, outer.params)
        tasks = curriculum.next(step)[0] if curriculum else some_tasks(source, cfg.meta_batch_size, seed, step)
        policy = PolicyData(algorithm, spec, detached(params), extra, detached(learnt))
        chain_seeds = seeds(seed, f"meta-{step}", collections(learner, cfg.adaptation_steps))
        data, points = _collect_chain(learner, algo, collector, tasks, policy, cfg, chain_seeds)
        outer.rate_share = share(step)
        metrics = _scored(curriculum, algo, policy, tasks, data[-1], step, seed)
        points = _learnt_from(curriculum, points)
        metrics |= _meta_descend(learner, algo, outer, extra, points, cfg, torch_generator(seed, f"outer-{step}"))
        metrics |= _believe(believing, outer, curriculum, data, tasks, step)
        check_sound(expanded(outer.params, 1), step)
        params, learnt = _parted(learner, detached(outer.params))
        extra = algo.after_update(params, extra)
        curve = [float(np.mean([float(b.reward.sum(0).mean()) for b in point])) for point in data]
        metrics |= {"task_performance": curve[-1]}
        metrics |= {"adaptation_speed": adaptation_speed(curve, cfg.adaptation_steps)}
        state = LoopState(step + 1, outer.state() | prefixed(extra, "extra/") | _beside(curriculum, believing))
        result = PolicyData(algorithm, spec, params, extra, learnt, rule)
        yield Progress(step + 1, cfg.num_meta_epochs, metrics | summary(data[-1]), state, result)


def _scored(
    curriculum: Curriculum | None,
    algo: Algorithm,
    policy: PolicyData,
    tasks: Sequence[TaskSpec],
    batches: Sequence[RolloutBatch],
    step: int,
    seed: int,
) -> dict[str, float]:
    """Score the tasks by rollouts of the adapted policies and, where critics judge, that of the start."""
    if not curriculum:
        return {}
    shot = PolicySnapshot(policy.algorithm, policy.params, policy.extra, step)
    return curriculum.learn(algo, shot, tasks, batches, step, torch_generator(seed, f"scores-{step}"))


def _learnt_from(curriculum: Curriculum | None, points: list[Batch]) -> list[Batch]:
    if not curriculum:
        return points
    return [{name: x[curriculum.learnt] for name, x in point.items()} for point in points]


def _believe(
    believing: BeliefLearner | None,
    outer: PackedOptimiser,
    curriculum: Curriculum | None,
    data: Sequence[Sequence[RolloutBatch]],
    tasks: Sequence[TaskSpec],
    step: int,
) -> dict[str, float]:
    """Let the belief learn from all collections of the tasks that are learnt from; returns metrics."""
    if not believing:
        return {}
    chosen = curriculum.learnt if curriculum else range(len(tasks))
    seen, of = [point[i] for point in data for i in chosen], [tasks[i] for _ in data for i in chosen]
    return believing.learn(outer.params, seen, of, step, outer.rate_share)


def _beside(curriculum: Curriculum | None, believing: BeliefLearner | None) -> dict[str, Tensor]:
    """The state of what there is beside the optimiser."""
    kept = prefixed(curriculum.state(), "curriculum/") if curriculum else {}
    return kept | (prefixed(believing.state(), "belief/") if believing else {})


def _restore(tensors: dict[str, Tensor], curriculum: Curriculum | None, believing: BeliefLearner | None) -> None:
    """Take over what `_beside` returned."""
    if curriculum:
        curriculum.restore(under(tensors, "curriculum/"))
    if believing:
        believing.restore(under(tensors, "belief/"))


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
    start, learnt = with_task_axis(policy.params, k), expanded(policy.learnt, k)
    current, steps_each = start, cfg.adaptation_steps // (len(chain_seeds) - 1)
    extra = expanded_extra(policy.extra, k)
    data: list[list[RolloutBatch]] = []
    batches: list[Batch] = []
    for j, point_seed in enumerate(chain_seeds):
        for _ in range(steps_each if j else 0):
            current = learner.step(algo, start, current, extra, learnt, batches[-1])
        snapshot = PolicySnapshot(policy.algorithm, detached(current), extra, j, per_task=True)
        plan = CollectionPlan(seeds=seeds(point_seed, "tasks", k), episodes=cfg.episodes_per_step)
        data.append(collector.collect(tasks, snapshot, plan))
        batches.append(learnable(algo, current, extra, stacked(data[-1]), torch_generator(point_seed, "noise")))
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
    if not tasks:
        return {}
    norms: list[Tensor] = []
    on_policy: list[MetaGradient] = []
    for epoch in range(cfg.outer_epochs):
        for chosen in torch.split(torch.randperm(tasks, generator=generator), cfg.tasks_per_update or tasks):
            part = [{name: x[chosen] for name, x in point.items()} for point in points]
            params, learnt = _parted(learner, outer.params)
            found = learner.meta_gradient(algo, params, extra, learnt, part, cfg.adaptation_steps)
            norms.append(outer.step(found.params | _marked(found.learnt)))
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


def _marked(learnt: Params) -> Params:
    """The meta-learner's own groups under names that no policy's group has."""
    return {LEARNT + group: names for group, names in learnt.items()}


def _parted(learner: MetaLearner, joined: Params) -> tuple[Params, Params]:
    """The start, and what is learnt beside it, out of the one tree that is optimised."""
    params = {group: names for group, names in joined.items() if not group.startswith(LEARNT)}
    free = {group.removeprefix(LEARNT): names for group, names in joined.items() if group not in params}
    return params, learner.bound(free)
