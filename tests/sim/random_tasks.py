"""Random tasks that reach every branch of the model."""

from dataclasses import replace
from typing import Any

import numpy as np

from lwmecps_core.specs import (
    CallSpec,
    ClusterSpec,
    DeploymentSpec,
    MobilitySpec,
    NodeSpec,
    ObjectiveSpec,
    PricesSpec,
    TaskSpec,
    WorkloadSpec,
)

PATTERNS = ("uniform", "diurnal", "burst", "gradual", "recorded")


def random_task(
    seed: int, env_id: str = "lwmecps-v4", nodes: int = 0, deployments: int = 0, **changes: Any
) -> TaskSpec:
    """A task drawn from `seed`; `changes` replace fields of the result."""
    rng = np.random.default_rng(seed)
    n, d = nodes or int(rng.integers(1, 6)), deployments or int(rng.integers(1, 5))
    rtt = rng.uniform(1, 60, (n, n))
    rtt = np.round((rtt + rtt.T) / 2, 3) * (1 - np.eye(n))
    names = [f"node-{i}" for i in range(n)]
    share = rng.dirichlet(np.ones(d), n) * rng.choice([1.0, 0.7])
    pattern = PATTERNS[int(rng.integers(5))]
    workload: dict[str, Any] = {
        "pattern": pattern,
        "base_users": tuple(rng.uniform(0, 60, n).tolist()),
        "amplitude": float(rng.uniform(0, 1)),
        "period_s": float(rng.uniform(100, 2000)),
        "phase": tuple(rng.uniform(0, 1, n).tolist()),
        "request_interval_s": float(rng.uniform(2, 15)),
        "arrivals": str(rng.choice(["poisson", "burst"])),
        "noise": float(rng.choice([0.0, 0.1, 1.0])),
        "share": tuple(map(tuple, share.tolist())),
        "failover": tuple(tuple(rng.permutation(d).tolist()) for _ in range(n)) if rng.random() < 0.7 else (),
        "random_start": bool(rng.random() < 0.7),
    }
    if pattern == "recorded":
        workload["recorded_users"] = tuple(map(tuple, rng.integers(0, 50, (7, n)).astype(float).tolist()))
    task = TaskSpec(
        name=f"random-{seed}",
        env_id=env_id,  # type: ignore[arg-type]
        cluster=ClusterSpec(
            nodes=tuple(
                NodeSpec(
                    name=name,
                    cpu_millicores=float(rng.uniform(500, 4000)),
                    ram_mib=float(rng.uniform(500, 4000)),
                    tx_mbps=float(rng.uniform(5, 50)),
                    rx_mbps=float(rng.uniform(5, 50)),
                    access_latency_ms=float(rng.uniform(0, 10)),
                )
                for name in names
            ),
            rtt_ms=tuple(map(tuple, rtt.tolist())),
        ),
        deployments=tuple(_deployment(rng, i, names) for i in range(d)),
        workload=WorkloadSpec(**workload),
        objective=ObjectiveSpec(**{key: float(rng.uniform(0, 2)) for key in ("latency", "replicas", "sla", "moves")}),
        horizon=20,
        interval_s=float(rng.choice([5.0, 10.0, 7.5])),
        routing=str(rng.choice(["cluster", "least_connections", "local_first"])),  # type: ignore[arg-type]
        latency_model="testapp" if rng.random() < 0.2 else "queue",
    )
    return replace(task, **changes)


def with_applications(task: TaskSpec, seed: int) -> TaskSpec:
    """The task with all that tasks have of applications: calls, tiers of nodes, power, users who move."""
    rng = np.random.default_rng(seed)
    names = [task.deployments[i].name for i in rng.permutation(len(task.deployments))]

    def calls(name: str) -> tuple[CallSpec, ...]:
        later = names[names.index(name) + 1 :]
        return tuple(CallSpec(deployment=n, times=float(rng.uniform(0.3, 2.5))) for n in later if rng.random() < 0.7)

    def node(spec: NodeSpec) -> NodeSpec:
        price = float(rng.uniform(0.1, 3.0)) if rng.random() < 0.7 else None
        watts = sorted(rng.uniform(0, 200, 2).tolist())
        return replace(spec, replica_hour=price, idle_watts=watts[0], busy_watts=watts[1])

    return replace(
        task,
        cluster=replace(task.cluster, nodes=tuple(map(node, task.cluster.nodes))),
        deployments=tuple(replace(d, calls=calls(d.name)) for d in task.deployments),
        workload=replace(task.workload, mobility=MobilitySpec(leave=0.2, seed=seed) if rng.random() < 0.5 else None),
        objective=replace(task.objective, energy=float(rng.uniform(0, 2))),
        prices=PricesSpec(replica_hour=float(rng.uniform(0.2, 2.0))) if rng.random() < 0.5 else None,
    )


def _deployment(rng: np.random.Generator, i: int, names: list[str]) -> DeploymentSpec:
    maximum = int(rng.integers(1, 7))
    allowed = rng.permutation(names)[: int(rng.integers(1, len(names) + 1))] if rng.random() < 0.3 else ()
    return DeploymentSpec(
        name=f"service-{i}",
        cpu_millicores=float(rng.uniform(100, 1500)),
        ram_mib=float(rng.uniform(50, 600)),
        tx_mbps=float(rng.uniform(0, 10)),
        rx_mbps=float(rng.uniform(0, 10)),
        cpu_time_ms=float(rng.uniform(5, 150)),
        cpu_time_cv=float(rng.uniform(0, 2)),
        concurrency=int(rng.integers(1, 5)),
        usable_cores=float(rng.choice([0.0, 0.5, 1.0, 1.5])),
        startup_s=float(rng.choice([0.0, 5.0, 20.0, 33.0])),
        timeout_ms=float(rng.uniform(100, 3000)),
        abandon=bool(rng.random() < 0.3),
        max_replicas=maximum,
        initial_replicas=int(rng.integers(0, maximum + 1)),
        allowed_nodes=tuple(str(name) for name in allowed),
    )


def random_placements(task: TaskSpec, seed: int, length: int) -> np.ndarray:
    """Desired replicas `[T, D, N]`, sometimes kept, sometimes beyond every limit."""
    rng = np.random.default_rng(seed)
    shape = (len(task.deployments), len(task.cluster.nodes))
    out = [rng.integers(0, 3, shape)]
    for _ in range(length - 1):
        kept, fresh = out[-1], rng.integers(0, 5, shape) * (rng.random(shape) < 0.6)
        out.append(kept if rng.random() < 0.3 else fresh)
    return np.array(out, np.int32)
