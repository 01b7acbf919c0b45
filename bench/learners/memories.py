"""External memories beside the flagship's learnt one: their cells, which are those of RL² in all but `cell`."""

from collections.abc import Mapping
from dataclasses import replace

from bench.context.cells import FLAGSHIP, RECURRENT, Cell
from bench.context.cells import cells as context_cells
from lwmecps_core.cells import CellName
from lwmecps_core.run_config import PPOConfig, TrainConfig

MEMORIES: Mapping[CellName, str] = {
    "gru": "gated recurrent units alone (RL²)",
    "ntm": "with a Neural Turing Machine's slots",
    "dnc": "with a Differentiable Neural Computer's slots",
}
"""The one that the others are held against first."""
SEEDS, TASKS = 5, 64


def cells(seeds: int = SEEDS, episodes: int | None = None) -> list[Cell]:
    """One for each memory and training seed; those of gated recurrent units are the context benchmark's own, but where
    all train for so many `episodes` only.
    """
    flagship = context_cells((FLAGSHIP,), TASKS, max(seeds, SEEDS))
    own = [c for c in flagship if c.method == RECURRENT and c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
    return [_with(c, name, episodes) for c in own for name in MEMORIES]


def _with(cell: Cell, name: CellName, episodes: int | None) -> Cell:
    if name == "gru" and episodes is None:
        return cell
    assert isinstance(cell.algorithm, PPOConfig) and isinstance(cell.training, TrainConfig)
    algorithm, training = replace(cell.algorithm, cell=name), cell.training
    if episodes is not None:
        training = replace(training, total_episodes=episodes)
    return replace(cell, method=name, algorithm=algorithm, training=training, also=())


def name_of(cell: Cell) -> CellName:
    """Of its memory."""
    assert isinstance(cell.algorithm, PPOConfig)
    return cell.algorithm.cell
