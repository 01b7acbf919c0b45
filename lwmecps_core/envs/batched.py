"""`BatchEnv` as a Gymnasium `VectorEnv`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lwmecps_core.envs.observation import V2, split, version_of
from lwmecps_core.envs.placement import Observation, action_space, default_task, observation_space, with_env_id
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import TaskSpec

VectorStep = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class PlacementVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` simulated environments, environment i solving `tasks[i % len(tasks)]`; next-step autoreset.

    `info` holds `INFO_KEYS` and `action_mask`. What is returned is the caller's to keep.
    """

    def __init__(
        self, num_envs: int, tasks: Sequence[TaskSpec] | None = None, env_id: str = "lwmecps-v3", num_threads: int = 1
    ) -> None:
        chosen = [with_env_id(task, env_id) for task in tasks or [default_task()]]
        self._env = BatchEnv(chosen, np.arange(num_envs) % len(chosen), num_threads)
        self.num_envs = num_envs
        self.spec_of_env = self._env.spec
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = observation_space(self._env.spec)
        self.single_action_space = action_space(chosen[0])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all episodes; one seed s stands for s, s + 1, …"""
        super().reset(seed=seed if isinstance(seed, int) else None)
        seeds = self._draw()
        if isinstance(seed, int):
            seeds = np.arange(seed, seed + self.num_envs, dtype=np.uint64)
        elif seed is not None:
            seeds = np.array([drawn if s is None else s for s, drawn in zip(seed, seeds, strict=True)], np.uint64)
        obs, mask = self._env.reset(seeds)
        self._over[:] = False
        return self._named(obs), self._infos(mask)

    def step(self, actions: NDArray[Any]) -> VectorStep:
        """One interval; where an episode ended in the step before, a new one begins and the action is ignored."""
        chosen = np.asarray(actions).reshape(self.num_envs, self._env.spec.action_size)
        obs, mask, reward, terminated, truncated, _ = self._env.step(chosen)
        over = self._over
        if over.any():
            obs, mask = self._env.reset_where(over, self._draw())
        reward, terminated, truncated = np.where(over, 0.0, reward), terminated & ~over, truncated & ~over
        self._over = terminated | truncated
        return self._named(obs), reward.astype(np.float64), terminated, truncated, self._infos(mask)

    def _draw(self) -> NDArray[np.uint64]:
        return self.np_random.integers(0, 2**63, self.num_envs, dtype=np.uint64)

    def _named(self, obs: NDArray[np.float32]) -> Observation:
        obs = obs.copy()
        return obs if version_of(self._env.spec.env_id) <= V2 else split(obs, self._env.spec)

    def _infos(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        return {**{key: row.copy() for key, row in self._env.info().items()}, "action_mask": mask.copy()}
