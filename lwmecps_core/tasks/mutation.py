"""Edits of tasks: a task of the same family that differs in one thing, for curricula that edit what they replay.

Every edit keeps a quantity within what the family draws it from (`Ranges`), or, where it lies beyond already, no
further out. Source: the edits of ACCEL (Parker-Holder et al. 2022, arXiv:2203.01302), here of clusters.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import ClusterSpec, DeploymentSpec, TaskSpec
from lwmecps_core.tasks.families import RANGES, Ranges
from lwmecps_core.tasks.homes import first_asked

SPREAD = 0.3
"""Standard deviation of the logarithm of a factor."""
Edit = Callable[[TaskSpec, np.random.Generator, Ranges], TaskSpec]


def edited(task: TaskSpec, seed: int, ranges: Ranges = RANGES) -> TaskSpec:
    """The task with one of `EDITS` made, as `seed` draws it: a pure function of all three. Its name tells the seed."""
    rng = np.random.Generator(np.random.Philox(seed))
    possible = [name for name in EDITS if _applies(name, task)]
    changed = EDITS[possible[int(rng.integers(len(possible)))]](task, rng, ranges)
    return replace(changed, name=f"{task.name.split('.')[0]}.{seed}")


def service(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Requests of a deployment cost more or less, and have as many times longer or shorter until they time out.

    They cost no more than `busiest_share` of all replicas can serve at the peak.
    """
    i = int(rng.integers(len(task.deployments)))
    old, burst = task.deployments[i], task.workload.arrivals == "burst"
    before = old.cpu_time_ms / min(1.0, old.cpu_millicores / 1e3)
    after = _within(before, _factor(rng), r.burst_service_ms if burst else r.service_ms)
    if not burst:
        most = 1e3 * r.busiest_share * old.max_replicas / max(_peak_rate(task)[i], 1e-9)
        after = min(after, max(most, before))
    times = after / before
    far = max(max(row) for row in task.cluster.rtt_ms)
    new = replace(old, cpu_time_ms=old.cpu_time_ms * times, timeout_ms=max(old.timeout_ms - far, before) * times + far)
    return _with(task, i, new)


def variation(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Requests of a deployment cost more or less unequally."""
    i = int(rng.integers(len(task.deployments)))
    return _with(task, i, replace(task.deployments[i], cpu_time_cv=float(rng.uniform(*r.cpu_time_cv))))


def startup(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Pods of a deployment start sooner or later."""
    i = int(rng.integers(len(task.deployments)))
    return _with(task, i, replace(task.deployments[i], startup_s=float(rng.uniform(*r.startup_s))))


def users(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """A station has more or fewer users, as far as no deployment needs more than `busiest_share` of its replicas."""
    node = int(rng.integers(len(task.cluster.nodes)))
    base = list(task.workload.base_users)
    before = base[node]
    base[node] = _within(before, _factor(rng), r.geometry.station_users)
    changed = replace(task, workload=replace(task.workload, base_users=tuple(base)))
    if base[node] > before and (_busy(changed) > np.maximum(_busy(task), r.busiest_share)).any():
        return task
    return changed


def day(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """A station's day is earlier or later."""
    node, phase = int(rng.integers(len(task.cluster.nodes))), list(task.workload.phase)
    phase[node] = float((phase[node] + rng.normal(0.0, r.phase_spread_hours) / 24.0) % 1.0)
    return replace(task, workload=replace(task.workload, phase=tuple(phase)))


def links(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """A node is nearer to all others or farther away; whom requests turn to next follows from that."""
    node = int(rng.integers(len(task.cluster.nodes)))
    rtt, factor = np.array(task.cluster.rtt_ms), _factor(rng)
    row = np.array([_within(x, factor, r.geometry.rtt_ms) for x in rtt[node]]).round(3)
    row[node] = 0.0
    rtt[node], rtt[:, node] = row, row
    cluster = ClusterSpec(nodes=task.cluster.nodes, rtt_ms=tuple(map(tuple, rtt.tolist())))
    return _rerouted(replace(task, cluster=cluster))


def price_of_replicas(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """A replica costs more or less beside latency, and a failure as many times what it cost beside both."""
    o, deployed = task.objective, _deployed(task)
    replicas = o.latency * _within(o.replicas / o.latency, _factor(rng), r.weight_replicas)
    failure = (o.latency + replicas * deployed) / (o.latency + o.replicas * deployed)
    return _priced(task, replicas=replicas, sla=o.sla * failure)


def price_of_failures(task: TaskSpec, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """A failed request costs more or less beside a served one."""
    o = task.objective
    served = o.latency + o.replicas * _deployed(task)
    return _priced(task, sla=served * _within(o.sla / served, _factor(rng), r.weight_sla))


EDITS: Mapping[str, Edit] = {
    "service": service,
    "variation": variation,
    "startup": startup,
    "users": users,
    "day": day,
    "links": links,
    "price_of_replicas": price_of_replicas,
    "price_of_failures": price_of_failures,
}


def _applies(name: str, task: TaskSpec) -> bool:
    """Recorded load is left alone; bounds have no weights, and one node no links."""
    if name == "users":
        return bool(task.workload.base_users)
    if name == "day":
        return bool(task.workload.phase)
    if name == "links":
        return len(task.cluster.nodes) > 1
    if name.startswith("price"):
        return task.objective.slo is None and task.objective.latency > 0.0
    return True


def _factor(rng: np.random.Generator) -> float:
    return float(np.exp(rng.normal(0.0, SPREAD)))


def _within(value: float, factor: float, bounds: tuple[float, float]) -> float:
    """The value times the factor, no further beyond the bounds than the value is."""
    return float(np.clip(value * factor, min(bounds[0], value), max(bounds[1], value)))


def _with(task: TaskSpec, i: int, deployment: DeploymentSpec) -> TaskSpec:
    return replace(task, deployments=(*task.deployments[:i], deployment, *task.deployments[i + 1 :]))


def _peak_rate(task: TaskSpec) -> NDArray[np.float64]:
    """Requests per second of every deployment `[D]` when all its users' days are at their peak."""
    w = task.workload
    peak = np.max(w.recorded_users, axis=0) if w.recorded_users else np.array(w.base_users) * (1 + w.amplitude)
    rate: NDArray[np.float64] = np.array(w.share).T @ peak / w.request_interval_s
    return rate


def _busy(task: TaskSpec) -> NDArray[np.float64]:
    """Share of the most replicas of every deployment `[D]` that users keep busy at the peak."""
    pods = [d.cpu_time_ms / min(1.0, d.cpu_millicores / 1e3) / 1e3 / d.max_replicas for d in task.deployments]
    return _peak_rate(task) * pods


def _deployed(task: TaskSpec) -> float:
    return sum(d.initial_replicas for d in task.deployments) / sum(d.max_replicas for d in task.deployments)


def _priced(task: TaskSpec, **weights: float) -> TaskSpec:
    """With these weights, scaled so that all sum to what they did."""
    names = ("latency", "replicas", "imbalance", "sla", "moves", "energy")
    before = {n: float(getattr(task.objective, n)) for n in names}
    after = before | weights
    scale = sum(before.values()) / sum(after.values())
    scaled: dict[str, Any] = {n: x * scale for n, x in after.items()}
    return replace(task, objective=replace(task.objective, **scaled))


def _rerouted(task: TaskSpec) -> TaskSpec:
    """Whom users ask and turn to by the round trips of now, where these decided it; recorded users keep theirs."""
    homes = [p.allowed_nodes for p in task.deployments]
    if not task.workload.failover or task.workload.recorded_users or any(len(home) != 1 for home in homes):
        return task
    names = [node.name for node in task.cluster.nodes]
    rtt = np.array(task.cluster.rtt_ms)[:, [names.index(home[0]) for home in homes]]
    order = tuple(map(tuple, np.argsort(rtt, axis=1, kind="stable").tolist()))
    share = first_asked(order, [names.index(home[0]) for home in homes])
    return replace(task, workload=replace(task.workload, failover=order, share=share))
