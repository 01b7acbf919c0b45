"""What the benchmark found, as it is kept (`bench.doing`)."""

from collections.abc import Mapping

from lwmecps_core.config import config


@config
class Start:
    """A way of choosing what to start from, on clusters of known or of new fleets: rewards per episode of all held-out
    ones after plain steps, and on known ones how many were given the policy of their own fleet.
    """

    where: str
    method: str
    steps: int
    rewards: tuple[float, ...]
    right: float | None = None


@config
class StartOutcome:
    """All that a cell found, the CPU time of its training, and the commit."""

    starts: tuple[Start, ...]
    training_cpu_s: float = 0.0
    commit: str = ""


StartOutcomes = Mapping[str, StartOutcome]
"""By the key of the cell."""
