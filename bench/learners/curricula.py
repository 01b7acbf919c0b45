"""Curricula over training tasks: their cells, which are those of the flagship in all but which tasks it trains on."""

from collections.abc import Mapping
from dataclasses import replace

from bench.context.cells import FLAGSHIP, Cell
from bench.context.cells import cells as context_cells
from lwmecps_core.curricular import Curricular
from lwmecps_core.run_config import TrainConfig

UNIFORM = "uniform"
REGRET, BY_LOSS = Curricular(curriculum="replay", curriculum_score="quick_regret"), Curricular(curriculum="replay")
CURRICULA: Mapping[str, Curricular] = {
    UNIFORM: Curricular(),
    "replay by regret": REGRET,
    "replay by value loss": BY_LOSS,
    "robust replay by regret": replace(REGRET, learn_from_fresh=False),
    "mutation by regret": replace(REGRET, curriculum="mutate"),
}
"""The flagship's own training first; no setting was tuned (docs/learners.md)."""
SEEDS, TASKS = 5, 64


def cells(seeds: int = SEEDS) -> list[Cell]:
    """One for each curriculum and training seed; the uniform ones are the context benchmark's own."""
    flagship = context_cells((FLAGSHIP,), TASKS, max(seeds, SEEDS))
    own = [c for c in flagship if c.method == "context" and c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
    return [c if name == UNIFORM else _by(c, name) for name in CURRICULA for c in own]


def _by(cell: Cell, name: str) -> Cell:
    curriculum = CURRICULA[name]
    assert isinstance(cell.training, TrainConfig)
    settings = {field: getattr(curriculum, field) for field in Curricular.__dataclass_fields__}
    return replace(cell, method=name, training=replace(cell.training, **settings), also=(), steps=None)


def name_of(cell: Cell) -> str:
    """Of its curriculum, as `CURRICULA` has it."""
    return cell.method if cell.method in CURRICULA else UNIFORM
