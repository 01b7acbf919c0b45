"""Families of tasks: every draw is a new cluster with new request costs, links, load and prices.

What is drawn and can't be observed (request cost and its variation, start-up time, links, timeouts, the objective's
weights) is what adaptation has to find out. The ranges stand in `Ranges`; a family is a function of a distribution and
a generator, listed in `REGISTRY`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import (
    CONTINUOUS_SUFFIX,
    ClusterSpec,
    DeploymentSpec,
    NodeSpec,
    NonNegative,
    ObjectiveSpec,
    Positive,
    TaskDistribution,
    TaskSpec,
    WorkloadSpec,
)
from lwmecps_core.tasks import city, profiles
from lwmecps_core.tasks.homes import Order, at_homes, first_asked
from lwmecps_core.tasks.workload import resampled

Floats = NDArray[np.float64]
Range = tuple[NonNegative, NonNegative]
Pattern = Literal["uniform", "burst", "gradual", "diurnal"]
Balancer = Literal["cluster", "least_connections"]
Arrivals = Literal["poisson", "burst"]


@config
class Ranges:
    """What a task is drawn from: `(low, high)` each; log-uniform where the comment says so, else uniform."""

    geometry: city.CityRanges = city.CityRanges()

    # Demand: pods per deployment that users keep busy at the peak of the day (log-uniform, mean over a task's
    # deployments). Request costs follow from it and from the users; they differ between deployments by `service_spread`
    # (std of the logarithm), so long as no deployment needs more than `busiest_share` of its replicas at the peak.
    peak_pods: tuple[Positive, Positive] = (0.8, 4.0)
    service_spread: NonNegative = 0.35
    busiest_share: Positive = 0.75
    service_ms: tuple[Positive, Positive] = (10.0, 2000.0)
    cpu_time_cv: Range = (0.0, 1.0)
    startup_s: Range = (2.0, 25.0)
    timeout_services: Range = (6.0, 15.0)

    # A deployment that receives a whole interval's requests at once: requests that one pod serves in a row at the peak.
    burst_service_ms: tuple[Positive, Positive] = (10.0, 80.0)
    burst_timeout_batches: Range = (1.0, 2.5)

    pod_cpu_millicores: tuple[Positive, Positive] = (250.0, 1000.0)  # log-uniform; a request uses one CPU at most
    pod_ram_mib: tuple[Positive, Positive] = (128.0, 1024.0)  # log-uniform
    pod_mbps: tuple[Positive, Positive] = (1.0, 20.0)
    node_room: Range = (0.9, 1.6)  # of what a node must hold when its deployments are at their maximum
    access_latency_ms: Range = (1.0, 8.0)

    amplitude: Range = (0.5, 0.9)
    peak_hour: Range = (17.0, 23.0)  # of the city; its stations differ from it by `phase_spread_hours` (std)
    phase_spread_hours: NonNegative = 1.5
    noise: Range = (0.1, 0.2)
    profile_scale: Range = (0.7, 1.3)

    # Prices, before the weights are scaled to sum to 1. The price of a replica decides the best utilisation.
    target_services: Range = (1.5, 2.5)
    weight_replicas: tuple[Positive, Positive] = (0.02, 100.0)  # log-uniform
    # A failed request against a served one: times the weights of its latency and of the replicas deployed to serve the
    # mean load (log-uniform). Below 1 it would pay to serve nobody.
    weight_sla: tuple[Positive, Positive] = (1.2, 4.0)
    weight_imbalance: Range = (0.0, 0.1)
    weight_moves: Range = (0.0, 0.05)


RANGES = Ranges()

DAY_S = 86_400.0
SPEEDUP = 72.0
"""A day in 1,200 s: 120 intervals of 10 s."""
INTERVAL_S = 10.0
HOME_REQUEST_INTERVAL_S = 10.0
CITY_REQUEST_INTERVAL_S = 1.0
"""Where pods may run anywhere, requests come more often and cost less, so that links matter beside service times."""


def draw(distribution: TaskDistribution, seed: int, ranges: Ranges = RANGES) -> TaskSpec:
    """The task that `seed` draws from `distribution`: a pure function of both, and of what it is drawn from.

    Raises `InvalidInput` naming a seed below 0.
    """
    if seed < 0:
        raise InvalidInput(distribution.family, [Violation("seed", f"{seed} is below 0")])
    rng = np.random.Generator(np.random.Philox(seed))
    task = REGISTRY[distribution.family](distribution, rng, ranges)
    if distribution.min_replicas:
        least = tuple(replace(d, min_replicas=distribution.min_replicas) for d in task.deployments)
        task = replace(task, deployments=least)
    name = f"{distribution.family.replace('_', '-')}-{seed}"
    objective = replace(task.objective, slo=distribution.slo)
    return replace(task, name=name, family=distribution.family, objective=objective, prices=distribution.prices)


def mec_city(d: TaskDistribution, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Base stations in a city with clustered users, each station with its own day."""
    recorded = _recorded(d, rng, r, np.array(d.recorded_users)) if d.recorded_users else _Load()
    return _task(d, rng, r, recorded, arrivals="poisson")


def load_profile(d: TaskDistribution, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Recorded load (or, without a recording, load of the same statistics) that comes in bursts, as clients send it."""
    if d.recorded_users:
        users = np.array(d.recorded_users)
    else:  # what varies from step to step is part of this load: a mean over a control interval would lose it
        users, d = profiles.synthetic(rng, d.nodes), replace(d, resample="sample")
    return _task(d, rng, r, _recorded(d, rng, r, users), arrivals="burst")


def kubernetes_scaling(d: TaskDistribution, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Pods of given requirements on nodes with room for `max_pods` of them."""
    max_pods = d.max_pods or int(rng.integers(max(1, d.max_replicas // 2), 2 * d.max_replicas, endpoint=True))
    cpu = d.cpu_requirement or _log_uniform(rng, r.pod_cpu_millicores)
    ram = d.memory_requirement or _log_uniform(rng, r.pod_ram_mib)
    task = mec_city(d, rng, replace(r, pod_cpu_millicores=(cpu, cpu), pod_ram_mib=(ram, ram)))
    # Just enough for max_pods: rounding must not lose the last pod.
    nodes = tuple(
        replace(n, cpu_millicores=cpu * max_pods * 1.001, ram_mib=ram * max_pods * 1.001) for n in task.cluster.nodes
    )
    start = tuple(replace(p, initial_replicas=min(p.initial_replicas, max_pods)) for p in task.deployments)
    return replace(task, cluster=replace(task.cluster, nodes=nodes), deployments=start)


def load_balancing(d: TaskDistribution, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """Traffic of some pattern behind some balancer, to be served within `latency_threshold`."""
    task = mec_city(d, rng, r)
    patterns: tuple[Pattern, ...] = ("uniform", "burst", "gradual", "diurnal")
    pattern = d.traffic_pattern or patterns[int(rng.integers(len(patterns)))]
    balancers: tuple[Balancer, ...] = ("cluster", "least_connections")
    routing = balancers[int(rng.integers(len(balancers)))]
    threshold = d.latency_threshold or task.objective.target_latency_ms
    objective = replace(
        task.objective, target_latency_ms=threshold, imbalance=task.objective.imbalance + float(rng.uniform(0.0, 0.3))
    )
    workload = task.workload if d.recorded_users else replace(task.workload, pattern=pattern)
    return replace(task, workload=workload, routing=routing, objective=_normalised(objective))


def resource_optimization(d: TaskDistribution, rng: np.random.Generator, r: Ranges) -> TaskSpec:
    """One resource is scarce or dear: CPU (pods cost much), memory (nodes hold few pods), or time (latency)."""
    task = mec_city(d, rng, r)
    targets = ("cpu", "memory", "latency")
    target = d.optimization_target or targets[int(rng.integers(len(targets)))]
    factor = float(rng.uniform(2.0, 4.0))
    objective, nodes = task.objective, task.cluster.nodes
    if target == "cpu":
        objective = replace(objective, replicas=objective.replicas * factor)
    elif target == "latency":
        objective = replace(objective, latency=objective.latency * factor)
    else:
        share = float(rng.uniform(0.4, 0.7))
        nodes = tuple(replace(n, ram_mib=n.ram_mib * share) for n in nodes)
    constraint = _log_uniform(rng, r.weight_sla) if d.constraint_weight is None else d.constraint_weight
    objective = replace(_normalised(replace(objective, sla=0.0)), sla=constraint)
    return replace(task, cluster=replace(task.cluster, nodes=nodes), objective=_normalised(objective))


Family = Callable[[TaskDistribution, np.random.Generator, Ranges], TaskSpec]
REGISTRY: dict[str, Family] = {
    "kubernetes_scaling": kubernetes_scaling,
    "load_balancing": load_balancing,
    "resource_optimization": resource_optimization,
    "mec_city": mec_city,
    "load_profile": load_profile,
}


@dataclass(frozen=True)
class _Load:
    """Recorded load: the workload's fields, the stations that each station's users ask, what a user waits between
    requests; all of it empty where load is generated.
    """

    workload: Mapping[str, Any] = field(default_factory=dict)
    asked: Order = ()
    request_interval_s: float | None = None


def _task(d: TaskDistribution, rng: np.random.Generator, r: Ranges, load: _Load, arrivals: Arrivals) -> TaskSpec:
    """A task on a new city."""
    points, spacing_km = city.stations(rng, d.nodes, r.geometry)
    rtt_ms = city.round_trips(rng, points, r.geometry)
    base_users = city.users(rng, points, spacing_km, r.geometry)
    anywhere = d.env_id.removesuffix(CONTINUOUS_SUFFIX) in ("lwmecps-v2", "lwmecps-v4")
    recorded = load.workload
    if recorded:
        mean_users = np.array(recorded["recorded_users"]).mean(0)
        peak_users = np.quantile(recorded["recorded_users"], 0.95, axis=0)
    else:
        recorded = _diurnal(rng, r, base_users)
        mean_users, peak_users = base_users, base_users * (1 + recorded["amplitude"])
    homes = np.arange(d.deployments) % d.nodes
    # Deployments that run anywhere are different services: one can't answer for another.
    failover: Order = () if anywhere else _rows(np.argsort(rtt_ms[:, homes], axis=1, kind="stable"))
    share = rng.dirichlet(np.full(d.deployments, 2.0), d.nodes) if anywhere else _home_share(homes, rtt_ms)
    if load.asked and not anywhere:
        failover = at_homes(load.asked, homes.tolist(), rtt_ms)
        share = np.array(first_asked(failover, homes.tolist()))
    interval_s = CITY_REQUEST_INTERVAL_S if anywhere and arrivals == "poisson" else HOME_REQUEST_INTERVAL_S
    workload = WorkloadSpec(
        request_interval_s=load.request_interval_s or interval_s,
        arrivals=arrivals,
        speedup=SPEEDUP,
        share=_rows(np.floor(share * 1e6) / 1e6),
        failover=failover,
        **recorded,
    )
    deployments, target_ms = _deployments(d, rng, r, share.T @ mean_users, share.T @ peak_users, workload, rtt_ms)
    names = [f"bs-{i + 1}" for i in range(d.nodes)]
    allowed = [() if anywhere else (names[h],) for h in homes]
    deployments = [replace(p, allowed_nodes=a) for p, a in zip(deployments, allowed, strict=True)]
    return TaskSpec(
        name="task",
        env_id=d.env_id,
        horizon=d.horizon,
        workload=workload,
        objective=_objective(rng, r, deployments, target_ms),
        cluster=ClusterSpec(nodes=_nodes(rng, r, names, deployments), rtt_ms=_rows(rtt_ms)),
        deployments=tuple(deployments),
    )


def _diurnal(rng: np.random.Generator, r: Ranges, base_users: Floats) -> dict[str, Any]:
    """A day per station: the city's peak hour, moved a little at every station."""
    # The pattern is highest a quarter of a period after its phase.
    hours = -6.0 + rng.uniform(*r.peak_hour) + rng.normal(0.0, r.phase_spread_hours, len(base_users))
    return {
        "pattern": "diurnal",
        "base_users": tuple(base_users.tolist()),
        "amplitude": float(rng.uniform(*r.amplitude)),
        "period_s": DAY_S,
        "phase": tuple(((hours / 24.0) % 1.0).tolist()),
        "noise": float(rng.uniform(*r.noise)),
    }


def _recorded(d: TaskDistribution, rng: np.random.Generator, r: Ranges, users: Floats) -> _Load:
    """Recorded users `[step, node]` from another moment on, with the stations exchanged and scaled."""
    shift, station = int(rng.integers(len(users))), rng.permutation(users.shape[1])
    moved = np.roll(users, shift, axis=0)[:, station]
    scaled = np.round(moved * rng.uniform(*r.profile_scale, users.shape[1]), 2)
    # Steps that a control interval can't tell apart are put together here, once.
    stride = SPEEDUP * INTERVAL_S / d.recorded_step_s
    every = int(stride) if stride >= 1 and stride == int(stride) and len(users) % int(stride) == 0 else 1
    now_at = np.argsort(station)  # where the column of each recorded station is now
    order = [d.recorded_failover[m] for m in station] if d.recorded_failover else []
    workload = {
        "pattern": "recorded",
        "recorded_users": _rows(resampled(scaled, d.recorded_step_s, d.recorded_step_s * every, d.resample)),
        "recorded_step_s": d.recorded_step_s * every,
        "resample": d.resample,
        "noise": 0.0,
        "period_s": DAY_S,
    }
    return _Load(workload, tuple(tuple(int(now_at[i]) for i in row) for row in order), d.recorded_request_interval_s)


def _deployments(
    d: TaskDistribution,
    rng: np.random.Generator,
    r: Ranges,
    mean_users: Floats,
    peak_users: Floats,
    workload: WorkloadSpec,
    rtt_ms: Floats,
) -> tuple[list[DeploymentSpec], float]:
    """Deployments and their target latency (ms), from the demand that `Ranges.peak_pods` draws."""
    peak = np.maximum(peak_users, 1.0)
    spread = np.exp(rng.normal(0.0, r.service_spread, len(peak)))
    pods = peak * spread * _log_uniform(rng, r.peak_pods) / np.mean(peak * spread)
    pods = np.minimum(pods, np.maximum(r.busiest_share * d.max_replicas, 0.5))
    if workload.arrivals == "burst":
        # Requests that a pod serves in a row at the peak.
        batch = np.maximum(peak * (INTERVAL_S / workload.request_interval_s) / pods, 1.0)
        service_ms = _log_uniform(rng, r.burst_service_ms) * spread
        timeout_ms = service_ms * batch * rng.uniform(*r.burst_timeout_batches, len(peak))
        target_ms = service_ms * (batch + 1) / 2
    else:
        service_ms = np.clip(1e3 * workload.request_interval_s * pods / peak, *r.service_ms)
        timeout_ms = service_ms * rng.uniform(*r.timeout_services, len(peak))
        target_ms = service_ms * rng.uniform(*r.target_services)
    # What an operator deploys before anything scales: enough for the mean load at 60 % utilisation.
    start = np.clip(np.ceil(pods * mean_users / peak / 0.6), 1, d.max_replicas).astype(int)
    made = []
    for i in range(len(peak)):
        cpu = round(_log_uniform(rng, r.pod_cpu_millicores), 1)
        made.append(
            DeploymentSpec(
                name=f"app-{i + 1}",
                cpu_millicores=cpu,
                ram_mib=round(_log_uniform(rng, r.pod_ram_mib), 1),
                tx_mbps=round(rng.uniform(*r.pod_mbps), 2),
                rx_mbps=round(rng.uniform(*r.pod_mbps), 2),
                # A pod with less than one core needs longer than the CPU time of a request.
                cpu_time_ms=float(service_ms[i] * min(1.0, cpu / 1e3)),
                cpu_time_cv=float(rng.uniform(*r.cpu_time_cv)),
                startup_s=float(rng.uniform(*r.startup_s)),
                timeout_ms=float(timeout_ms[i] + rtt_ms.max()),
                max_replicas=d.max_replicas,
                initial_replicas=int(start[i]),
            )
        )
    return made, float(np.average(target_ms, weights=peak) + rtt_ms.mean())


def _nodes(
    rng: np.random.Generator, r: Ranges, names: list[str], deployments: list[DeploymentSpec]
) -> tuple[NodeSpec, ...]:
    """Nodes with room for about what they must hold: their own deployments, or an equal part of all of them."""
    made = []
    for name in names:
        carried = [
            (p, 1.0 if p.allowed_nodes else 1.0 / len(names))
            for p in deployments
            if not p.allowed_nodes or name in p.allowed_nodes
        ]
        cpu = sum(part * p.max_replicas * p.cpu_millicores for p, part in carried)
        ram = sum(part * p.max_replicas * p.ram_mib for p, part in carried)
        largest_cpu = max((p.cpu_millicores for p, _ in carried), default=1000.0)
        largest_ram = max((p.ram_mib for p, _ in carried), default=1024.0)
        room = rng.uniform(*r.node_room, 2)
        made.append(
            NodeSpec(
                name=name,
                access_latency_ms=float(rng.uniform(*r.access_latency_ms)),
                cpu_millicores=float(max(cpu * room[0], largest_cpu)),
                ram_mib=float(max(ram * room[1], largest_ram)),
            )
        )
    return tuple(made)


def _objective(
    rng: np.random.Generator, r: Ranges, deployments: list[DeploymentSpec], target_latency_ms: float
) -> ObjectiveSpec:
    deployed = sum(p.initial_replicas for p in deployments) / sum(p.max_replicas for p in deployments)
    replicas = _log_uniform(rng, r.weight_replicas)
    return _normalised(
        ObjectiveSpec(
            latency=1.0,
            replicas=replicas,
            sla=_log_uniform(rng, r.weight_sla) * (1.0 + replicas * deployed),
            imbalance=float(rng.uniform(*r.weight_imbalance)),
            moves=float(rng.uniform(*r.weight_moves)),
            target_latency_ms=target_latency_ms,
        )
    )


def _normalised(objective: ObjectiveSpec) -> ObjectiveSpec:
    """The same preferences with weights that sum to 1, so that tasks' rewards are comparable."""
    names = ("latency", "replicas", "imbalance", "sla", "moves")
    total = sum(getattr(objective, n) for n in names)
    return replace(objective, **{n: getattr(objective, n) / total for n in names})


def _home_share(homes: NDArray[np.int64], rtt_ms: Floats) -> Floats:
    """`[node, deployment]`: users ask the deployments of their own station, or else of the nearest that has any."""
    rtt = rtt_ms[:, homes]
    nearest = (rtt <= rtt.min(axis=1, keepdims=True)).astype(np.float64)
    share: Floats = nearest / nearest.sum(axis=1, keepdims=True)
    return share


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _rows(matrix: NDArray[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
