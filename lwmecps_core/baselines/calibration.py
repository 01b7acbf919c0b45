"""On which training tasks rules are tuned when their users name none."""

from functools import lru_cache
from itertools import repeat

import numpy as np

from lwmecps_core.baselines.hpa import HpaSettings, calibrate
from lwmecps_core.baselines.rates import UTILISATIONS, RateRule, RateSettings
from lwmecps_core.config import parse
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.play import play
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

TRAINING_TASKS = 32
TRAINING_SEED = 10**9
"""Of the first training task; held-out tasks are drawn from smaller seeds."""


def calibrated_for(task: TaskSpec) -> HpaSettings:
    """The autoscaler's best settings on tasks of the task's own kind."""
    return _calibrated(_kind_of(task))


def rates_calibrated_for(task: TaskSpec) -> RateSettings:
    """The best settings of the rule of rates on tasks of the task's own kind."""
    return _rates_calibrated(_kind_of(task))


def _kind_of(task: TaskSpec) -> TaskDistribution:
    """Tasks of the task's own family (`mec_city` if it has none), environment and size."""
    fields = {
        "family": task.family if task.family in FAMILIES else "mec_city",
        "env_id": task.env_id,
        "nodes": len(task.cluster.nodes),
        "deployments": len(task.deployments),
        "max_replicas": max(d.max_replicas for d in task.deployments),
        "horizon": task.horizon,
    }
    distribution: TaskDistribution = parse(TaskDistribution, fields, task.name)
    return distribution


@lru_cache(maxsize=16)
def _calibrated(distribution: TaskDistribution) -> HpaSettings:
    return calibrate(_training(distribution))


@lru_cache(maxsize=16)
def _rates_calibrated(distribution: TaskDistribution) -> RateSettings:
    tasks, each = _training(distribution), [RateSettings(utilisation=u) for u in UTILISATIONS]
    env = BatchEnv(tasks, np.tile(np.arange(len(tasks)), len(each)))
    rule = RateRule(scene(tasks, env.task_of), [settings for settings in each for _ in tasks])
    seeds = np.tile(episode_seeds(0, len(tasks)), len(each))
    intervals = play(env, rule, rule.begin(seeds), env.reset(seeds), repeat(None, env.spec.horizon))
    total = sum((interval.reward.astype(np.float64) for interval in intervals), np.zeros(env.size))
    return each[int(total.reshape(len(each), -1).mean(1).argmax())]


def _training(distribution: TaskDistribution) -> list[TaskSpec]:
    return [draw(distribution, TRAINING_SEED + i) for i in range(TRAINING_TASKS)]
