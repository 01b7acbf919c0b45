"""What a context keeps of environments that are stepped, frame after frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.context.base import AnyArray, Context, Memory, with_blocks
from lwmecps_core.context.known import COUNTS, MOST_SIZE
from lwmecps_core.errors import InvalidInput, Violation

Bools = NDArray[np.bool_]


class Kept:
    """What a context knows of B environments, from a copy of `memory` on.

    `memory` changes in place, as does `shown` `[B, O + F]`, float32: their newest frames and the context's features.
    """

    def __init__(self, context: Context, memory: Memory) -> None:
        self._context = context
        self.memory = {name: np.array(x, np.float64, order="C") for name, x in memory.items()}
        shape = (len(next(iter(memory.values()))), with_blocks(context.spec, context.blocks(context.spec)).obs_size)
        self.shown = np.zeros(shape, np.float32)

    def take_in(self, obs: AnyArray, terms: AnyArray, first: Bools, where: Bools | None = None) -> None:
        """Take in frames `[B, O]`, the terms of the reward before them `[B, len(REWARD_TERMS)]`, and whether an
        episode begins with them `[B]`; `where` (None: everywhere) is false what is known and its features stay.
        """
        width, size = obs.shape
        self.shown[:, :size] = obs
        nothing = np.zeros((width, 0), np.float32)
        seen: Seen[AnyArray] = Seen(obs, nothing.astype(np.bool_), terms, nothing, first)
        self._context.update(self.memory, seen, np.ones(width, np.bool_) if where is None else where, self.shown)


def check_memory(source: str, given: Memory, fresh: Memory) -> None:
    """Raise `InvalidInput` of `source` where `given` has other names, shapes or kinds than `fresh`, or holds NaN,
    what is larger than `MOST_SIZE` and was not at first, or, of `COUNTS`, less than 0.
    """
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
        elif (large := given[name][(np.abs(given[name]) > MOST_SIZE) & (given[name] != fresh[name])]).size:
            wrong.append(Violation(f"memory[{name}]", f"holds {large[0]:g}; at most {MOST_SIZE:g} in size"))
        elif name in COUNTS and (given[name] < 0.0).any():
            wrong.append(Violation(f"memory[{name}]", f"holds {given[name].min():g}; at least 0"))
    if wrong:
        raise InvalidInput(source, wrong)


def terms_of(info: Any) -> NDArray[np.float32]:
    """The terms of the reward in an `info` of `INFO_KEYS`, `[..., len(REWARD_TERMS)]`."""
    terms = np.empty((*np.shape(info[REWARD_TERMS[0]]), len(REWARD_TERMS)), np.float32)
    for i, key in enumerate(REWARD_TERMS):
        terms[..., i] = info[key]
    return terms
