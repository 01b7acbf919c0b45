"""The uniform random control."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.base import Bools, Scene

STREAM = 0xBA5E
"""Keeps the policy's randomness apart from the environment's, which has the same seed."""


class RandomPolicy:
    """Draws every action component uniformly from what the mask allows: a function of the episode's seed."""

    name = "random"

    def __init__(self, scene: Scene) -> None:
        self._spec = scene.spec
        self._numbers = np.empty((0, 0, 0))
        self._t = 0

    def reset(self, seeds: NDArray[np.uint64]) -> None:
        """See `Baseline.reset`."""
        shape = (self._spec.horizon, self._spec.action_size)
        self._numbers = np.stack(
            [np.random.Generator(np.random.Philox((int(seed), STREAM))).random(shape) for seed in seeds], axis=1
        )
        self._t = 0

    def act(self, obs: NDArray[np.float32], mask: Bools) -> NDArray[Any]:
        """See `Baseline.act`."""
        u = self._numbers[self._t % len(self._numbers)]
        self._t += 1
        if not self._spec.discrete:
            return np.asarray(u, np.float32)
        ends = np.cumsum(self._spec.nvec)
        columns = []
        for i, (size, end) in enumerate(zip(self._spec.nvec, ends, strict=True)):
            allowed = np.cumsum(mask[:, end - size : end], axis=1)
            rank = np.floor(u[:, i] * allowed[:, -1]) + 1
            columns.append((allowed >= rank[:, None]).argmax(1))
        action: NDArray[np.int32] = np.stack(columns, axis=1).astype(np.int32)
        return action
