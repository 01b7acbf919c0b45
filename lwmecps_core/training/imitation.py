"""What a policy can be shown before it acts itself: the autoscaler, with the settings that suit each task best."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lwmecps_core.baselines.earning import told_rewards
from lwmecps_core.baselines.hpa import KUBERNETES_WINDOW_S, TARGETS, WINDOWS_S, Hpa, HpaSettings
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.chunks import TASKS_PER_CHUNK, chunks, take_tasks
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import rollouts
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.sampling import seeds

SETTINGS = tuple(
    HpaSettings(target=target, stabilisation_s=window_s)
    for target, window_s in product(TARGETS, (*WINDOWS_S, KUBERNETES_WINDOW_S))
)
"""What is tried out on every task."""


@dataclass(frozen=True)
class Demonstrator:
    """A collector whose rollouts are the autoscaler's, while the policy watches; in this process.

    Each task has the one of `SETTINGS` that earned most there in other episodes, by the task's own reward: with bounds,
    by the multipliers that it says. Its rollouts have no `log_prob`: the policy didn't draw what was done.
    """

    tasks_per_unroll: int = TASKS_PER_CHUNK

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        found = []
        for start, part, own in chunks(tasks, plan, self.tasks_per_unroll):
            env = BatchEnv(part, np.repeat(np.arange(len(part)), own.episodes))
            settings = [s for s in best_settings(part, own) for _ in range(own.episodes)]
            shown = Hpa(scene(part, env.task_of), settings)
            found += rollouts(env, part, take_tasks(snapshot, start, start + len(part)), own, shown)
        return found


def best_settings(tasks: Sequence[TaskSpec], plan: CollectionPlan) -> list[HpaSettings]:
    """Of every task the settings that earn most in as many other episodes as the plan has."""
    drawn = [seeds(seed, "trials", plan.episodes) for seed in plan.seeds]
    own = np.array(drawn, np.uint64).reshape(-1)
    size, task_of = len(own), np.repeat(np.arange(len(tasks)), plan.episodes)
    each = [s for s in SETTINGS for _ in range(size)]
    earned = told_rewards(Hpa, each, tasks, np.tile(task_of, len(SETTINGS)), np.tile(own, len(SETTINGS)))
    best = earned.reshape(len(SETTINGS), len(tasks), plan.episodes).mean(2).argmax(0)
    return [SETTINGS[i] for i in best]
