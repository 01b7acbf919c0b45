"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.context.cells import Cell
from bench.context.results import CellOutcome


def run(cell: Cell) -> CellOutcome:
    """See `measure.run`."""
    from bench.context import measure

    return measure.run(cell)
