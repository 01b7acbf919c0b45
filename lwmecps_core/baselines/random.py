"""The uniform random control."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.scene import Scene
from lwmecps_core.rollout.actor import AnyArray, Memory

STREAM = 0xBA5E
"""Keeps the policy's randomness apart from the environment's, which has the same seed."""


class RandomPolicy(Rule):
    """Draws every action component uniformly from what the mask allows: a function of the first episode's seed.

    Remembers `numbers` `[B, horizon, A]`, uniform on [0, 1), and `t` `[B]`, how many intervals have used theirs.
    """

    name = "random"

    def __init__(self, scene: Scene) -> None:
        self._spec = scene.spec

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Draw all numbers."""
        shape = (self._spec.horizon, self._spec.action_size)
        numbers = [np.random.Generator(np.random.Philox((int(seed), STREAM))).random(shape) for seed in seeds]
        return {"numbers": np.stack(numbers), "t": np.zeros(len(seeds), np.int64)}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        t = memory["t"]
        u = memory["numbers"][np.arange(len(t)), t % self._spec.horizon]
        after = {**memory, "t": t + 1}
        if not self._spec.discrete:
            return Acted(np.asarray(u, np.float32), {}, after)
        ends = np.cumsum(self._spec.nvec)
        columns = []
        for i, (size, end) in enumerate(zip(self._spec.nvec, ends, strict=True)):
            allowed = np.cumsum(seen.mask[:, end - size : end], axis=1)
            rank = np.floor(u[:, i] * allowed[:, -1]) + 1
            columns.append((allowed >= rank[:, None]).argmax(1))
        return Acted(np.stack(columns, axis=1).astype(np.int32), {}, after)
