"""Rollouts of Gymnasium's environments, in the form in which a learner takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from lwmecps_core import algorithms
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.seeding import generator
from lwmecps_core.specs import EnvSpec

Choice = Callable[[NDArray[np.float32]], NDArray[np.generic]]
"""Observations `[B, O]` → actions in the environment's own units."""


@dataclass(frozen=True)
class GymTask:
    """An environment with a flat Box of observations and one discrete action or a Box of actions."""

    env_id: str

    def make(self, envs: int) -> VectorEnv[Any, Any, Any]:
        """`envs` environments side by side, each reset by the step after its episode's last (next-step autoreset)."""
        if gymnasium.spec(self.env_id).vector_entry_point is not None:
            return gymnasium.make_vec(self.env_id, envs, vectorization_mode="vector_entry_point")
        return gymnasium.make_vec(self.env_id, envs, vectorization_mode="sync", vector_kwargs={"copy": False})

    def spec(self) -> EnvSpec:
        """What an algorithm must know: one block, and no rows, so that networks are MLPs."""
        env = gymnasium.make(self.env_id)
        action, steps = env.action_space, gymnasium.spec(self.env_id).max_episode_steps
        nvec = (int(action.n),) if isinstance(action, spaces.Discrete) else ()
        size = len(nvec) or int(np.prod(action.shape or ()))
        return EnvSpec(self.env_id, (("global", env.observation_space.shape or ()),), nvec, size, steps or 0)


class GymCollector:
    """A `Collector` whose environments go on where the last collection left them.

    So a rollout is no pure function of the arguments here, only of all collections since the first. A collection has
    `plan.length` steps of `plan.episodes` environments, or `steps` where the plan leaves it open; the first has
    `warm_up` steps of uniformly random actions if that isn't 0. What the learner sees as reward is `reward_scale` times
    the environment's, and observations are divided by `units` if there are any: our networks expect unit scale.
    """

    def __init__(
        self, task: GymTask, steps: int, warm_up: int = 0, reward_scale: float = 1.0, units: Sequence[float] = ()
    ) -> None:
        self._task, self._spec, self._units = task, task.spec(), np.array(units or 1.0, np.float32)
        self._steps, self._warm_up, self._scale = steps, warm_up, reward_scale
        self._env: VectorEnv[Any, Any, Any] | None = None
        self._obs: NDArray[np.float32]
        self._over: NDArray[np.bool_]
        self.taken = 0
        """Transitions so far: steps that only carried a reset don't count."""

    def collect(self, tasks: Sequence[object], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; of one task, by one policy."""
        rng, width, spec = generator(plan.seeds[0]), plan.episodes, self._spec
        length, random = plan.length or self._steps, False
        if self._env is None:
            self._env = self._task.make(width)
            self._obs, _ = self._env.reset(seed=int(rng.integers(2**31)))
            self._over = np.zeros(width, np.bool_)
            length, random = (self._warm_up, True) if self._warm_up else (length, False)
        algo = algorithms.make(snapshot.algorithm, spec)
        mask = torch.ones(width, spec.mask_size, dtype=torch.bool)
        noise = torch.from_numpy(rng.random((length, width, algo.noise_size), np.float32))
        obs = np.empty((length + 1, width, spec.obs_size), np.float32)
        action = _random(spec, (length, width), rng)
        reward = np.zeros((length, width), np.float32)
        terminated, truncated, valid = (np.zeros((length, width), np.bool_) for _ in range(3))
        extras: dict[str, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for t in range(length):
                obs[t], valid[t] = self._obs / self._units, ~self._over
                if not random:
                    out = algo.act(
                        snapshot.params,
                        snapshot.extra,
                        torch.from_numpy(obs[t]),
                        mask,
                        None if plan.greedy else noise[t],
                    )
                    action[t] = out.action.numpy()
                    for name, value in out.extras.items():
                        extras.setdefault(name, np.zeros_like(reward))[t] = value.numpy()
                self._obs, reward[t], terminated[t], truncated[t], _ = self._env.step(own_units(self._env, action[t]))
                self._over = terminated[t] | truncated[t]
            obs[length] = self._obs / self._units
        self.taken += int(valid.sum())
        info = {key: np.zeros_like(reward) for key in INFO_KEYS}
        reward *= self._scale * valid
        return [
            RolloutBatch(
                obs,
                np.ones((length + 1, width, spec.mask_size), np.bool_),
                action,
                reward,
                terminated & valid,
                truncated & valid,
                valid,
                extras,
                info,
                snapshot.version,
                plan.seeds[0],
            )
        ]


def own_units(env: VectorEnv[Any, Any, Any], action: NDArray[np.generic]) -> NDArray[np.generic]:
    """An algorithm's actions `[B, A]` as the environment takes them: a Box's [0, 1] become its range."""
    space = env.single_action_space
    if isinstance(space, spaces.Box):
        scaled: NDArray[np.generic] = space.low + np.clip(action, 0.0, 1.0) * (space.high - space.low)
        return scaled
    return action[:, 0]


def greedy(task: GymTask, snapshot: PolicySnapshot, units: Sequence[float] = ()) -> Choice:
    """The policy's choice without chance; `units` are those that it was trained with."""
    spec, env, divisors = task.spec(), task.make(1), np.array(units or 1.0, np.float32)
    algo = algorithms.make(snapshot.algorithm, spec)

    def choose(obs: NDArray[np.float32]) -> NDArray[np.generic]:
        mask = torch.ones(len(obs), spec.mask_size, dtype=torch.bool)
        with torch.inference_mode():
            out = algo.act(snapshot.params, snapshot.extra, torch.from_numpy(obs / divisors), mask, None)
        return own_units(env, out.action.numpy())

    return choose


def returns(task: GymTask, choose: Choice, episodes: int, seed: int) -> NDArray[np.float64]:
    """The undiscounted return `[episodes]` of one whole episode in each of `episodes` environments."""
    env = task.make(episodes)
    obs, _ = env.reset(seed=seed)
    total, running = np.zeros(episodes), np.ones(episodes, np.bool_)
    while running.any():
        obs, reward, terminated, truncated, _ = env.step(choose(obs.astype(np.float32)))
        total += reward * running
        running &= ~(terminated | truncated)
    return total


def _random(spec: EnvSpec, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[Any]:
    if spec.discrete:
        return rng.integers(0, spec.nvec, (*shape, spec.action_size), np.int32)
    return rng.random((*shape, spec.action_size), np.float32)
