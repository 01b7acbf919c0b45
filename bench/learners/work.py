"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.context.cells import Cell
from bench.learners.beliefs_results import BeliefOutcome
from bench.learners.cells import StartCell
from bench.learners.results import StartOutcome
from bench.learners.streams import StreamCell, StreamOutcome


def run(cell: StartCell) -> StartOutcome:
    """See `measure.run`."""
    from bench.learners import measure

    return measure.run(cell)


def run_stream(cell: StreamCell) -> StreamOutcome:
    """See `streams_measure.run`."""
    from bench.learners import streams_measure

    return streams_measure.run(cell)


def run_belief(cell: Cell) -> BeliefOutcome:
    """See `beliefs_measure.run`."""
    from bench.learners import beliefs_measure

    return beliefs_measure.run(cell)
