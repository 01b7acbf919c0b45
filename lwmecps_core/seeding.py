"""Where randomness comes from: one counter-based generator per task, one seed per episode."""

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation

SEEDS = 2**64
"""How many there are."""


def generator(seed: int) -> np.random.Generator:
    """The one source of randomness of a task's rollout."""
    return np.random.Generator(np.random.Philox(seed))


def whole_seed(seed: Any) -> int:
    """A seed in [0, 2⁶⁴) as Python's integer, whatever integer it is; raises `InvalidInput` for anything else."""
    try:
        value = index(seed)
    except TypeError:
        raise InvalidInput("reset", [Violation("seed", f"must be an integer, not {seed!r}")]) from None
    if not 0 <= value < SEEDS:
        raise InvalidInput("reset", [Violation("seed", f"must be in [0, 2**64), not {value}")])
    return value


def episode_seeds(seed: int, episodes: int) -> NDArray[np.uint64]:
    """Seeds of a plan's first episodes: whoever uses them meets the very same users."""
    return generator(seed).integers(0, 2**63, episodes, dtype=np.uint64)
