"""The placement problems that the benchmarks run: one size, one seed, no file."""

from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec

SEED = 20_260
HORIZON = 120


def square_task(size: int, env_id: str = "lwmecps-v4") -> TaskSpec:
    """`size` nodes on a line, 5 ms apart, and `size` deployments that every node's users share evenly."""
    nodes = tuple(
        NodeSpec(name=f"node-{i}", cpu_millicores=8000.0 + 500 * (i % 4), ram_mib=16_384.0) for i in range(size)
    )
    rtt_ms = tuple(tuple(5.0 * abs(i - j) for j in range(size)) for i in range(size))
    deployments = tuple(
        DeploymentSpec(
            name=f"app-{i}",
            cpu_millicores=500.0,
            ram_mib=256.0,
            cpu_time_ms=20.0 + 10.0 * (i % 4),
            max_replicas=2 * size,
        )
        for i in range(size)
    )
    workload = WorkloadSpec(
        base_users=tuple(60.0 + 20.0 * (i % 3) for i in range(size)),
        share=tuple(tuple(1.0 / size for _ in range(size)) for _ in range(size)),
    )
    return TaskSpec(
        name=f"bench-{size}x{size}",
        env_id=env_id,  # type: ignore[arg-type]
        cluster=ClusterSpec(nodes=nodes, rtt_ms=rtt_ms),
        deployments=deployments,
        workload=workload,
        horizon=HORIZON,
    )
