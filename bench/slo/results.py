"""What the benchmark found, as it is kept: one entry for each cell, by the digest of the cell's settings."""

from collections.abc import Mapping

from lwmecps_core.config import config


@config
class Point:
    """A method with one setting on a workload: money per hour, shares of windows that missed, moves per hour, and µs
    per decision, of everything and of what is steady; the first two of every held-out task.

    `chosen`: on other tasks of the workload this setting was the cheapest that kept to the bounds.
    """

    workload: str
    method: str
    setting: str
    chosen: bool
    reward: float
    costs: tuple[float, ...]
    missed: tuple[float, ...]
    cost_steady: float
    missed_steady: float
    moves: float
    moves_steady: float
    decision_us: float | None = None
    decision_us_steady: float | None = None


@config
class SloOutcome:
    """All that a cell found, the CPU time of its training, what multipliers it ended with, and the commit."""

    points: tuple[Point, ...]
    training_cpu_s: float = 0.0
    multipliers: dict[str, float] | None = None
    commit: str = ""


SloOutcomes = Mapping[str, SloOutcome]
"""By the key of the cell."""
