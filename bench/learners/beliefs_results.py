"""What the benchmark found of beliefs, as it is kept (`bench.doing`)."""

from collections.abc import Mapping

from bench.context.results import Found
from lwmecps_core.config import config


@config
class Named:
    """How well service times of held-out clusters are read off what is believed after so many intervals.

    `r2` is the share of the variance of their logarithms that is explained, `covered` how many lie in intervals of
    90 %; by a `head` that training told them, or by a `probe` that was fitted afterwards on other clusters.
    """

    by: str
    intervals: int
    r2: float
    covered: float


@config
class BeliefOutcome:
    """All that a cell found, the CPU time of its training, and the commit."""

    found: list[Found]
    named: tuple[Named, ...] = ()
    training_cpu_s: float = 0.0
    commit: str = ""


BeliefOutcomes = Mapping[str, BeliefOutcome]
"""By the key of the cell."""
