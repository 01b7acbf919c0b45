"""A policy as an actor."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.acting import Acted, Seen
from lwmecps_core.context.base import PREFIX
from lwmecps_core.rollout.actor import AnyArray, Memory
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.rollout.remembered import begun
from lwmecps_core.specs import EnvSpec


class PolicyActor:
    """A policy snapshot that acts on `tasks` tasks, equally many environments of each side by side."""

    def __init__(self, snapshot: PolicySnapshot, spec: EnvSpec, tasks: int) -> None:
        self._snapshot, self._tasks = snapshot, tasks
        self._algo = algorithms.make(snapshot.algorithm, spec)

    @property
    def noise_size(self) -> int:
        """That of the algorithm."""
        return self._algo.noise_size

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """The snapshot's memory of each task, or an empty one; raises `InvalidInput` for one that doesn't fit."""
        fresh = {name: x.numpy() for name, x in self._algo.memory(len(seeds)).items()}
        given = {name: x for name, x in self._snapshot.memory.items() if not name.startswith(PREFIX)}
        return begun(fresh, given, self._tasks, len(seeds))

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """The policy's choice; see `Algorithm.act`."""
        size = len(seen.obs)
        lead = (self._tasks, size // self._tasks) if self._snapshot.per_task else (size,)

        def view(a: AnyArray) -> Tensor:
            return torch.from_numpy(a).reshape(*lead, *a.shape[1:])

        def flat(x: Tensor) -> Any:
            return x.reshape(size, *x.shape[len(lead) :]).numpy()

        with torch.inference_mode():
            out = self._algo.act(
                self._snapshot.params,
                self._snapshot.extra,
                {name: view(x) for name, x in memory.items()},
                Seen(view(seen.obs), view(seen.mask), view(seen.reward_terms), view(seen.action), view(seen.first)),
                None if noise is None else view(noise),
            )
        extras = {name: flat(x) for name, x in out.extras.items()}
        known = {name: _own(flat(x), seen) for name, x in out.memory.items()}
        return Acted(flat(out.action), extras, known)


def _own(kept: AnyArray, seen: Seen[AnyArray]) -> AnyArray:
    """What is remembered, in an array of its own: it may be a part of what was seen, which is written over."""
    shown = (seen.obs, seen.mask, seen.reward_terms, seen.action, seen.first)
    return kept.copy() if any(np.may_share_memory(kept, x) for x in shown) else kept
