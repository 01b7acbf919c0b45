"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.learners.cells import StartCell
from bench.learners.results import StartOutcome


def run(cell: StartCell) -> StartOutcome:
    """See `measure.run`."""
    from bench.learners import measure

    return measure.run(cell)
