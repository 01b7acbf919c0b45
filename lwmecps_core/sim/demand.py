"""What a task's load asks for, held against what its replicas serve: seen before anything is run.

Noise around the pattern, failover and start-up are left out: this is what the pattern itself needs.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.state import cores, home_node, initial_replicas, pod_limits, service_ms
from lwmecps_core.specs import CONTINUOUS_SUFFIX, DeploymentSpec, TaskSpec
from lwmecps_core.tasks.calls import with_calls
from lwmecps_core.tasks.workload import users_table

Floats = NDArray[np.float64]
SLACK = 1e-6
"""Relative: recorded users are kept in single precision."""
MOST = 1e18
"""Of requests per second, and of pods: more are as many."""


@dataclass(frozen=True)
class StationLoad:
    """Requests per second of the users at one node."""

    name: str
    mean: float
    peak: float


@dataclass(frozen=True)
class ServiceLoad:
    """A deployment at its peak (requests per second): what comes, from where, what `fit` pods serve, what it needs."""

    name: str
    peak: float
    stations: tuple[str, ...]
    capacity: float
    needed: int
    fit: int


@dataclass(frozen=True)
class Demand:
    """The load of all stations and deployments; `warnings` say what can't be served, and `use` is the largest share of
    what could be served that any deployment or node is asked for.
    """

    stations: tuple[StationLoad, ...]
    services: tuple[ServiceLoad, ...]
    warnings: tuple[str, ...]
    use: float


def demand(task: TaskSpec) -> Demand:
    """What the load of `task` needs."""
    arriving = np.minimum(users_table(task).astype(np.float64) / task.workload.request_interval_s, MOST)
    share = np.array(task.workload.share)
    rates, names = np.minimum(with_calls(task, arriving @ share), MOST), [node.name for node in task.cluster.nodes]
    stations = [
        StationLoad(name, float(column.mean()), float(column.max()))
        for name, column in zip(names, arriving.T, strict=True)
    ]
    fits = _fits(task)
    services = []
    for d, deployment in enumerate(task.deployments):
        moment, rate = int(rates[:, d].argmax()), pod_rate(task, deployment)
        peak = float(rates[moment, d])
        asking = tuple(name for name, part in zip(names, arriving[moment] * share[:, d], strict=True) if part > 0.0)
        needed = ceil(min(peak / max(rate, 1.0 / MOST), MOST) * (1.0 - SLACK))
        services.append(ServiceLoad(deployment.name, peak, asking, fits[d] * rate, needed, fits[d]))
    use, crowded = _crowded(task, rates)
    short = [_short(service) for service in services if service.needed > service.fit]
    most = max([use, *(s.peak / s.capacity if s.capacity else np.inf for s in services if s.peak > 0.0)])
    return Demand(tuple(stations), tuple(services), (*short, *([] if short else crowded), *_timeouts(task)), most)


def scaled(task: TaskSpec, share: float) -> tuple[TaskSpec, float]:
    """`task` with all users multiplied by one factor, so that the busiest deployment or node is asked for `share` of
    what it has at its peak; and that factor.

    Raises `InvalidInput` where there is no load, or nothing that could serve it.
    """
    use = demand(task).use
    if not 0.0 < use < np.inf:
        reason = "there is no load to scale" if use == 0.0 else "a deployment with load has no room for any replica"
        raise InvalidInput(task.name, [Violation("workload", reason)])
    w, factor = task.workload, share / use
    workload = vars(w) | {
        "base_users": tuple(users * factor for users in w.base_users),
        "recorded_users": tuple(tuple(users * factor for users in row) for row in w.recorded_users),
    }
    made: TaskSpec = parse(TaskSpec, vars(task) | {"workload": workload}, task.name)
    return made, factor


def pod_rate(task: TaskSpec, deployment: DeploymentSpec) -> float:
    """Requests per second that one pod answers in time; the predecessor's server (`testapp`) answers any number.

    Of requests that come all at once, a pod answers those that it gets through before their timeout.
    """
    if task.latency_model == "testapp":
        return float("inf")
    rate = 1e3 * cores(deployment) / service_ms(deployment)
    if task.workload.arrivals == "burst":
        return rate * min(1.0, deployment.timeout_ms / (1e3 * task.interval_s))
    return rate


def _version(task: TaskSpec) -> str:
    return task.env_id.removesuffix(CONTINUOUS_SUFFIX)


def _fits(task: TaskSpec) -> list[int]:
    """How many pods each deployment may have: at home (v1, v3), those it has (v2), or on all of its nodes (v4)."""
    limit = pod_limits(task)
    if _version(task) == "lwmecps-v4":
        return [int(row.sum()) for row in limit]
    if _version(task) == "lwmecps-v2":
        return [int(count) for count in initial_replicas(task)]
    return [int(row[home_node(task, d)]) for d, row in enumerate(limit)]


def _crowded(task: TaskSpec, rates: Floats) -> tuple[float, list[str]]:
    """The largest share of a node (v4 and v2: of the cluster) that the pods needed at one moment take, and where they
    need more than there is.
    """
    pods = rates / np.array([pod_rate(task, d) for d in task.deployments])
    homes = np.array([home_node(task, d) for d in range(len(task.deployments))])
    anywhere = _version(task) in ("lwmecps-v2", "lwmecps-v4")
    nodes, most, found = task.cluster.nodes, 0.0, []
    for name, here, own in (
        [("the cluster", nodes, np.full(len(homes), True))]
        if anywhere
        else [(node.name, (node,), homes == n) for n, node in enumerate(nodes)]
    ):
        for unit, wanted, room in (
            ("millicores", [d.cpu_millicores for d in task.deployments], sum(n.cpu_millicores for n in here)),
            ("MiB", [d.ram_mib for d in task.deployments], sum(n.ram_mib for n in here)),
        ):
            need = float((pods @ (np.array(wanted) * own)).max())
            most = max(most, need / room)
            if need > room * (1.0 + SLACK):
                found.append(f"pods needed at the peak at {name} take {need:,.0f} {unit} of {room:,.0f}")
    return most, found


def _short(service: ServiceLoad) -> str:
    where = f"at {service.stations[0]}" if len(service.stations) == 1 else f"from {len(service.stations)} nodes"
    where = where if service.stations else "by calls"
    return (
        f"{service.name}: {number(service.peak)} req/s {where} at the peak against {number(service.capacity)} that "
        f"{service.fit} replicas serve ({service.needed:,} pods needed, {service.fit} fit)"
    )


def number(value: float) -> str:
    """A number for people: whole from 100 on, else three digits."""
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def _timeouts(task: TaskSpec) -> list[str]:
    episode_ms = 1e3 * task.interval_s * task.horizon
    nodes, found = task.cluster.nodes, []
    for d, deployment in enumerate(task.deployments):
        timeout_ms = deployment.timeout_ms
        if timeout_ms > episode_ms:
            found.append(
                f"{deployment.name}: timeout_ms {timeout_ms:,.0f} is longer than an episode ({episode_ms:,.0f} ms: "
                f"interval_s x horizon), so requests count as failed after that"
            )
        home = [home_node(task, d)]
        allowed = deployment.allowed_nodes or [node.name for node in nodes]
        at = [n for n, node in enumerate(nodes) if node.name in allowed] if _version(task)[-1] in "24" else home
        late = []
        for m, node in enumerate(nodes):
            way = min(task.cluster.rtt_ms[n][m] for n in at)
            least_ms = node.access_latency_ms + way + service_ms(deployment)
            if task.workload.share[m][d] > 0.0 and least_ms >= timeout_ms:
                late.append(
                    f"{node.name} (access latency {node.access_latency_ms:g} + round trip {way:g} + service "
                    f"{service_ms(deployment):g} ms)"
                )
        if late:
            found.append(f"{deployment.name}: no request is answered before timeout_ms {timeout_ms:g} from {late[0]}")
            found[-1] += f" and {len(late) - 1} more nodes" if late[1:] else ""
    return found
