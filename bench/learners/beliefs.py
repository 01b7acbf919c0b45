"""Beliefs: their cells, which are those of the flagship in all but what the policy remembers."""

from collections.abc import Mapping
from dataclasses import replace

from bench.context.cells import FLAGSHIP, RECURRENT, Cell
from bench.context.cells import cells as context_cells
from lwmecps_core.run_config import PPOConfig
from services.cli.demo_settings import DemoSettings

BELIEF, TOLD = "belief", "belief, told service times"
STATISTICS = "context"
OTHERS = (STATISTICS, RECURRENT, "privileged")
"""The context benchmark's own cells, to compare with."""
PPO = DemoSettings().algorithm
BELIEFS: Mapping[str, PPOConfig] = {
    BELIEF: replace(PPO, context="belief"),
    TOLD: replace(PPO, context="belief", belief_told=1.0),
}
"""The latter is the control: a head that is told in training what the simulator hides."""
SEEDS, TASKS = 5, 64
PROBE_SEED, PROBE_TASKS = 9_000_000, 256
"""Clusters that what a belief says of service times is read off by; the held-out ones measure that."""
INTERVALS = (1, 5, 20, 100)
"""After which that is measured."""


def cells(seeds: int = SEEDS) -> list[Cell]:
    """One for each way of remembering and training seed; those of `OTHERS` are the context benchmark's own."""
    flagship = context_cells((FLAGSHIP,), TASKS, max(seeds, SEEDS))
    own = [c for c in flagship if c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
    mine = [_with(c, name) for name in BELIEFS for c in own if c.method == STATISTICS]
    return [*mine, *(c for name in OTHERS for c in own if c.method == name)]


def _with(cell: Cell, name: str) -> Cell:
    """The same training and measuring as with statistics: tasks, episodes, batches in a row, schedule."""
    return replace(cell, method=name, algorithm=BELIEFS[name], also=(), steps=None)
