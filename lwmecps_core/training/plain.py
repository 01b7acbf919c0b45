"""Training from nothing, and measuring."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from lwmecps_core import algorithms, fits
from lwmecps_core.algorithms.base import Extra, Params
from lwmecps_core.baselines.run import try_and_run
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.discovered import without_file
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.idle import bounds, check_tasks, check_training
from lwmecps_core.optimiser import scheduled
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import Collector, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, EvaluateConfig, TrainConfig, rollout_length
from lwmecps_core.specs import EnvSpec, TaskDistribution, TaskSpec
from lwmecps_core.training import curriculum as curricula
from lwmecps_core.training.common import bound_algorithm, evaluation_plan, mean_rewards, remembered
from lwmecps_core.training.evaluation import rows, signed, summary, trace
from lwmecps_core.training.loop import Descent
from lwmecps_core.training.multipliers import Multipliers, told_by
from lwmecps_core.training.progress import LoopState, Progress, TaskSource
from lwmecps_core.training.sampling import given_tasks, seeds, some_tasks, torch_generator, total_episodes
from lwmecps_core.training.sources import check_together
from lwmecps_core.training.timing import timed

CALIBRATION_TASKS = 32
EPISODES = 100
"""How long a run trains where neither it nor its tasks say."""


def train(
    source: TaskSource,
    algorithm: AlgorithmConfig,
    cfg: TrainConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
    policy: PolicyData | None = None,
) -> Iterator[Progress]:
    """Train from nothing: one policy on the tasks of `source`, or side by side one for each (`independent`).

    `total_episodes` counts the episodes of all tasks that share a policy; where it says nothing, the tasks do. Ends
    with rows when `evaluation_episodes` asks for them. With `policy` it starts from that one's weights, which must be
    of such an algorithm (`fits.check_goes_on`); what its optimiser and its replay memory held is not kept.
    """
    every = [source] if isinstance(source, TaskDistribution) else source
    check_training(algorithm, cfg)
    check_together(every)
    check_tasks(cfg, every)
    some = some_tasks(source, 1, seed, 0)[0]
    spec = env_spec(some)
    algo, algorithm = algorithms.from_nothing(algorithm, spec), without_file(algorithm)
    params, extra = _taken_over(policy, algorithm, spec) if policy else algo.init(torch_generator(seed, "weights"))
    sets = len(given_tasks(source, "independent training")) if cfg.independent else 1
    width = 1 if cfg.independent else cfg.tasks_per_batch
    at_once = cfg.episodes_per_batch * width
    imitated = ceil(cfg.imitation_episodes / at_once)
    own = ceil(total_episodes(cfg.total_episodes, source, EPISODES) / at_once)
    total = imitated + own
    multipliers = Multipliers(cfg, given, sets, seed) if (given := bounds(every)) else None
    times, length = cfg.collections_per_task, rollout_length(algorithm)
    curriculum = curricula.made(cfg, source, width=width, times=times, length=length, seed=seed)
    loop = Descent(
        algo,
        algorithm,
        collector,
        seed,
        params=params,
        extra=extra,
        sets=sets,
        rate_share=lambda step: scheduled(cfg.schedule, cfg.schedule_share, max(step - imitated, 0), own),
        entropy_share=lambda step: 1.0 - (1.0 - cfg.entropy_share) * max(step - imitated, 0) / max(own - 1, 1),
        collections_per_task=times,
        multipliers=multipliers,
        curriculum=curriculum,
        imitated=imitated,
    )
    begun = time.perf_counter()
    for progress in loop.run(source, width, cfg.episodes_per_batch, total, start):
        if progress.step == total and cfg.evaluation_episodes:
            tasks = given_tasks(source, "evaluation after training")
            tasks = multipliers.told(tasks) if multipliers else tasks
            used = total * at_once * (length or tasks[0].horizon)
            plan = evaluation_plan(tasks, cfg.evaluation_episodes, seed)
            batches = collector.collect(tasks, loop.snapshot(total), plan)
            wall_s, earned = (time.perf_counter() - begun) / len(tasks), loop.earned(total, tasks[0].horizon)
            progress = replace(progress, **_measured(tasks, batches, used, wall_s, earned))
        yield progress


def _measured(
    tasks: list[TaskSpec], batches: list[RolloutBatch], used: int, wall_s: float, earned: list[float]
) -> dict[str, Any]:
    """What progress says of the measured episodes after training for `used` intervals."""
    episode = used // tasks[0].horizon + 1
    names = [t.name for t in tasks]
    found = rows(batches, names, "", 0, used, wall_s, episode=episode, support=earned, tasks=tasks)
    return {"rows": tuple(found), "trace": trace(batches[0], tasks[0])}


def _taken_over(policy: PolicyData, algorithm: AlgorithmConfig, spec: EnvSpec) -> tuple[Params, Extra]:
    """The weights of a policy that training by `algorithm` may go on from; raises `InvalidInput` unless it may."""
    fits.check_goes_on(policy.algorithm, policy.env_spec, algorithm, spec, "training")
    fits.bound(policy, spec, "training", "policy_id")
    return policy.params, policy.extra


def evaluate(
    policy: PolicyData | None,
    source: TaskSource,
    cfg: EvaluateConfig,
    collector: Collector,
    *,
    seed: int,
    start: LoopState | None = None,
    calibration: TaskSource = (),
) -> Iterator[Progress]:
    """Measure a stored policy, or the baseline that `cfg` names, on every task of `source`.

    `calibration` are the tasks on which a baseline that has settings is tuned. Raises `InvalidInput` when neither a
    policy nor a baseline is given.
    """
    tasks = given_tasks(source, "evaluation")
    begun = time.perf_counter()
    if cfg.baseline:
        measured = [_of_baseline(tasks, cfg, calibration, seed)]
    elif policy is not None:
        bound_algorithm(policy, tasks[0])
        tasks = told_by(policy.metadata, tasks)
        measured = list(_of_policy(policy, tasks, cfg, collector, seed))
    else:
        raise InvalidInput("evaluation", [Violation("policy_id", "give a policy or a baseline")])
    wall_s, names, horizon = (time.perf_counter() - begun) / len(tasks), [t.name for t in tasks], tasks[0].horizon
    found = [
        row
        for m in measured
        for row in rows(
            m.batches, names, "", 0, m.before * horizon, wall_s, episode=m.before + 1, support=m.support, tasks=tasks
        )
    ]
    found = timed(found, tasks, policy if policy and not cfg.baseline else cfg.baseline)
    last = measured[-1].batches
    mean = float(np.mean([row.reward for row in found[-len(tasks) :]]))
    metrics = summary(last) | signed(last, tasks) | {"test_avg_reward": mean}
    yield Progress(1, 1, metrics, LoopState(1, {}), policy, tuple(found), trace(last[0], tasks[0]))


@dataclass(frozen=True)
class _Measured:
    """Rollouts that measure, how many episodes on each task came `before`, and what these earned on average."""

    batches: list[RolloutBatch]
    before: int
    support: Sequence[float] = ()


def _of_baseline(tasks: Sequence[TaskSpec], cfg: EvaluateConfig, calibration: TaskSource, seed: int) -> _Measured:
    tuned_on = calibration if isinstance(calibration, tuple) else some_tasks(calibration, CALIBRATION_TASKS, seed, 0)
    plan = evaluation_plan(tasks, cfg.episodes, seed)
    batches, trials = try_and_run(cfg.baseline, tasks, plan.seeds, cfg.episodes, training_tasks=tuned_on)
    return _Measured(batches, trials.episodes, trials.rewards)


def _of_policy(
    policy: PolicyData, tasks: Sequence[TaskSpec], cfg: EvaluateConfig, collector: Collector, seed: int
) -> Iterator[_Measured]:
    """The policy on the episodes that every method meets, after having had so many others on each task."""
    plan, earned = evaluation_plan(tasks, cfg.episodes, seed), list[list[float]]()
    snapshot = PolicySnapshot(policy.algorithm, policy.params, policy.extra, 0)
    for before in range(max(cfg.episodes_before) + 1):
        if before:
            others = replace(plan, seeds=seeds(seed, f"before-{before}", len(tasks)))
            batches = collector.collect(tasks, snapshot, others)
            snapshot = replace(snapshot, memory=remembered(batches))
            earned.append(mean_rewards(batches))
        if before in cfg.episodes_before:
            support = np.mean(earned, axis=0).tolist() if earned else ()
            yield _Measured(collector.collect(tasks, snapshot, plan), before, support)
