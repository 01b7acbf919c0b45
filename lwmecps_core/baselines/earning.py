"""What rules earn with given settings, in episodes of which nothing else is kept."""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.scene import Ints, Scene, scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.play import Seeds, play
from lwmecps_core.specs import TaskSpec

S = TypeVar("S")
Tuned = Callable[[Scene, Sequence[S]], Rule]
"""Makes a rule with one of its settings for each environment."""


def episode_rewards(
    rule: Tuned[S], settings: Sequence[S], tasks: Sequence[TaskSpec], task_of: Ints, seeds: Seeds
) -> NDArray[np.float64]:
    """What an episode of `BatchEnv(tasks, task_of)` earns `[B]` in each environment, with its `settings` and seed."""
    env = BatchEnv(tasks, task_of)
    actor = rule(scene(tasks, env.task_of), settings)
    intervals = play(env, actor, actor.begin(seeds), env.reset(seeds), repeat(None, env.spec.horizon))
    return sum((interval.reward.astype(np.float64) for interval in intervals), np.zeros(env.size))


def mean_rewards(rule: Tuned[S], each: Sequence[S], tasks: Sequence[TaskSpec], seeds: Seeds) -> NDArray[np.float64]:
    """What an episode earns on average with each of the settings `[S]`.

    All meet the same episodes: as many of every task, one after the other, as there are `seeds` for.
    """
    size = len(seeds)
    task_of = np.tile(np.repeat(np.arange(len(tasks)), size // len(tasks)), len(each))
    settings = [s for s in each for _ in range(size)]
    rewards = episode_rewards(rule, settings, tasks, task_of, np.tile(seeds, len(each)))
    means: NDArray[np.float64] = rewards.reshape(len(each), size).mean(1)
    return means
