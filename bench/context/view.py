"""Reading what was found: rewards by training seed and task, differences and shares of gaps with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import Cell, ClusterKind
from bench.context.results import CellOutcomes, Found
from lwmecps_core.statistics import Bootstrap, Compared

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class At:
    """A method after inner steps, in an episode on the cluster."""

    method: str
    inner_steps: int = 0
    episode: int = 1

    @property
    def title(self) -> str:
        """As the page names it: `context(2)` is the second episode, `adapted, 5 steps` needs no episode."""
        if self.inner_steps:
            return f"{self.method}, {self.inner_steps} step{'s' * (self.inner_steps > 1)}"
        return f"{self.method}({self.episode})" if self.method in ("context", "recurrent") else self.method


@dataclass(frozen=True)
class Share:
    """How much of the way from one method to another a third is, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


class Evidence:
    """All that was found on one kind of cluster."""

    def __init__(self, problem: ClusterKind, cells: Sequence[Cell], outcomes: CellOutcomes) -> None:
        self.problem = problem
        self._found: dict[At, list[Found]] = {}
        for cell in cells:
            for found in outcomes[cell.key].found if cell.key in outcomes else ():
                if found.problem == problem:
                    at = At(found.method, found.inner_steps, found.episode)
                    self._found.setdefault(at, []).append(found)

    def __contains__(self, at: At) -> bool:
        return at in self._found

    def every(self) -> list[At]:
        """Everything that was measured."""
        return list(self._found)

    def of(self, method: str) -> list[At]:
        """A method after each number of steps, in each episode."""
        return sorted((at for at in self._found if at.method == method), key=lambda at: (at.inner_steps, at.episode))

    def found(self, at: At) -> list[Found]:
        """One for each training seed."""
        return self._found[at]

    def rewards(self, at: At) -> Floats:
        """By training seed and task `[S, T]`."""
        return np.array([found.rewards for found in self._found[at]])

    def mean(self, at: At) -> float:
        """Over seeds and tasks."""
        return float(self.rewards(at).mean())

    def difference(self, a: At, b: At) -> Compared:
        """`a` minus `b`."""
        return self._bootstrap.compared(self.rewards(a), self.rewards(b))

    def share(self, at: At, low: At, high: At) -> Share:
        """0 is `low`, 1 is `high`."""
        bottom, top, own = (self._bootstrap.means(self.rewards(x)) for x in (low, high, at))
        drawn = (own - bottom) / (top - bottom)
        mean = (self.mean(at) - self.mean(low)) / (self.mean(high) - self.mean(low))
        return Share(mean, *np.quantile(drawn, (0.025, 0.975)).tolist())

    @cached_property
    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(len(next(iter(self._found.values()))[0].rewards))
