"""Whole episodes under given plans, many plans at a time, in the true simulator."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.envs.scene import Ints, Scene, scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import TaskSpec


@dataclass(frozen=True)
class Replay:
    """Episodes: `seeds[e]` on `tasks[task_of[e]]`."""

    tasks: tuple[TaskSpec, ...]
    task_of: Ints
    seeds: NDArray[np.uint64]
    _envs: dict[int, BatchEnv] = field(default_factory=dict)

    @property
    def horizon(self) -> int:
        """Intervals of an episode."""
        return self.tasks[0].horizon

    @property
    def scene(self) -> Scene:
        """The episodes as a scene of E environments."""
        return scene(self.tasks, self.task_of)

    def of(self, episodes: Ints) -> "Replay":
        """Only these episodes, by number."""
        return (
            self
            if len(episodes) == len(self.seeds)
            else Replay(self.tasks, self.task_of[episodes], self.seeds[episodes])
        )

    def env(self, width: int) -> BatchEnv:
        """Environments for `width` plans of every episode, episodes first."""
        if width not in self._envs:
            self._envs[width] = BatchEnv(self.tasks, np.repeat(self.task_of, width))
        return self._envs[width]

    def rewards(self, plans: Ints, watch: Callable[[int, BatchEnv], None] | None = None) -> NDArray[np.float64]:
        """Rewards `[E, P, T]` of plans `[E, P, T, A]`; `watch(t, env)` may look at the environments after each step."""
        episodes, width, horizon, size = plans.shape
        env = self.env(width)
        actions = np.ascontiguousarray(plans.reshape(-1, horizon, size).swapaxes(0, 1), np.int32)
        env.reset(np.repeat(self.seeds, width))
        rewards = np.empty((horizon, env.size))
        for t in range(horizon):
            rewards[t] = env.step(actions[t])[2]
            if watch is not None:
                watch(t, env)
        return rewards.T.reshape(episodes, width, horizon)
