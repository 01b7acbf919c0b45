"""What a baseline is beside an actor."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from numpy import uint64
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.rollout.actor import AnyArray, Memory


@dataclass(frozen=True)
class Trials:
    """So many episodes of every task, and what one of them earned on average on each."""

    episodes: int = 0
    rewards: tuple[float, ...] = ()


NO_TRIALS = Trials()


class Rule(ABC):
    """An `Actor` that learns nothing, made for one `Scene`."""

    name: str
    """Its key in the registry of baselines."""
    trials = NO_TRIALS
    """In which its settings were chosen before it acts."""
    noise_size = 0

    def begin(self, seeds: NDArray[uint64]) -> Memory:
        """Nothing is remembered."""
        return {}

    @abstractmethod
    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
