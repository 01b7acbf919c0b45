"""`BatchEnv` as a Gymnasium `VectorEnv`."""

from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lwmecps_core.envs.actions import most, taken
from lwmecps_core.envs.driven import Observation
from lwmecps_core.envs.observation import V2, record, version_of
from lwmecps_core.envs.placement import action_space, default_task, observation_space, with_env_id
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.seeding import SEEDS, whole_seed
from lwmecps_core.specs import TaskSpec

VectorStep = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class PlacementVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` simulated environments, environment i solving `tasks[i % len(tasks)]`; next-step autoreset.

    `info` holds `INFO_KEYS` and `action_mask`. What is returned is the caller's to keep. Raises `InvalidInput` for
    actions that are no choices, seeds outside [0, 2⁶⁴) and a `reset_mask` that is none.
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
        spec = self._env.spec
        self._most, self._shape = most(spec.nvec), (num_envs, spec.action_size)
        self._blocks = record(spec) if version_of(spec.env_id) > V2 else None
        self._over = np.zeros(num_envs, np.bool_)
        self._begun = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all episodes, or those where the option `reset_mask` (bool `[num_envs]`) is true.

        One seed s stands for s, s + 1, … (modulo 2⁶⁴).
        """
        several = isinstance(seed, list | tuple | np.ndarray)
        one = None if seed is None or several else whole_seed(seed)
        super().reset(seed=one)
        seeds = self._draw()
        if one is not None:
            seeds = np.array([(one + i) % SEEDS for i in range(self.num_envs)], np.uint64)
        elif several:
            seeds = self._given(list(cast(Any, seed)), seeds)
        which = self._asked(options or {})
        obs, mask = self._env.reset_where(which, seeds)
        self._over[which] = False
        self._begun = True
        return self._named(obs), self._infos(mask)

    def step(self, actions: NDArray[Any]) -> VectorStep:
        """One interval; where an episode ended in the step before, a new one begins and the action is ignored."""
        if not self._begun:
            raise gymnasium.error.ResetNeeded("reset the environments before their first step")
        obs, mask, rewards, over_now, cut_now, _ = self._env.step(taken(actions, self._most, self._shape))
        reward, terminated, truncated = rewards.astype(np.float64), over_now.copy(), cut_now.copy()
        if np.count_nonzero(over := self._over):
            obs, mask = self._env.reset_where(over, self._draw())
            reward[over], terminated[over], truncated[over] = 0.0, False, False
        self._over = terminated | truncated
        return self._named(obs), reward, terminated, truncated, self._infos(mask)

    def action_masks(self) -> NDArray[np.bool_]:
        """Allowed choices `[num_envs, M]`, those of the first action component first."""
        return self._env.mask.copy()

    def _asked(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        """Which environments a reset is for: all without a mask, and where none has begun yet."""
        mask = options.get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        which = np.asarray(mask)
        if which.shape != (self.num_envs,) or which.dtype != np.bool_ or not which.any():
            reason = f"must be {self.num_envs} booleans, at least one of them true"
            raise InvalidInput("reset", [Violation("options.reset_mask", reason)])
        if not self._begun and not which.all():
            raise InvalidInput("reset", [Violation("options.reset_mask", "the first reset must be of all")])
        return which

    def _given(self, seeds: list[Any], drawn: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Seeds by environment; None stands for one that is drawn."""
        if len(seeds) != self.num_envs:
            raise InvalidInput("reset", [Violation("seed", f"{len(seeds)} seeds for {self.num_envs} environments")])
        chosen = [int(d) if s is None else whole_seed(s) for s, d in zip(seeds, drawn, strict=True)]
        return np.array(chosen, np.uint64)

    def _draw(self) -> NDArray[np.uint64]:
        return self.np_random.integers(0, 2**63, self.num_envs, dtype=np.uint64)

    def _named(self, obs: NDArray[np.float32]) -> Observation:
        obs = obs.copy()
        if self._blocks is None:
            return obs
        rows = obs.view(self._blocks)[:, 0]
        return {name: rows[name] for name in self._blocks.names or ()}

    def _infos(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        return self._env.kept_info() | {"action_mask": mask.copy()}
