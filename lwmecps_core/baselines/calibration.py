"""On which training tasks rules are tuned: those that their users name, else some of the tasks' own kind."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from lwmecps_core.baselines.hpa import HpaSettings, calibrate
from lwmecps_core.baselines.rates import RateSettings, calibrate_rates
from lwmecps_core.config import parse
from lwmecps_core.envs.scene import Scene
from lwmecps_core.specs import FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

S = TypeVar("S")
TRAINING_TASKS = 32
TRAINING_SEED = 10**9
"""Of the first training task; held-out tasks are drawn from smaller seeds."""


def hpa_settings(scene: Scene, training_tasks: Sequence[TaskSpec] = ()) -> list[HpaSettings]:
    """The autoscaler's best settings on `training_tasks` (none: on tasks of each task's own kind), one for each
    environment.
    """
    return _settings(scene, training_tasks, calibrate, _hpa_calibrated)


def rate_settings(scene: Scene, training_tasks: Sequence[TaskSpec] = ()) -> list[RateSettings]:
    """The same of the rule of rates."""
    return _settings(scene, training_tasks, calibrate_rates, _rates_calibrated)


def _settings(
    scene: Scene,
    training_tasks: Sequence[TaskSpec],
    tuned: Callable[[Sequence[TaskSpec]], S],
    tuned_for: Callable[[TaskDistribution], S],
) -> list[S]:
    if training_tasks:
        return [tuned(training_tasks)] * len(scene.task_of)
    return [tuned_for(_kind_of(scene.tasks[k])) for k in scene.task_of]


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
def _hpa_calibrated(distribution: TaskDistribution) -> HpaSettings:
    return calibrate(_training(distribution))


@lru_cache(maxsize=16)
def _rates_calibrated(distribution: TaskDistribution) -> RateSettings:
    return calibrate_rates(_training(distribution))


def _training(distribution: TaskDistribution) -> list[TaskSpec]:
    return [draw(distribution, TRAINING_SEED + i) for i in range(TRAINING_TASKS)]
