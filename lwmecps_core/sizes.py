"""What would take all of a machine's memory, or can't be computed with, is refused."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lwmecps_core.specs import TaskSpec

MAX_NUMBERS = 2**22
"""Most numbers of one kind (users in every interval, pods that start, choices of an action) that a task may need."""

MAX_VALUE = 1e15
"""Largest weight, price, power, count of users, … of a task: products of a few are finite."""


def refuse_too_large(task: "TaskSpec") -> None:
    """Raise `ValueError` for a task that needs more than `MAX_NUMBERS` of one kind, or has one over `MAX_VALUE`."""
    w, nodes, pools = task.workload, len(task.cluster.nodes), len(task.cluster.nodes) * len(task.deployments)
    recorded = w.pattern == "recorded"
    pattern_s = len(w.recorded_users) * w.recorded_step_s if recorded else w.period_s
    cause = "workload.recorded_users, recorded_step_s" if recorded else "workload.period_s"
    intervals = pattern_s / w.speedup / task.interval_s
    slots = max(d.startup_s for d in task.deployments) / task.interval_s
    choices = max(d.max_replicas for d in task.deployments) + 1
    slo = task.objective.slo
    windows = slo.window * (len(task.deployments) if slo.scope == "each" else 1) if slo else 0
    hops = nodes if task.routing == "local_first" else 0
    for text, numbers in (
        (f"routing: {hops} nodes to go on to from each of {pools} pairs", hops * pools),
        (f"{cause}, speedup, interval_s: {intervals:.3g} intervals at {nodes} nodes", intervals * nodes),
        (f"interval_s: {slots:.3g} intervals of starting for each of {pools} pairs", slots * pools),
        (f"objective.slo: {windows} intervals of all windows", windows),
        (f"deployments: max_replicas: {choices} choices for each of {pools} pairs", choices * pools),
    ):
        if numbers > MAX_NUMBERS:
            raise ValueError(f"{text} are too many: {numbers:.3g} numbers, at most {MAX_NUMBERS}")
    parts: dict[str, Any] = {"objective": task.objective, "objective.slo": slo, "prices": task.prices}
    parts |= {f"node {node.name!r}": node for node in task.cluster.nodes}
    parts |= {f"deployment {d.name!r}": d for d in task.deployments}
    found = [(f"{of}: {name}", value) for of, part in parts.items() if part for name, value in vars(part).items()]
    for name, value in (*found, ("workload.base_users", max(w.base_users, default=0.0))):
        if isinstance(value, float) and value > MAX_VALUE:
            raise ValueError(f"{name} {value:g} must not exceed {MAX_VALUE:g}")
