"""Which training tasks the calibrated autoscaler is tuned on when its user names none."""

from functools import lru_cache

from lwmecps_core.baselines.hpa import HpaSettings, calibrate
from lwmecps_core.config import parse
from lwmecps_core.specs import FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

TRAINING_TASKS = 32
TRAINING_SEED = 10**9
"""Of the first training task; held-out tasks are drawn from smaller seeds."""


def calibrated_for(task: TaskSpec) -> HpaSettings:
    """The best settings on tasks of the task's own family (`mec_city` if it has none), environment and size."""
    fields = {
        "family": task.family if task.family in FAMILIES else "mec_city",
        "env_id": task.env_id,
        "nodes": len(task.cluster.nodes),
        "deployments": len(task.deployments),
        "max_replicas": max(d.max_replicas for d in task.deployments),
        "horizon": task.horizon,
    }
    return _calibrated(parse(TaskDistribution, fields, task.name))


@lru_cache(maxsize=16)
def _calibrated(distribution: TaskDistribution) -> HpaSettings:
    return calibrate([draw(distribution, TRAINING_SEED + i) for i in range(TRAINING_TASKS)])
