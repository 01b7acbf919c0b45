"""Where randomness comes from: one counter-based generator per task, one seed per episode."""

import numpy as np
from numpy.typing import NDArray


def generator(seed: int) -> np.random.Generator:
    """The one source of randomness of a task's rollout."""
    return np.random.Generator(np.random.Philox(seed))


def episode_seeds(seed: int, episodes: int) -> NDArray[np.uint64]:
    """Seeds of a plan's first episodes: whoever uses them meets the very same users."""
    return generator(seed).integers(0, 2**63, episodes, dtype=np.uint64)
