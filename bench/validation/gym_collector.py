"""Rollouts of Gymnasium's environments, in the form in which a learner takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from lwmecps_core import algorithms
from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.rollout.actor import Actor, AnyArray, Memory
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.play import Bools, Floats, Seeds
from lwmecps_core.rollout.policy_actor import PolicyActor
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


class GymEnvs:
    """`width` environments that go on where they were left: `Environments` whose `reset` changes nothing.

    A step after an episode's end is itself the reset (next-step autoreset); `over` `[B]` says where that comes next.
    """

    def __init__(self, task: GymTask, width: int, seed: int, reward_scale: float, units: NDArray[np.float32]) -> None:
        self.spec = task.spec()
        self._env, self._scale, self._units = task.make(width), reward_scale, units
        self._obs, _ = self._env.reset(seed=seed)
        self._mask = np.ones((width, self.spec.mask_size), np.bool_)
        self._info = {key: np.zeros(width, np.float32) for key in INFO_KEYS}
        self.over = np.zeros(width, np.bool_)

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]:
        """What they show now."""
        return (self._obs / self._units).astype(np.float32), self._mask

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """What the step before saw."""
        return self.reset(seeds)

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One step everywhere."""
        self._obs, reward, terminated, truncated, _ = self._env.step(own_units(self._env, action))
        self.over = terminated | truncated
        scaled = (reward * self._scale).astype(np.float32)
        return *self.reset(np.zeros(0, np.uint64)), scaled, terminated, truncated, self._info


@dataclass(frozen=True)
class UniformActor:
    """Draws all actions alike."""

    spec: EnvSpec

    @property
    def noise_size(self) -> int:
        """One number for each component."""
        return self.spec.action_size

    def begin(self, seeds: Seeds) -> Memory:
        """Nothing is remembered."""
        return {}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        assert noise is not None
        return Acted((noise * self.spec.nvec).astype(np.int32) if self.spec.discrete else noise)


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
        self._task, self._units = task, np.array(units or 1.0, np.float32)
        self._steps, self._warm_up, self._scale = steps, warm_up, reward_scale
        self._env: GymEnvs | None = None
        self._memory: Memory | None = None
        self.taken = 0
        """Transitions so far: steps that only carried a reset don't count."""

    def collect(self, tasks: Sequence[object], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; of one task, by one policy."""
        plan = replace(plan, length=plan.length or self._steps)
        actor: Actor = PolicyActor(snapshot, self._task.spec(), 1)
        if self._env is None:
            seed = int(generator(plan.seeds[0]).integers(2**31))
            self._env = GymEnvs(self._task, plan.episodes, seed, self._scale, self._units)
            if self._warm_up:
                actor, plan = UniformActor(self._env.spec), replace(plan, length=self._warm_up, greedy=False)
        (batch,), memory = drive(self._env, actor, plan, memory=self._memory, over=self._env.over)
        self._memory = memory or None
        self.taken += int(batch.valid.sum())
        return [replace(batch, policy_version=snapshot.version)]


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
            seen = first_seen(spec, torch.from_numpy(obs / divisors), mask)
            out = algo.act(snapshot.params, snapshot.extra, {}, seen, None)
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
