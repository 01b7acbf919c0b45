"""The simulator stepping a single environment, against the same equations in NumPy."""

from bench import simulator
from bench.report import BenchRow
from bench.timing import interleave, rate

FLOOR = 20.0


def run() -> BenchRow:
    task = simulator.v4(4)
    ours, numpy = simulator.episode(task, 1), simulator.reference_episode(task)
    pair = interleave(
        lambda: rate(ours, simulator.ROUND_S), lambda: rate(numpy, simulator.ROUND_S), rounds=7, warm_up=1
    )
    return BenchRow(
        name="simulator_single",
        value=pair.measured,
        unit="environment steps/s",
        ratio=pair.ratio,
        against="the same equations in NumPy, one environment",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail=pair.detail(),
    )
