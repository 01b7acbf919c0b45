"""The simulator's data: what a task fixes (`Params`) and what changes in an episode (`State`), as few flat arrays.

Records are indexed `[K, …]` by task and `[B, …]` by environment. Units are those of `lwmecps_core.specs`.
"""

from collections.abc import Sequence
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.env_ids import V2, V4, version_of
from lwmecps_core.parts import in_calling_order
from lwmecps_core.sim.records import DEPLOYMENT, DEPLOYMENT_STATE, ENV, FLOW, NODE, NODE_STATE, POOL, TASK, WINDOW
from lwmecps_core.specs import DeploymentSpec, TaskSpec
from lwmecps_core.tasks.calls import times_called
from lwmecps_core.tasks.homes import home_node as home_node
from lwmecps_core.tasks.money import has_expense, most_priced, most_watts, price_shares, weights
from lwmecps_core.tasks.workload import clock_table, users_table

Records = NDArray[Any]

ROUTINGS = ("cluster", "least_connections", "local_first")
CLUSTER, LEAST_CONNECTIONS, LOCAL_FIRST = range(3)
SCOPES = ("", "overall", "each")
"""Whom the bounds of an objective are for; none where there are no bounds."""
OVERALL, EACH = 1, 2
NO_BOUND = inf
VECTOR = 8
"""How many numbers a processor takes at once, at most."""


class Params(NamedTuple):
    """What the tasks fix.

    tasks `[K]`; nodes `[K, N]`; deployments `[K, D]`; limit `[K, D, N]` i32 (pods that fit an empty node, at most
    max_replicas, 0 where not allowed); kept `[K, D, N]` i32 (see `kept_replicas`); rtt_ms `[K, N, N]` f64; nearest
    `[K, N, N]` i32 (nodes by round trip); share `[K, N, D]` f64; failover `[K, N, D]` i32 (-1: end); users
    `[sum L, N]` f32; clock `[sum L, 2]` f32; initial `[K, D]` i32 (replicas at home when an episode starts); pods
    `[K, P]` i32 (deployment of each initial pod); order `[K, D]` i32 (callers before whom they call); calls
    `[K, D, D]` f64 (how often a request to the one calls the other; `[K, 0, 0]` where no task has calls).
    """

    tasks: Records
    nodes: Records
    deployments: Records
    limit: NDArray[np.int32]
    kept: NDArray[np.int32]
    rtt_ms: NDArray[np.float64]
    nearest: NDArray[np.int32]
    share: NDArray[np.float64]
    failover: NDArray[np.int32]
    users: NDArray[np.float32]
    clock: NDArray[np.float32]
    initial: NDArray[np.int32]
    pods: NDArray[np.int32]
    order: NDArray[np.int32]
    calls: NDArray[np.float64]


class State(NamedTuple):
    """What changes: envs `[B]`; pools `[B, D, N]`; deployments `[B, D]`; nodes `[B, N]`; ring `[B, D, N, S]` i32;
    windows `[B, G, 1 + W]`.

    `ring[b, d, n, t % S]` pods become ready at interval t; S is a power of two. `windows[b, g, 0]` are the requests of
    the current window of a bound, `[b, g, 1 + t % window]` those of interval t; G is 0 without bounds, 1 for all
    requests together, else D, and W the longest window that is shorter than an episode.
    """

    envs: Records
    pools: Records
    deployments: Records
    nodes: Records
    ring: NDArray[np.int32]
    windows: Records

    def copy(self) -> "State":
        """A state that shares no memory with this one."""
        return State(*(a.copy() for a in self))

    def load(self, other: "State") -> None:
        """Take over the values of `other` (same shapes)."""
        for mine, theirs in zip(self, other, strict=True):
            mine[...] = theirs


class Work(NamedTuple):
    """Scratch memory per worker: arrivals `[W, D, N]`, flows `[W, D, N]`, active `[W, D]`, ready `[W, D]`, sent
    `[W, D, N, N]`, tails `[W, ≥ N²]`, users `[W, D, N]`, answers `[W, 3, D, N]`.

    `flows[w, d, :active[w, d]]` are the deployment's pools with ready replicas, `ready[w, d]` of them together;
    `sent[w, d, i, m]` (local_first only) are the requests of station m to pool i; `tails` are one deployment's at a
    time (`serving.find_tails`). With calls only: `users` are those of the arrivals that are users', and `answers` how
    node m's calls of deployment d fare: mean latency (ms), failed share, 95th percentile (ms).
    """

    arrivals: NDArray[np.float64]
    flows: Records
    active: NDArray[np.int64]
    ready: NDArray[np.float64]
    sent: NDArray[np.float64]
    tails: NDArray[np.float64]
    users: NDArray[np.float64]
    answers: NDArray[np.float64]


def pod_limits(task: TaskSpec) -> NDArray[np.int32]:
    """How many pods of each deployment fit each node when it is empty, at most max_replicas: i32 `[D, N]`."""
    nodes = task.cluster.nodes
    out = np.zeros((len(task.deployments), len(nodes)), np.int32)
    for d, dep in enumerate(task.deployments):
        for n, node in enumerate(nodes):
            if not dep.allowed_nodes or node.name in dep.allowed_nodes:
                fit = min(node.cpu_millicores / dep.cpu_millicores, node.ram_mib / dep.ram_mib)
                out[d, n] = int(min(dep.max_replicas, fit + 1e-9))
    return out


def fewest_replicas(task: TaskSpec) -> NDArray[np.int32]:
    """Fewest replicas of each deployment over all nodes: its own or the cluster's `min_replicas`, i32 `[D]`."""
    common = task.kubernetes.min_replicas if task.kubernetes else 0
    return np.array([min(max(d.min_replicas, common), d.max_replicas) for d in task.deployments], np.int32)


def kept_replicas(task: TaskSpec) -> NDArray[np.int32]:
    """Where the fewest replicas stand, which an action can't ask to go: i32 `[D, N]`.

    At home, and what has no room there, in v4, on other nodes in their order. In v2 none: its pods only move.
    """
    fewest, limit = fewest_replicas(task), pod_limits(task)
    out, version = np.zeros_like(limit), version_of(task.env_id)
    for d in range(len(out) if version != V2 else 0):
        home = home_node(task, d)
        others = [n for n in range(len(task.cluster.nodes)) if n != home] if version == V4 else []
        for n in (home, *others):
            out[d, n] = min(fewest[d] - out[d].sum(), limit[d, n])
    return out


def initial_replicas(task: TaskSpec) -> NDArray[np.int32]:
    """Replicas of each deployment at its home node when an episode starts: i32 `[D]`."""
    limit, fewest = pod_limits(task), fewest_replicas(task)
    return np.array(
        [
            min(max(dep.initial_replicas, fewest[d]), limit[d, home_node(task, d)])
            for d, dep in enumerate(task.deployments)
        ],
        np.int32,
    )


def make_params(tasks: Sequence[TaskSpec]) -> Params:
    """Pack tasks of equal numbers of nodes and deployments."""
    tables = [users_table(t) for t in tasks]
    ends = np.cumsum([len(t) for t in tables])
    initial = np.stack([initial_replicas(t) for t in tasks])
    pods = np.zeros((len(tasks), max(1, int(initial.sum(axis=1).max()))), np.int32)
    for k, counts in enumerate(initial):
        pods[k, : counts.sum()] = np.repeat(np.arange(len(counts)), counts)
    rtt = np.array([t.cluster.rtt_ms for t in tasks], np.float64)
    return Params(
        tasks=np.array(
            [_task(t, int(ends[k]), len(tables[k]), int(initial[k].sum())) for k, t in enumerate(tasks)], TASK
        ),
        nodes=np.array([_nodes(t) for t in tasks], NODE),
        deployments=np.array([_deployments(t) for t in tasks], DEPLOYMENT),
        limit=np.stack([pod_limits(t) for t in tasks]),
        kept=np.stack([kept_replicas(t) for t in tasks]),
        rtt_ms=rtt,
        nearest=np.argsort(rtt, axis=2, kind="stable").astype(np.int32),
        share=np.array([t.workload.share for t in tasks], np.float64),
        failover=np.stack([_failover(t) for t in tasks]),
        users=np.concatenate(tables),
        clock=np.concatenate([clock_table(t) for t in tasks]),
        initial=initial,
        pods=pods,
        order=np.array([in_calling_order(t.deployments) for t in tasks], np.int32),
        calls=_calls(tasks),
    )


def make_state(params: Params, size: int) -> State:
    """Room for `size` environments."""
    d, n = params.limit.shape[1:]
    slots = 1
    while slots < params.deployments["startup"].max():
        slots *= 2
    return State(
        np.zeros(size, ENV),
        np.zeros((size, d, n), POOL),
        np.zeros((size, d), DEPLOYMENT_STATE),
        np.zeros((size, n), NODE_STATE),
        np.zeros((size, d, n, slots), np.int32),
        np.zeros((size, (0, 1, d)[params.tasks["slo"].max()], 1 + params.tasks["window"].max()), WINDOW),
    )


def make_work(params: Params, workers: int) -> Work:
    """Scratch memory for `workers` workers."""
    d, n = params.limit.shape[1:]
    stations = n if (params.tasks["routing"] == LOCAL_FIRST).any() else 0
    called = len(params.calls[0])
    return Work(
        np.zeros((workers, d, n)),
        np.zeros((workers, d, n), FLOW),
        np.zeros((workers, d), np.int64),
        np.zeros((workers, d)),
        np.zeros((workers, d, n if stations else 0, stations)),
        np.zeros((workers, n * n + VECTOR)),
        np.zeros((workers, called, n)),
        np.zeros((workers, 3, called, n)),
    )


def _task(t: TaskSpec, end: int, length: int, pods: int) -> tuple[Any, ...]:
    w, o, slo = t.workload, weights(t), t.objective.slo
    return (
        end - length,
        length,
        t.horizon,
        pods,
        int(w.random_start),
        int(w.arrivals == "burst"),
        ROUTINGS.index(t.routing),
        int(t.latency_model == "testapp"),
        SCOPES.index(slo.scope if slo else ""),
        slo.window if slo and slo.window < t.horizon else 0,
        int(has_expense(t)),
        int(any(d.calls for d in t.deployments)),
        t.interval_s,
        w.request_interval_s,
        w.noise,
        sum(d.max_replicas for d in t.deployments),
        float(np.mean([d.cpu_millicores for d in t.deployments])),
        t.objective.target_latency_ms,
        o.latency,
        o.replicas,
        o.imbalance,
        o.sla,
        o.moves,
        slo.failed_share or NO_BOUND if slo else NO_BOUND,
        slo.latency_p95_ms or NO_BOUND if slo else NO_BOUND,
        o.energy,
        most_priced(t),
        most_watts(t) or 1.0,
    )


def _nodes(t: TaskSpec) -> list[tuple[float, ...]]:
    return [
        (n.cpu_millicores, n.ram_mib, n.tx_mbps, n.rx_mbps, n.access_latency_ms, price, n.idle_watts, n.busy_watts)
        for n, price in zip(t.cluster.nodes, price_shares(t), strict=True)
    ]


def busy_millicores(d: DeploymentSpec) -> float:
    """CPU that a pod uses when it has more to do than it can: no more than its limit, a CPU for every request that it
    serves at once, and what its process can use.
    """
    return min(d.cpu_millicores, 1000.0 * min(d.concurrency, d.usable_cores or inf))


def busy_share(d: DeploymentSpec) -> float:
    """Utilisation of a pod that has more to do than it can: what it uses then, of the CPU that it requests."""
    return busy_millicores(d) / d.cpu_millicores


def service_ms(d: DeploymentSpec) -> float:
    """How long a lone request is served: it uses one CPU, or the part of one that a pod has."""
    return d.cpu_time_ms * 1000.0 / min(1000.0, busy_millicores(d))


def busy_ms(d: DeploymentSpec) -> float:
    """How long a request takes up what a pod requests: its CPU time at that rate."""
    return d.cpu_time_ms * 1000.0 / d.cpu_millicores


def cores(d: DeploymentSpec) -> float:
    """How many requests a pod serves at once as quickly as a lone one, at least 1."""
    return max(1000.0, busy_millicores(d)) / 1000.0


def timeout_ms(t: TaskSpec, d: DeploymentSpec) -> float:
    """How long clients wait: the deployment's timeout, but no longer than an episode, beyond which nothing is known."""
    return min(d.timeout_ms, 1e3 * t.interval_s * t.horizon)


def _deployments(t: TaskSpec) -> list[tuple[float, ...]]:
    return [
        (
            home_node(t, i),
            d.max_replicas,
            ceil(d.startup_s / t.interval_s - 1e-9),
            cores(d),
            d.concurrency,
            d.cpu_millicores,
            d.ram_mib,
            d.tx_mbps,
            d.rx_mbps,
            busy_millicores(d),
            busy_share(d),
            service_ms(d),
            cores(d) / service_ms(d),
            (1.0 + d.cpu_time_cv**2) / 2.0,
            d.cpu_time_cv**2,
            int(d.abandon),
            timeout_ms(t, d),
        )
        for i, d in enumerate(t.deployments)
    ]


def _calls(tasks: Sequence[TaskSpec]) -> NDArray[np.float64]:
    if not any(d.calls for t in tasks for d in t.deployments):
        return np.zeros((len(tasks), 0, 0))
    return np.stack([times_called(t) for t in tasks])


def _failover(t: TaskSpec) -> NDArray[np.int32]:
    out = np.full((len(t.cluster.nodes), len(t.deployments)), -1, np.int32)
    for m, row in enumerate(t.workload.failover):
        order = list(dict.fromkeys(row))
        out[m, : len(order)] = order
    return out
