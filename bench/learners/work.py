"""What the processes of the benchmark's pool do; they alone need PyTorch."""

from bench.context.cells import Cell
from bench.context.results import CellOutcome
from bench.learners.beliefs_results import BeliefOutcome
from bench.learners.cells import StartCell
from bench.learners.populations import PopulationCell, PopulationOutcome
from bench.learners.proposals import TrialCell, TrialOutcome
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


def run_population(cell: PopulationCell) -> PopulationOutcome:
    """See `choosing_measure.run_population`."""
    from bench.learners import choosing_measure

    return choosing_measure.run_population(cell)


def run_trial(cell: TrialCell) -> TrialOutcome:
    """See `choosing_measure.run_trial`."""
    from bench.learners import choosing_measure

    return choosing_measure.run_trial(cell)


def run_belief(cell: Cell) -> BeliefOutcome:
    """See `beliefs_measure.run`."""
    from bench.learners import beliefs_measure

    return beliefs_measure.run(cell)


def run_rule(cell: Cell) -> CellOutcome:
    """See `rules_measure.run`."""
    from bench.learners import rules_measure

    return rules_measure.run(cell)
