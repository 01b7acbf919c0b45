"""What is kept against a policy's wish takes the load that it draws."""

import numpy as np
import pytest

from lwmecps_core.cluster.kubernetes_safety import fewest_replicas, with_min_replicas
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec

INTERVALS = 40
WISH = np.array([[6, 0], [0, 0]], np.int32)
"""All at the first station, where users of both are served well."""


def _task() -> TaskSpec:
    """Two stations, each with its own server, which users ask first, and then the other's."""
    nodes = tuple(NodeSpec(name=name, cpu_millicores=8000.0, ram_mib=16_384.0) for name in "ab")
    return TaskSpec(
        name="stations",
        cluster=ClusterSpec(nodes=nodes, rtt_ms=((0.0, 5.0), (5.0, 0.0))),
        deployments=tuple(DeploymentSpec(name=f"app-{name}", max_replicas=8, allowed_nodes=(name,)) for name in "ab"),
        workload=WorkloadSpec(
            pattern="uniform",
            base_users=(60.0, 200.0),  # 6 and 20 requests per second, of which a replica takes 10
            share=((1.0, 0.0), (0.0, 1.0)),
            failover=((0, 1), (1, 0)),
        ),
        horizon=INTERVALS,
    )


def _missed(min_replicas: int, sized: bool) -> float:
    """Share of requests that failed, of the second half, under the wish and a floor."""
    cluster = SimulatedCluster(_task())
    state = cluster.reset(1)
    limit, most = np.diag([8, 8]).astype(np.int32), np.array([8, 8])
    homes, failed = np.array([0, 1], np.int32), []
    for _ in range(INTERVALS):
        floor = np.full(2, min_replicas)
        least = fewest_replicas(WISH, state.ready, state.utilisation, min_replicas) if sized else floor
        cluster.apply(with_min_replicas(state.desired, WISH, limit, most, homes, least))
        state = cluster.advance()
        failed.append(state.failed_share_total)
    return float(np.mean(failed[INTERVALS // 2 :]))


def test_a_station_that_is_kept_open_does_not_miss_the_requests_that_it_draws() -> None:
    assert _missed(0, sized=False) < 0.01, "its neighbour serves them, if it is let"
    assert _missed(1, sized=False) > 0.7, "a single replica draws them all"
    assert _missed(1, sized=True) < 0.02


@pytest.mark.parametrize(
    ("wanted", "busy", "least"),
    [
        ([0, 0], [1, 0.9], 4),  # 1.9 busy replicas are 3.2 at 60 %
        ([0, 0], [0.5, 0.0], 2),
        ([0, 0], [np.nan, np.nan], 2),
        ([2, 0], [1, 1], 2),  # what the policy itself wants is its own affair
    ],
)
def test_what_is_kept_is_what_the_load_needs(wanted: list[int], busy: list[float], least: int) -> None:
    args = np.array([wanted], np.int32), np.array([[1, 1]], np.int32), np.array([busy], np.float64)
    assert fewest_replicas(*args, 2).tolist() == [least]
