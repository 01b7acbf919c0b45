"""Reading what was found: what methods cost and miss on a workload, over training seeds and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.slo.cells import HPA, SloCell
from bench.slo.results import Point, SloOutcomes
from lwmecps_core.statistics import Bootstrap, Compared

Floats = NDArray[np.float64]


class SloEvidence:
    """All that was found of one version of the environment."""

    def __init__(self, env_id: str, cells: Sequence[SloCell], outcomes: SloOutcomes) -> None:
        self.env_id = env_id
        self._found = [p for c in cells if c.env_id == env_id and c.key in outcomes for p in outcomes[c.key].points]

    def methods(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(p.method for p in self._found))

    def of(self, workload: str, method: str) -> dict[str, list[Point]]:
        """Setting → one point for each training seed."""
        found: dict[str, list[Point]] = {}
        for p in self._found:
            if (p.workload, p.method) == (workload, method):
                found.setdefault(p.setting, []).append(p)
        return found

    def chosen(self, workload: str, method: str) -> list[Point]:
        """With the settings that were chosen on other tasks, one for each training seed."""
        return [p for some in self.of(workload, method).values() for p in some if p.chosen]


@dataclass(frozen=True)
class Verdict:
    """A method beside the tuned HPA on a workload: differences of cost and of the share of windows that missed, and how
    often it moves replicas for each of the HPA's moves.
    """

    workload: str
    cost: Compared
    missed: Compared
    churn: float

    @property
    def no_worse(self) -> bool:
        """Neither more cost nor more violations."""
        return self.cost.mean <= 0 and self.missed.mean <= 0

    @property
    def better(self) -> bool:
        """Significantly better in one of the two."""
        return self.cost.high < 0 or self.missed.high < 0


def verdict(view: SloEvidence, workload: str, method: str) -> Verdict | None:
    """None where one of the two wasn't measured."""
    own, rule = view.chosen(workload, method), view.chosen(workload, HPA)
    if not own or not rule:
        return None
    bootstrap = Bootstrap(len(rule[0].costs))
    return Verdict(
        workload,
        bootstrap.compared(np.array([p.costs for p in own]), np.array([p.costs for p in rule])),
        bootstrap.compared(np.array([p.missed for p in own]), np.array([p.missed for p in rule])),
        float(np.mean([p.moves for p in own]) / max(rule[0].moves, 1e-9)),
    )
