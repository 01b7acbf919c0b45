"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.slo.cells import SloCell
from bench.slo.results import SloOutcome


def run(cell: SloCell) -> SloOutcome:
    """See `measure.run`."""
    from bench.slo import measure

    return measure.run(cell)
