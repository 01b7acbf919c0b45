"""What a learnt update rule is worth on clusters."""

from dataclasses import replace

from bench.context import measure
from bench.context.cells import Cell
from bench.context.results import CellOutcome
from lwmecps_core.algorithms.disco import weights
from lwmecps_core.run_config import DiscoConfig
from lwmecps_core.training.discovery import DiscoveryConfig, discover


def run(cell: Cell) -> CellOutcome:
    """Train the cell's policy and measure it; where its rule is none, by one that is discovered with its seed."""
    if isinstance(cell.algorithm, DiscoConfig) and cell.algorithm.rule is None:
        rule, _ = discover(DiscoveryConfig(), cell.seed)
        cell = replace(cell, algorithm=replace(cell.algorithm, rule=weights.to_bytes(rule)))
    return measure.run(cell)
