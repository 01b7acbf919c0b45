"""Episodes of a baseline in the form in which policies' episodes come."""

from collections.abc import Sequence

import numpy as np

from lwmecps_core.baselines import make
from lwmecps_core.baselines.rule import Trials
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.drive import drive
from lwmecps_core.specs import TaskSpec


def run_baseline(
    name: str,
    tasks: Sequence[TaskSpec],
    seeds: Sequence[int],
    episodes: int,
    *,
    training_tasks: Sequence[TaskSpec] = (),
) -> list[RolloutBatch]:
    """`episodes` episodes of every task, `seeds[k]` deciding those of task k: one batch `[horizon, episodes]` per task.

    The episodes are those that a policy meets under the same seeds. What follows the end of an episode is not valid.
    """
    return try_and_run(name, tasks, seeds, episodes, training_tasks=training_tasks)[0]


def try_and_run(
    name: str,
    tasks: Sequence[TaskSpec],
    seeds: Sequence[int],
    episodes: int,
    *,
    training_tasks: Sequence[TaskSpec] = (),
) -> tuple[list[RolloutBatch], Trials]:
    """The batches of `run_baseline`, and what the baseline had tried out before."""
    env = BatchEnv(tasks, np.repeat(np.arange(len(tasks)), episodes))
    rule = make(name, tasks, env.task_of, training_tasks=training_tasks)
    return drive(env, rule, CollectionPlan(seeds=tuple(seeds), episodes=episodes), again=False)[0], rule.trials
