"""What an iteration of implicit MAML keeps for its passes backwards after 50 inner steps, against after one."""

from bench import meta_problem
from bench.memory import saved_bytes
from bench.report import BenchRow

STEPS = (1, 5, 20, 50)


def run() -> BenchRow:
    kept = {
        method: {str(steps): saved_bytes(meta_problem.ours(method, steps)) for steps in STEPS}
        for method in ("imaml", "maml")
    }
    few, many = (kept["imaml"][str(steps)] for steps in (STEPS[0], STEPS[-1]))
    return BenchRow(
        name="meta_memory",
        value=many / 2**20,
        unit=f"MiB saved at {STEPS[-1]} inner steps",
        ratio=many / few,
        against="the same at 1 inner step",
        floor="<= 1 times",
        met=many <= few,
        detail={"saved_bytes_by_inner_steps": kept},
    )
