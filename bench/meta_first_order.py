"""What an iteration of first-order MAML costs against one of MAML, both compiled, at 5 inner steps; one thread."""

from bench import meta_problem
from bench.memory import saved_bytes
from bench.report import BenchRow
from bench.timing import interleave

STEPS, REPEATS, ROUNDS = 5, 50, 31
LIMIT = 0.4


def run() -> BenchRow:
    first, second = (meta_problem.ours(method, STEPS, compiled=True) for method in ("fomaml", "maml"))
    pair = interleave(
        lambda: meta_problem.each(first, REPEATS), lambda: meta_problem.each(second, REPEATS), rounds=ROUNDS
    )
    eager = [meta_problem.ours(method, STEPS) for method in ("fomaml", "maml")]
    uncompiled = interleave(*(lambda work=work: meta_problem.each(work, REPEATS) for work in eager))
    kept = [saved_bytes(work) for work in eager]
    return BenchRow(
        name="meta_first_order",
        value=1e3 * pair.measured,
        unit="ms per meta-iteration",
        ratio=pair.ratio,
        against="MAML",
        floor=f"<= {LIMIT:g} times, and less memory",
        met=pair.ratio <= LIMIT and kept[0] < kept[1],
        detail={
            "inner_steps": STEPS,
            "maml_ms": 1e3 * pair.reference,
            "uncompiled_ratio": uncompiled.ratio,
            "saved_bytes_fomaml": kept[0],
            "saved_bytes_maml": kept[1],
        },
    )
