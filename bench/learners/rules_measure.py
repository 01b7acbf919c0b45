"""What a learnt update rule is worth on clusters."""

import time
from dataclasses import replace
from functools import cache

from bench.context import measure
from bench.context.cells import Cell
from bench.context.results import CellOutcome
from lwmecps_core.algorithms.disco import weights
from lwmecps_core.run_config import DiscoConfig
from lwmecps_core.training.discovery import DiscoveryConfig, discover


def run(cell: Cell) -> CellOutcome:
    """Train the cell's policy and measure it; where its rule is none, by one that is discovered with its seed."""
    if not isinstance(cell.algorithm, DiscoConfig) or cell.algorithm.rule is not None:
        return measure.run(cell)
    rule, cpu_s = _discovered(cell.seed)
    outcome = measure.run(replace(cell, algorithm=replace(cell.algorithm, rule=rule)))
    return replace(outcome, training_cpu_s=outcome.training_cpu_s + cpu_s)


@cache
def _discovered(seed: int) -> tuple[bytes, float]:
    """The file of a rule, and the processor time that it took."""
    begun = time.process_time()
    rule, _ = discover(DiscoveryConfig(), seed)
    return weights.to_bytes(rule), time.process_time() - begun
