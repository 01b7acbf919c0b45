"""How the simulator's cost grows from 4 × 4 to 64 × 64 nodes × deployments: near-linear in their product."""

from bench import simulator
from bench.report import BenchRow
from bench.timing import interleave, rate

SMALL, LARGE = 4, 64
FLOOR = 0.5  # a pool of the large cluster may cost twice as much as one of the small


def run() -> BenchRow:
    large, small = (_pools_per_s(size, batch) for size, batch in ((LARGE, 4), (SMALL, 1024)))
    pair = interleave(large, small, rounds=7, warm_up=1)
    return BenchRow(
        name="simulator_scaling",
        value=pair.measured,
        unit=f"pools (node x deployment) stepped/s at {LARGE} x {LARGE}",
        ratio=pair.ratio,
        against=f"pools stepped/s at {SMALL} x {SMALL}",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail=pair.detail(),
    )


def _pools_per_s(size: int, batch: int):  # type: ignore[no-untyped-def]
    work = simulator.episode(simulator.v4(size), batch)
    return lambda: size * size * rate(work, simulator.ROUND_S)
