"""What remembering costs a worker: policy acting + simulator on one core, with a context and without."""

from bench import worker
from bench.policies import v3
from bench.report import BenchRow
from bench.timing import Paired, interleave, rate
from lwmecps_core.run_config import LearntContextName

FLOORS: dict[LearntContextName, float] = {"statistics": 0.8, "recurrent": 0.5}
ROUND_S = 1.0


def run() -> BenchRow:
    found = {context: _against_none(context) for context in FLOORS}
    least = found["statistics"]
    return BenchRow(
        name="worker_context",
        value=least.measured,
        unit="transitions/s",
        ratio=least.ratio,
        against="a worker whose policy remembers nothing",
        floor=", ".join(f"{context} >= {floor} times" for context, floor in FLOORS.items()),
        met=all(found[context].ratio >= floor for context, floor in FLOORS.items()),
        detail={context: {"ratio": pair.ratio, **pair.detail()} for context, pair in found.items()},
    )


def _against_none(context: LearntContextName) -> Paired:
    remembers, forgets = worker.collection(v3(), context=context), worker.collection(v3())
    return interleave(lambda: rate(remembers, ROUND_S), lambda: rate(forgets, ROUND_S), rounds=9)
