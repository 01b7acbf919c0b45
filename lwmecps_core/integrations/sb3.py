"""Stable-Baselines3 and sb3-contrib: our batched simulator as their `VecEnv` (extra `sb3`)."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from lwmecps_core.envs.actions import most, taken
from lwmecps_core.envs.placement import action_space, default_task
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.seeding import SEEDS, whole_seed
from lwmecps_core.sim.formulas import BOUND
from lwmecps_core.specs import TaskSpec

VecStep = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


class PlacementVecEnv(VecEnv):
    """`num_envs` simulated environments for Stable-Baselines3, environment i solving `tasks[i % len(tasks)]`.

    Observations are flat float32 `[num_envs, O]`, as our own policies see them: `MlpPolicy` and `MlpLstmPolicy` fit.
    Where an episode ends, `infos[i]` holds `terminal_observation`, `TimeLimit.truncated`, and `episode` with its reward
    `r` and length `l`, as Monitor has it; elsewhere it is empty. `seed(s)` makes the next episodes those of s, s + 1, …
    (modulo 2⁶⁴). Raises `InvalidInput` for actions that are no choices.
    """

    def __init__(
        self, tasks: TaskSpec | Sequence[TaskSpec] | None = None, num_envs: int = 64, num_threads: int = 1
    ) -> None:
        given = [tasks] if isinstance(tasks, TaskSpec) else list(tasks or [default_task()])
        self._env = BatchEnv(given, np.arange(num_envs) % len(given), num_threads)
        self.tasks, self.spec_of_env = self._env.tasks, self._env.spec
        self._most = most(self._env.spec.nvec)
        self.render_mode = None
        observation = spaces.Box(-BOUND, BOUND, (self._env.spec.obs_size,), np.float32)
        super().__init__(num_envs, observation, action_space(given[0]))
        self._rng = np.random.default_rng()
        self._begin_with: NDArray[np.uint64] | None = None
        self._actions: NDArray[Any] = np.zeros((num_envs, self.spec_of_env.action_size), np.int64)
        self._length = np.zeros(num_envs, np.int64)
        self._return = np.zeros(num_envs, np.float64)
        self._began_s = time.time()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Decide what `reset` begins and everything after it; the seeds of the episodes."""
        first = int(np.random.default_rng().integers(2**32)) if seed is None else whole_seed(seed)
        self._rng = np.random.default_rng(first)
        chosen = [(first + i) % SEEDS for i in range(self.num_envs)]
        self._begin_with = np.array(chosen, np.uint64)
        return chosen

    def reset(self) -> NDArray[np.float32]:
        """Begin all episodes: observations `[num_envs, O]`."""
        seeds, self._begin_with = self._drawn() if self._begin_with is None else self._begin_with, None
        self._length[:], self._return[:] = 0, 0.0
        obs, _ = self._env.reset(seeds)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return obs.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next interval."""
        self._actions = taken(actions, self._most, (self.num_envs, self.spec_of_env.action_size))

    def step_wait(self) -> VecStep:
        """One interval; where an episode ends, a new one begins at once."""
        obs, _, reward, terminated, truncated, _ = self._env.step(self._actions)
        self._length += 1
        self._return += reward
        rewards, done = reward.copy(), terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            for i in np.flatnonzero(done).tolist():
                infos[i] = self._ending(i, obs[i].copy(), bool(truncated[i]))
            self._length[done], self._return[done] = 0, 0.0
            obs, _ = self._env.reset_where(done, self._drawn())
        return obs.copy(), rewards, done, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed choices `[num_envs, M]`, those of the first action component first: what `MaskablePPO` asks for.

        Every component has an allowed choice: sb3-contrib takes a row that allows nothing for one that allows all.
        """
        return self._env.mask.copy()

    def close(self) -> None:
        """There is nothing to close."""

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The whole batch's attribute for each environment; one of its task where it is called `task`."""
        which = self._which(indices)
        if attr_name == "task":
            return [self.tasks[self._env.task_of[i]] for i in which]
        return [getattr(self, attr_name) for _ in which]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refused: environments of a batch have no attributes of their own."""
        raise AttributeError(f"{attr_name} can't be set: the environments of a batch have no attributes of their own")

    def env_method(
        self, method_name: str, *args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        """`action_masks`, by environment; there is no other method."""
        if method_name != "action_masks":
            raise AttributeError(f"the environments of a batch have no method {method_name}, only action_masks")
        masks = self.action_masks()
        return [masks[i] for i in self._which(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: int | Iterable[int] | None = None) -> list[bool]:
        """Whether `infos` have what that wrapper adds: true for Monitor."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._which(indices)]

    def _which(self, indices: int | Iterable[int] | None) -> list[int]:
        return list(self._get_indices(indices))

    def _ending(self, i: int, obs: NDArray[np.float32], truncated: bool) -> dict[str, Any]:
        elapsed_s = round(time.time() - self._began_s, 6)
        episode = {"r": float(self._return[i]), "l": int(self._length[i]), "t": elapsed_s}
        return {"terminal_observation": obs, "TimeLimit.truncated": truncated, "episode": episode}

    def _drawn(self) -> NDArray[np.uint64]:
        drawn: NDArray[np.uint64] = np.asarray(self._rng.integers(0, 2**63, self.num_envs, dtype=np.uint64))
        return drawn
