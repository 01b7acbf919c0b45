"""What of bounds is refused where people write it, and taken where it was written before."""

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskDistribution, TaskSpec

USUAL = 1.0
"""A multiplier that nobody has sought."""


def check_multipliers(item: TaskSpec | TaskDistribution, source: str) -> None:
    """Raise `InvalidInput` where a multiplier is given without its bound: it would do nothing. Learners of before
    sent such, and registries keep such, so that only who writes a task is asked.
    """
    slo, at = (item.objective.slo, "objective.slo") if isinstance(item, TaskSpec) else (item.slo, "slo")
    if slo is None:
        return
    found = [("failed_share", slo.failed_share, slo.failed_share_multiplier)]
    found += [("latency_p95_ms", slo.latency_p95_ms, slo.latency_p95_multiplier)]
    wrong = [
        Violation(f"{at}.{bound.removesuffix('_ms')}_multiplier", f"acts with {bound}, which isn't given")
        for bound, value, multiplier in found
        if value is None and multiplier != USUAL
    ]
    if wrong:
        raise InvalidInput(source, wrong)
