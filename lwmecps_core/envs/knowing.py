"""Gymnasium wrappers that show what a context knows of the cluster beside what the environment shows."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from lwmecps_core import context
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.context.base import AnyArray, Memory
from lwmecps_core.context.kept import Bools, Kept, check_memory, terms_of
from lwmecps_core.envs.batched import PlacementVectorEnv, VectorStep
from lwmecps_core.envs.driven import Observation
from lwmecps_core.envs.observation import split
from lwmecps_core.envs.placement import PlacementEnv, observation_space
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import EnvSpec


class _Beside:
    """What is known of `width` environments of one `EnvSpec`, shown beside what they show."""

    def __init__(self, name: str, spec: EnvSpec, width: int) -> None:
        found = context.acting(name, spec, "wrapper")
        if found is None:
            reason = f"{name!r} is none of {', '.join(context.REGISTRY)}"
            raise InvalidInput("wrapper", [Violation("context", reason)])
        self._context, self._seen, self._shown = found, spec, context.widened(name, spec)
        self.space = observation_space(self._shown)
        self._nothing, self._width = self._context.begin(width), width
        self._start = self._nothing
        self._kept = Kept(self._context, self._start)

    def known(self) -> Memory:
        """A copy of what is known."""
        return {name: x.copy() for name, x in self._kept.memory.items()}

    def know(self, memory: Memory) -> None:
        """Know this from now on, and after every reset that forgets."""
        check_memory("wrapper", memory, self._nothing)
        self._start = {name: x.copy() for name, x in memory.items()}
        self._forget(np.ones(self._width, np.bool_))

    def begun(self, obs: Observation, seed: Any, options: dict[str, Any] | None, where: Bools) -> Observation:
        """The first frames of the episodes that begin, where `where` is true."""
        if (options or {}).get("forget", seed is not None):
            self._forget(where)
        return self.shown(obs, np.zeros((self._width, len(REWARD_TERMS))), np.ones(self._width, np.bool_), where)

    def _forget(self, where: Bools) -> None:
        for name, x in self._kept.memory.items():
            x[where] = self._start[name][where]

    def shown(self, obs: Observation, terms: AnyArray, first: Bools, where: Bools | None = None) -> Observation:
        """Frames with what is known once they have been taken in; see `Kept.take_in`."""
        # By name: what copies observations by their space sorts them.
        blocks = [obs[name] for name, _ in self._seen.blocks] if isinstance(obs, dict) else [obs]
        seen = np.concatenate([block.reshape(self._width, -1) for block in blocks], axis=-1)
        self._kept.take_in(seen, terms, first, where)
        both = self._kept.shown.copy()
        return split(both, self._shown) if isinstance(obs, dict) else both


class Knowing(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """A `PlacementEnv`, or its continuous twin, that also shows what a context knows of its cluster.

    Observations get blocks (`global_context`, `deployment_context`, …), flat ones grow by them. What is known outlasts
    resets. As Gymnasium wants an episode of a seed to repeat, `reset(seed=…)` goes back to the `memory` that was last
    set, at first nothing; `options={"forget": …}` says otherwise. Raises `InvalidInput` for an unknown context, and
    for an environment whose observations something else has changed before.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], context: str = "statistics") -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, context=context)
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, PlacementEnv) or env.observation_space != inner.observation_space:
            raise _misplaced("PlacementEnv", env)
        self._beside = _Beside(context, inner.spec_of_env, 1)
        self.observation_space: spaces.Space[Any] = self._beside.space
        self._over = False

    @property
    def memory(self) -> Memory:
        """What is known, name → `[1, ...]`; what is set must come from the same context and sizes."""
        return self._beside.known()

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self._beside.know(memory)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        self._over = False
        return _only(self._beside.begun(obs, seed, options, np.ones(1, np.bool_))), info

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        lasting = np.array([not self._over])
        shown = self._beside.shown(obs, terms_of(info)[None], np.zeros(1, np.bool_), lasting)
        self._over = self._over or terminated or truncated
        return _only(shown), reward, terminated, truncated, info


class VectorKnowing(VectorWrapper):
    """A `PlacementVectorEnv` that also shows what a context knows of each of its clusters; see `Knowing`.

    A frame that carries a reset (the step after an episode's end) is shown but not learnt from.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], context: str = "statistics") -> None:
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, PlacementVectorEnv) or env.observation_space != inner.observation_space:
            raise _misplaced("PlacementVectorEnv", env)
        self._beside = _Beside(context, inner.spec_of_env, self.num_envs)
        self.single_observation_space = self._beside.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._over = np.zeros(self.num_envs, np.bool_)

    @property
    def memory(self) -> Memory:
        """What is known, name → `[num_envs, ...]`; what is set must come from the same context and sizes."""
        return self._beside.known()

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self._beside.know(memory)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `PlacementVectorEnv.reset`."""
        numbered: Any = seed  # Gymnasium's type knows of no lists, its environments take them
        obs, info = self.env.reset(seed=numbered, options=options)
        where = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        self._over = self._over & ~where
        return self._beside.begun(obs, seed, options, where), info

    def step(self, actions: Any) -> VectorStep:
        """See `PlacementVectorEnv.step`."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        shown = self._beside.shown(obs, terms_of(info), self._over)
        self._over = terminated | truncated
        return shown, reward, terminated, truncated, info


def _only(obs: Observation) -> Observation:
    """The one environment's observation."""
    return {name: block[0] for name, block in obs.items()} if isinstance(obs, dict) else obs[0]


def _misplaced(wanted: str, env: Any) -> InvalidInput:
    reason = f"must be a {wanted} that nothing has changed the observations of, not {env}"
    return InvalidInput("wrapper", [Violation("env", reason)])
