"""What a family's tasks are like, in numbers, for saying which families are alike; nothing has to be run for it."""

from collections.abc import Iterator, Sequence
from math import log

import numpy as np

from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

DRAWS = 32
"""Tasks of a distribution that are looked at."""
SEED = 10_000_000
"""What these are drawn by."""
TINY = 1e-3
"""Added to what may be 0 before its logarithm is taken."""


def about(items: Sequence[TaskSpec | TaskDistribution]) -> dict[str, float]:
    """The mean over tasks, and the standard deviation, of what each task says of itself; amounts as logarithms."""
    tasks = [task for item in items for task in _drawn(item)]
    found = [dict(_facts(task)) for task in tasks]
    columns = {name: np.array([one[name] for one in found]) for name in found[0]}
    means = {name: float(x.mean()) for name, x in columns.items()}
    return means | {f"{name}, spread": float(x.std()) for name, x in columns.items()}


def _drawn(item: TaskSpec | TaskDistribution) -> list[TaskSpec]:
    if isinstance(item, TaskSpec):
        return [item]
    rng = generator(SEED)
    return [draw(item, int(rng.integers(2**62))) for _ in range(DRAWS)]


def _facts(task: TaskSpec) -> Iterator[tuple[str, float]]:
    load, objective, nodes = task.workload, task.objective, task.cluster.nodes
    users = np.array(load.base_users or np.mean(load.recorded_users, axis=0))
    amounts = {
        "nodes": len(nodes),
        "deployments": len(task.deployments),
        "horizon": task.horizon,
        "node CPU": np.mean([n.cpu_millicores for n in nodes]),
        "node RAM": np.mean([n.ram_mib for n in nodes]),
        "access latency": np.mean([n.access_latency_ms for n in nodes]),
        "round trip": np.mean(task.cluster.rtt_ms),
        "requests": users.sum() / load.request_interval_s,
        "period": load.period_s / load.speedup,
        "target latency": objective.target_latency_ms,
    }
    for name in ("cpu_millicores", "ram_mib", "cpu_time_ms", "cpu_time_cv", "startup_s", "timeout_ms", "max_replicas"):
        amounts[name] = np.mean([getattr(d, name) for d in task.deployments])
    for name, value in amounts.items():
        yield name, log(float(value) + TINY)
    for name in ("latency", "replicas", "imbalance", "sla", "moves", "energy"):
        yield f"weight of {name}", float(getattr(objective, name))
    yield "amplitude", load.amplitude
    yield "noise", load.noise
    for pattern in ("uniform", "diurnal", "burst", "gradual", "recorded"):
        yield f"load is {pattern}", float(load.pattern == pattern)
