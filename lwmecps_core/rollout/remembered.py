"""Environments that show what a policy remembers of them beside what they show."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.context.base import PREFIX, Context, with_blocks
from lwmecps_core.context.kept import Kept, terms_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.actor import Memory
from lwmecps_core.rollout.play import Bools, Environments, Floats, Seeds


class WithContext:
    """`env`, whose observations are followed by the features of `context`; `memory` is what is known so far."""

    def __init__(self, env: Environments, context: Context, memory: Memory) -> None:
        self._env, self._kept = env, Kept(context, memory)
        self.spec = with_blocks(env.spec, context.blocks(env.spec))

    @property
    def memory(self) -> Memory:
        """Name → `[B, ...]`."""
        return self._kept.memory

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]:
        """See `BatchEnv.reset`."""
        obs, mask = self._env.reset(seeds)
        self._over = np.zeros(len(obs), np.bool_)
        self._terms = np.zeros((len(obs), len(REWARD_TERMS)), np.float32)
        self._kept.take_in(obs, self._terms, np.ones(len(obs), np.bool_))
        return self._kept.shown, mask

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """See `BatchEnv.reset_where`."""
        obs, mask = self._env.reset_where(which, seeds)
        self._kept.take_in(obs, self._terms, which, which)
        self._over = self._over & ~which
        return self._kept.shown, mask

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """See `BatchEnv.step`; where an episode is over, nothing is learnt until the next one begins."""
        obs, mask, reward, terminated, truncated, info = self._env.step(action)
        self._terms = terms_of(info)
        self._kept.take_in(obs, self._terms, np.zeros(len(obs), np.bool_), ~self._over)
        self._over = self._over | terminated | truncated
        return self._kept.shown, mask, reward, terminated, truncated, info


def nothing_known(algorithm: Algorithm, context: Context | None, width: int) -> dict[str, Tensor]:
    """What a policy remembers of `width` environments that it has seen nothing of, its context's memory included."""
    kept = context.begin(width) if context else {}
    return algorithm.memory(width) | {PREFIX + name: torch.from_numpy(x) for name, x in kept.items()}


def begun(fresh: Memory, given: Mapping[str, Tensor], tasks: int, size: int) -> Memory:
    """What is remembered of `size` environments, equally many of each of `tasks` tasks: what is `given` of each task
    (see `PolicySnapshot`), or `fresh` where nothing is.

    Raises `InvalidInput` naming a memory that doesn't fit.
    """
    if not given:
        return fresh
    each = size // tasks
    for name in sorted(given.keys() | fresh.keys()):
        shape = tuple(given[name].shape) if name in given else None
        fits = [(tasks, n, *fresh[name].shape[1:]) for n in (1, each)] if name in fresh else [None]
        if shape not in fits:
            reason = f"is {list(shape or ())} where the policy keeps {[list(fit or ()) for fit in fits]}"
            raise InvalidInput("policy snapshot", [Violation(f"memory[{name}]", reason)])
    shown = {name: x.expand(-1, each, *x.shape[2:]) for name, x in given.items()}
    return {name: x.reshape(size, *x.shape[2:]).numpy() for name, x in shown.items()}
