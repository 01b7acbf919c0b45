"""What the benchmark found, as it is kept: one entry for each cell, by the digest of the cell's settings."""

from collections.abc import Mapping

from bench.context.cells import ClusterKind
from lwmecps_core.config import config


@config
class Found:
    """A method on one kind of cluster after inner steps in an episode there: every held-out task's reward, and means.

    `support_reward` is what the episodes before earned; None where there were none.
    """

    problem: ClusterKind
    method: str
    inner_steps: int
    episode: int
    rewards: tuple[float, ...]
    support_reward: float | None
    latency_ms: float
    replicas: float
    sla_miss: float
    moves: float


@config
class CellOutcome:
    """All that a cell found, the CPU time of its training, and the commit that it was done at."""

    found: list[Found]
    training_cpu_s: float = 0.0
    commit: str = ""


CellOutcomes = Mapping[str, CellOutcome]
"""By the key of the cell."""
