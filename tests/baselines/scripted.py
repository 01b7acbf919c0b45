"""An actor that does what it was told."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen


class Scripted:
    """Takes `actions` `[T, A]` in every environment, one after the other, whatever it sees."""

    noise_size = 0

    def __init__(self, actions: NDArray[np.int32]) -> None:
        self._actions = actions

    def begin(self, seeds: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
        """None was taken yet."""
        return {"taken": np.zeros(len(seeds), np.int64)}

    def act(self, memory: Any, seen: Seen[Any], noise: Any) -> Acted[Any]:
        """The next one."""
        return Acted(self._actions[memory["taken"] % len(self._actions)], {}, {"taken": memory["taken"] + 1})
