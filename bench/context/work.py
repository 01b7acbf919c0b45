"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.context.cells import Cell
from bench.context.results import CellOutcome


def one_thread() -> None:
    """Before anything else."""
    import torch

    torch.set_num_threads(1)


def run(cell: Cell) -> CellOutcome:
    """See `measure.run`."""
    from bench.context import measure

    return measure.run(cell)
