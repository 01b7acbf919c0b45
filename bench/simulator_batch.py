"""The simulator in large batches on one core, against the same equations in NumPy."""

from bench import simulator
from bench.report import BenchRow
from bench.timing import interleave, rate

BATCH = 1024
FLOOR = 500_000


def run() -> BenchRow:
    task = simulator.v4(4)
    ours = simulator.episode(task, BATCH)
    numpy = simulator.reference_episode(task)
    pair = interleave(
        lambda: rate(ours, simulator.ROUND_S), lambda: rate(numpy, simulator.ROUND_S), rounds=5, warm_up=1
    )
    return BenchRow(
        name="simulator_batch",
        value=pair.measured,
        unit="environment steps/s",
        ratio=pair.ratio,
        against="the same equations in NumPy, one environment",
        floor=f">= {FLOOR:,} environment steps/s",
        met=pair.measured >= FLOOR,
        detail={"batch": BATCH, **pair.detail()},
    )
