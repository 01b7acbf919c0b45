"""Small tasks whose best action is known."""

from dataclasses import replace

from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, ObjectiveSpec, TaskSpec, WorkloadSpec


def tiny(
    env_id: str = "lwmecps-v3",
    *,
    users: tuple[float, ...] = (10.0, 20.0),
    max_replicas: int = 4,
    horizon: int = 20,
    initial: tuple[int, ...] = (1, 1),
    cpu_time_ms: float = 500.0,
    startup_s: float = 0.0,
    noise: float = 0.0,
    **objective: float,
) -> TaskSpec:
    """Two stations, one deployment each, constant users that send a request per 10 s; weights are 0 unless given."""
    names = ("left", "right")
    weights = {"latency": 0.0, "replicas": 0.0, "imbalance": 0.0, "sla": 0.0, "moves": 0.0, **objective}
    pinned = "v1" in env_id or "v3" in env_id
    return TaskSpec(
        name="tiny",
        env_id=env_id,
        horizon=horizon,
        cluster=ClusterSpec(
            nodes=tuple(NodeSpec(name=n, cpu_millicores=8000, ram_mib=8000) for n in names), rtt_ms=((0, 10), (10, 0))
        ),
        deployments=tuple(
            DeploymentSpec(
                name=f"app-{n}",
                cpu_millicores=1000,
                ram_mib=100,
                cpu_time_ms=cpu_time_ms,
                startup_s=startup_s,
                timeout_ms=5000,
                max_replicas=max_replicas,
                initial_replicas=i,
                allowed_nodes=(n,) if pinned else (),
            )
            for n, i in zip(names, initial, strict=True)
        ),
        workload=WorkloadSpec(
            pattern="uniform", base_users=users, noise=noise, share=((1, 0), (0, 1)), random_start=False
        ),
        objective=ObjectiveSpec(**weights),
    )


def without_users(task: TaskSpec) -> TaskSpec:
    """The task when nobody is there."""
    return replace(task, workload=replace(task.workload, base_users=(0.0, 0.0)))
