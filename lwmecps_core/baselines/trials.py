"""Rules whose settings are chosen on the very task, by trial episodes: what whoever may try out a cluster can do.

Every trial is one episode under a seed of its own, as on a real cluster, where no load comes twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.calibration import hpa_settings
from lwmecps_core.baselines.earning import Tuned, episode_rewards
from lwmecps_core.baselines.hpa import TARGETS, Hpa, HpaSettings
from lwmecps_core.baselines.rates import UTILISATIONS, RateRule, RateSettings
from lwmecps_core.baselines.rule import Rule, Trials
from lwmecps_core.envs.observation import V3
from lwmecps_core.envs.scene import Scene, scene
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskSpec

S = TypeVar("S")
TRIAL_SEED = 2 * 10**9
"""Of the first trial; no measurement uses these seeds."""


def hpa_tuned(where: Scene, training_tasks: Sequence[TaskSpec]) -> Rule:
    """The autoscaler whose target earned most on the task, of `TARGETS`: one episode each; the rest of its settings is
    tuned on the training tasks.
    """
    base = hpa_settings(scene(where.tasks, np.arange(len(where.tasks))), training_tasks)
    tried = [[replace(settings, target=target) for settings in base] for target in TARGETS]
    rewards = np.stack([_rewards(where.tasks, Hpa, settings, t) for t, settings in enumerate(tried)])
    best: list[HpaSettings] = [tried[t][k] for k, t in enumerate(rewards.argmax(0))]
    return Hpa(where, [best[k] for k in where.task_of], "hpa_tuned", trials=_trials([*rewards]))


def rate_rule_adapted(where: Scene) -> Rule:
    """The rule of rates with what earned most on the task: first the utilisation, one episode for each of
    `UTILISATIONS`, then, in v3, one deployment after the other switched off for an episode, and left so if that earned
    more than the best episode before.
    """
    tried = [[RateSettings(utilisation=u)] * len(where.tasks) for u in UTILISATIONS]
    rewards = np.stack([_rewards(where.tasks, RateRule, settings, t) for t, settings in enumerate(tried)])
    best, most, earned = [tried[t][k] for k, t in enumerate(rewards.argmax(0))], rewards.max(0), [*rewards]
    switches = where.maximum.shape[1] if where.version == V3 else 0
    for d in range(switches):
        without = [replace(settings, off=(*settings.off, d)) for settings in best]
        found = _rewards(where.tasks, RateRule, without, len(UTILISATIONS) + d)
        best = [b if gain else a for a, b, gain in zip(best, without, found > most, strict=True)]
        most = np.maximum(most, found)
        earned.append(found)
    return RateRule(where, [best[k] for k in where.task_of], "rate_rule_adapted", trials=_trials(earned))


def _trials(earned: Sequence[NDArray[np.float64]]) -> Trials:
    """Of what every trial earned on each task."""
    return Trials(len(earned), tuple(np.mean(earned, axis=0).tolist()))


def _rewards(tasks: Sequence[TaskSpec], rule: Tuned[S], settings: Sequence[S], trial: int) -> NDArray[np.float64]:
    """What one episode of each task earns `[K]` with that task's settings."""
    seeds = np.repeat(episode_seeds(TRIAL_SEED + trial, 1), len(tasks))
    return episode_rewards(rule, settings, tasks, np.arange(len(tasks)), seeds)
