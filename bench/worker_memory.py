"""What slots cost beside a learnt memory without: acting in a worker, and training, on one core."""

import time
from collections.abc import Callable
from dataclasses import replace

from bench import worker
from bench.cases import SEED
from bench.policies import v3
from bench.report import BenchRow
from bench.timing import Paired, interleave, rate
from lwmecps_core.cells import CellName
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training import train
from services.cli.demo_settings import DemoSettings, remembering

SLOTS: tuple[CellName, ...] = ("ntm", "dnc")
FLOOR, MOST, ROUND_S = 0.3, 3.0, 1.0
"""Transitions per second over those of gated recurrent units alone, and time of a training step over the flagship's."""


def run() -> BenchRow:
    acting = {cell: _acting(cell) for cell in SLOTS}
    steps = {cell: _training(cell) for cell in ("gru", *SLOTS)}
    least = min(acting.values(), key=lambda pair: pair.ratio)
    return BenchRow(
        name="worker_memory",
        value=least.measured,
        unit="transitions/s",
        ratio=least.ratio,
        against="a worker whose policy remembers by gated recurrent units alone",
        floor=f">= {FLOOR} times; a training step <= {MOST:g} times the flagship's",
        met=least.ratio >= FLOOR and all(steps[cell].ratio <= MOST for cell in SLOTS),
        detail={
            "acting": {cell: {"ratio": pair.ratio, **pair.detail()} for cell, pair in acting.items()},
            "training_step_s": {cell: {"ratio": pair.ratio, **pair.detail()} for cell, pair in steps.items()},
        },
    )


def _acting(cell: CellName) -> Paired:
    slots, alone = (worker.collection(v3(), context="recurrent", cell=c) for c in (cell, "gru"))
    return interleave(lambda: rate(slots, ROUND_S), lambda: rate(alone, ROUND_S))


def _training(cell: CellName) -> Paired:
    """Processor time of a step on as many transitions: of RL² with a cell, and of running statistics."""
    demo, learnt = DemoSettings(), remembering(DemoSettings(), "recurrent")
    step = _steps(replace(learnt.context_algorithm, cell=cell), learnt.context_training)
    return interleave(step, _steps(demo.context_algorithm, demo.context_training), rounds=3)


def _steps(algorithm: PPOConfig, training: TrainConfig) -> Callable[[], float]:
    """What makes one step and says how long it took."""
    steps = train(TaskDistribution(), algorithm, training, LocalCollector(), seed=SEED)

    def run() -> float:
        began = time.process_time()
        next(steps)
        return time.process_time() - began

    return run
