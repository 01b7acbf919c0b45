"""Training of a stored policy on other tasks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import torch

from lwmecps_core.algorithms.base import Algorithm, Batch, Params, begun_anew
from lwmecps_core.algorithms.returns import flat_samples
from lwmecps_core.algorithms.sight import shown, visible
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.optimiser import scheduled
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, TransferConfig, rollout_length
from lwmecps_core.specs import EnvSpec
from lwmecps_core.training.common import bound_algorithm
from lwmecps_core.training.loop import AddedLoss, Descent, Losses, Method
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import seeds, some_tasks, torch_generator, total_episodes
from lwmecps_core.transfer import domain, freezing, metrics
from lwmecps_core.tree import prefixed, under

EPISODES = 20
"""How long a run trains where neither it nor its tasks say."""


@dataclass(frozen=True)
class TransferSetting:
    """What a type of transfer may depend on; `origin` are the source tasks."""

    cfg: TransferConfig
    algo: Algorithm
    policy: PolicyData
    origin: TaskSource
    collector: Collector
    seed: int


def transfer(
    policy: PolicyData,
    source: TaskSource,
    cfg: TransferConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
    origin: TaskSource = (),
) -> Iterator[Progress]:
    """Go on training a stored policy on the target tasks `source`, at `learning_rate`, by the type `cfg.method`.

    `origin` are source tasks. With `compare_scratch` another policy learns from nothing beside it, from as many
    episodes of the same tasks with the same seeds, at its algorithm's own rate; the last step then has the metrics of
    `lwmecps_core.transfer.metrics`. Raises `InvalidInput` when the method can't work with the policy or the tasks.
    """
    first = some_tasks(source, 1, seed, 0)[0]
    domain.check_origin(cfg, origin if isinstance(origin, tuple) else (origin,), first.env_id)
    algo = bound_algorithm(policy, first)
    method = METHODS[cfg.method](TransferSetting(cfg, algo, policy, origin, collector, seed))
    total = ceil(total_episodes(cfg.total_episodes, source, EPISODES) / cfg.episodes_per_batch)
    share = partial(scheduled, cfg.schedule, cfg.schedule_share, total=total)
    loops = {
        "": Descent(
            algo,
            policy.algorithm,
            collector,
            seed,
            params=policy.params,
            extra=policy.extra,
            learning_rate=cfg.learning_rate,
            method=method,
            rate_share=share,
        )
    }
    if cfg.compare_scratch:
        params, extra = begun_anew(algo, policy.extra, torch_generator(seed, "weights"))
        scratch = Descent(algo, policy.algorithm, collector, seed, params=params, extra=extra, rate_share=share)
        loops["scratch/"] = scratch
    curves: dict[str, list[float]] = {name: list(start.scalars["curves"][name]) if start else [] for name in loops}
    runs = [
        loop.run(source, 1, cfg.episodes_per_batch, total, start and LoopState(start.step, under(start.tensors, name)))
        for name, loop in loops.items()
    ]
    for steps in zip(*runs, strict=True):
        tensors: dict[str, torch.Tensor] = {}
        for (name, curve), one in zip(curves.items(), steps, strict=True):
            curve.append(one.metrics["total_reward"])
            tensors |= prefixed(one.state.tensors, name)
        progress = steps[0]
        found = metrics.parameter_distance(loops[""].snapshot(progress.step).params, policy.params)
        found["adaptation_speed"] = metrics.adaptation_speed(curves[""])
        if cfg.compare_scratch:
            found["scratch_reward"] = curves["scratch/"][-1]
            if progress.step == total:
                found |= metrics.against_scratch(curves[""], curves["scratch/"])
        scalars = {"curves": {name: list(curve) for name, curve in curves.items()}}
        yield replace(progress, metrics=progress.metrics | found, state=LoopState(progress.step, tensors, scalars))


def _fine_tuning(x: TransferSetting) -> Method:
    """All weights learn."""
    return Method()


def _feature_extraction(x: TransferSetting) -> Method:
    """Only output layers learn: everything below them is taken over as it is."""
    freezing.check_features(x.cfg.method, x.policy.params)
    return Method(trained=lambda params, step, total: freezing.output_layers(params))


def _layer_wise(x: TransferSetting) -> Method:
    """The first layers start frozen and thaw one by one."""
    freezing.check_features(x.cfg.method, x.policy.params)
    freezing.check_frozen_layers(x.cfg.frozen_layers, x.policy.params)

    def trained(params: Params, step: int, total: int) -> Params:
        return freezing.from_layer(params, freezing.still_frozen(x.cfg.frozen_layers, step, total))

    return Method(trained=trained)


def _domain_adaptation(x: TransferSetting) -> Method:
    """All weights learn on the target's rollouts, and features also to hide which domain they come from.

    Every step collects as many episodes of a source task, with the same policy.
    """
    freezing.check_features(x.cfg.method, x.policy.params)
    domain.check_features(x.policy.algorithm)
    group = domain.feature_group(x.policy.params)

    def added(policy: PolicySnapshot, step: int) -> AddedLoss:
        tasks = some_tasks(x.origin, 1, seeds(x.seed, "origin", 1)[0], step)
        spec = bound_algorithm(x.policy, tasks[0]).spec
        plan = CollectionPlan(
            seeds=seeds(x.seed, f"origin-{step}", 1),
            episodes=x.cfg.episodes_per_batch,
            length=rollout_length(x.policy.algorithm),
        )
        seen = _observed(x.collector.collect(tasks, policy, plan)[0], x.policy.algorithm, spec)
        generator = torch_generator(x.seed, f"domain-{step}")

        def hide(params: Params, losses: Losses, batch: Batch) -> Losses:
            some = domain.sampled(seen, batch["weight"].shape[1], generator)
            loss = domain.domain_loss(
                params,
                domain.Observed(shown(x.policy.algorithm, spec), some["obs"], some["weight"]),
                domain.Observed(shown(x.policy.algorithm, x.algo.spec), batch["obs"], batch["weight"]),
                x.cfg.domain_weight,
            )
            shaped = {group: losses[group] + loss} if group in losses else {}
            return losses | shaped | {domain.GROUP: loss}

        return hide

    spec = shown(x.policy.algorithm, x.policy.env_spec)
    helpers = domain.init_classifier(x.policy.params, spec, torch_generator(x.seed, "domain"))
    return Method(helpers=helpers, added=added)


def _observed(batch: RolloutBatch, algorithm: AlgorithmConfig, spec: EnvSpec) -> Batch:
    """What the networks see of the frames of a rollout that were acted on, as `[1, S, ...]`."""
    fields = {"obs": visible(algorithm, spec, torch.as_tensor(batch.obs[:-1])), "weight": torch.as_tensor(batch.valid)}
    return {name: flat_samples(x, 0).float().unsqueeze(0) for name, x in fields.items()}


METHODS: dict[str, Callable[[TransferSetting], Method]] = {
    "fine_tuning": _fine_tuning,
    "feature_extraction": _feature_extraction,
    "layer_wise": _layer_wise,
    "domain_adaptation": _domain_adaptation,
}
"""How a descent differs in each type of transfer."""
