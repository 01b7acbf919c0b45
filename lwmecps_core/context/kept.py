"""What a context keeps of environments that are stepped, frame after frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.context.base import AnyArray, Context, Memory
from lwmecps_core.errors import InvalidInput, Violation

Bools = NDArray[np.bool_]


class Kept:
    """What a context knows of B environments (`memory`), and its features of their newest frames, float32 `[B, F]`."""

    features: NDArray[np.float32]

    def __init__(self, context: Context, memory: Memory) -> None:
        self._context, self.memory = context, memory

    def take_in(self, obs: AnyArray, terms: AnyArray, first: Bools, where: Bools | None = None) -> None:
        """Take in frames `[B, O]`, the terms of the reward before them `[B, len(REWARD_TERMS)]`, and whether an
        episode begins with them `[B]`; `where` (None: everywhere) is false all stays as it is.
        """
        width = len(obs)
        seen: Seen[AnyArray] = Seen(obs, np.zeros((width, 0), np.bool_), terms, np.zeros((width, 0), np.float32), first)
        memory, features = self._context.update(self.memory, seen)
        if where is not None and not where.all():
            memory = {name: _chosen(where, x, self.memory[name]) for name, x in memory.items()}
            features = _chosen(where, features, self.features)
        self.memory, self.features = memory, features


def check_memory(source: str, given: Memory, fresh: Memory) -> None:
    """Raise `InvalidInput` of `source` where `given` has other names, shapes or kinds than `fresh`, or holds NaN."""
    wrong = []
    for name in sorted(given.keys() | fresh.keys()):
        wanted = f"float64 {list(fresh[name].shape)}" if name in fresh else "nothing of this name"
        if name not in given:
            wrong.append(Violation(f"memory[{name}]", f"is missing; must be {wanted}"))
        elif name not in fresh or given[name].shape != fresh[name].shape or given[name].dtype != fresh[name].dtype:
            found = f"{given[name].dtype} {list(given[name].shape)}"
            wrong.append(Violation(f"memory[{name}]", f"must be {wanted}, not {found}"))
        elif np.isnan(given[name]).any():
            wrong.append(Violation(f"memory[{name}]", "holds NaN"))
    if wrong:
        raise InvalidInput(source, wrong)


def terms_of(info: Any) -> NDArray[np.float32]:
    """The terms of the reward in an `info` of `INFO_KEYS`, `[..., len(REWARD_TERMS)]`."""
    return np.stack([np.asarray(info[key], np.float32) for key in REWARD_TERMS], axis=-1)


def _chosen(which: Bools, yes: Any, no: Any) -> Any:
    return np.where(which.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
