"""What rules earn with given settings, in episodes of which nothing else is kept."""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import OBJECTIVE_FEATURES, expense, split
from lwmecps_core.envs.scene import Ints, Scene, scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.play import Interval, Seeds, play
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.money import cost_per_hour

S = TypeVar("S")
DEAR = 1000.0
"""Of what the most replicas cost: a window that misses a bound, beyond those that may."""
Tuned = Callable[[Scene, Sequence[S]], Rule]
"""Makes a rule with one of its settings for each environment."""


def episode_rewards(
    rule: Tuned[S], settings: Sequence[S], tasks: Sequence[TaskSpec], task_of: Ints, seeds: Seeds
) -> NDArray[np.float64]:
    """What an episode of `BatchEnv(tasks, task_of)` earns `[B]` in each environment, with its `settings` and seed; of
    tasks with bounds, what `Signed` makes of it.
    """
    if not tasks[0].objective.slo:
        return told_rewards(rule, settings, tasks, task_of, seeds)
    signed = Signed(tasks, task_of)
    for interval in _intervals(rule, settings, tasks, task_of, seeds):
        signed.see(interval)
    return signed.worth


def told_rewards(
    rule: Tuned[S], settings: Sequence[S], tasks: Sequence[TaskSpec], task_of: Ints, seeds: Seeds
) -> NDArray[np.float64]:
    """The same by the tasks' own rewards; of tasks with bounds, by the multipliers that they say."""
    intervals = _intervals(rule, settings, tasks, task_of, seeds)
    return sum((interval.reward.astype(np.float64) for interval in intervals), np.zeros(len(seeds)))


def _intervals(
    rule: Tuned[S], settings: Sequence[S], tasks: Sequence[TaskSpec], task_of: Ints, seeds: Seeds
) -> Iterator[Interval]:
    env = BatchEnv(tasks, task_of)
    actor = rule(scene(tasks, env.task_of), settings)
    yield from play(env, actor, actor.begin(seeds), env.reset(seeds), repeat(None, env.spec.horizon))


class Signed:
    """Episodes as who signed bounds sees them: what an hour costs, and which share of the windows missed a bound."""

    def __init__(self, tasks: Sequence[TaskSpec], task_of: Ints) -> None:
        self._tasks, self._task_of, self._spec = tasks, task_of, env_spec(tasks[0])
        slos = [t.objective.slo for t in tasks]
        whole = [min(slo.window, t.horizon) or t.horizon if slo else 0 for slo, t in zip(slos, tasks, strict=True)]
        self._whole = np.array(whole)[task_of]
        self._allowed = np.array([slo.allowed if slo else 1.0 for slo in slos])[task_of]
        self._seen, self._windows = 0, np.zeros(len(task_of))
        self._missed, self._replicas, self._moves, self._watts = (np.zeros(len(task_of)) for _ in range(4))

    def see(self, interval: Interval) -> None:
        """Take in the next interval of every episode."""
        self._seen += 1
        replicas = interval.info["replicas"].astype(np.float64)
        for k, task in enumerate(self._tasks):
            where = self._task_of == k
            priced, watts = expense(task, interval.obs[where], replicas[where])
            self._replicas[where] += priced
            self._watts[where] += watts
        self._moves += interval.info["moves"]
        whole = self._seen >= self._whole
        missed = (split(interval.obs, self._spec)["objective"][..., OBJECTIVE_FEATURES + 2 :] > 0).any(-1)
        self._windows += whole
        self._missed += whole & missed

    @property
    def missed(self) -> NDArray[np.float64]:
        """Share of the windows that missed a bound `[B]`."""
        share: NDArray[np.float64] = self._missed / np.maximum(self._windows, 1)
        return share

    @property
    def cost(self) -> NDArray[np.float64]:
        """Money per hour `[B]`."""
        sums = zip(self._task_of, self._replicas, self._moves, self._watts, strict=True)
        return np.array([cost_per_hour(self._tasks[k], *(np.array(each) / self._seen)) for k, *each in sums])

    @property
    def worth(self) -> NDArray[np.float64]:
        """By which settings are chosen `[B]`: the least cost where no more windows miss than may, else the fewest."""
        most = np.array([cost_per_hour(t, sum(d.max_replicas for d in t.deployments), 0.0) for t in self._tasks])
        beyond = np.maximum(self.missed - self._allowed, 0.0)
        worth: NDArray[np.float64] = -self.cost / most[self._task_of] - DEAR * beyond
        return worth


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
