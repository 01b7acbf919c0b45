"""What the model does at its edges."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec


def small_task(users=10.0, deployment=None, workload=None, **changes):
    """Two nodes 20 ms apart, one deployment, steady users at node 0."""
    task = TaskSpec(
        name="small",
        env_id="lwmecps-v4",
        cluster=ClusterSpec(
            nodes=(
                NodeSpec(name="a", cpu_millicores=2000.0, ram_mib=4096.0, access_latency_ms=3.0),
                NodeSpec(name="b", cpu_millicores=2000.0, ram_mib=4096.0, access_latency_ms=4.0),
            ),
            rtt_ms=((0.0, 20.0), (20.0, 0.0)),
        ),
        deployments=(
            DeploymentSpec(**({"name": "web", "cpu_millicores": 1000.0, "cpu_time_ms": 50.0} | (deployment or {}))),
        ),
        workload=WorkloadSpec(
            **(
                {"pattern": "uniform", "base_users": (users, 0.0), "noise": 0.0, "share": ((1.0,), (1.0,))}
                | (workload or {})
            )
        ),
    )
    return replace(task, **changes)


def run(task, *placements):
    """States after each placement."""
    cluster = SimulatedCluster(task)
    cluster.reset(1)
    out = []
    for placement in placements:
        cluster.apply(np.array(placement))
        out.append(cluster.advance())
    return out


def test_without_users_nothing_waits_and_nothing_fails():
    (state,) = run(small_task(users=0.0), [[2, 0]])
    assert (state.latency_ms_mean, state.failed_share_total, state.users) == (0.0, 0.0, 0.0)
    assert not state.utilisation.any()


def test_a_light_load_takes_access_and_service_time():
    (state,) = run(small_task(users=0.01, workload={"arrivals": "burst"}), [[1, 0]])
    assert state.latency_ms_mean == pytest.approx(3.0 + 50.0, abs=0.1)


def test_users_of_another_node_pay_the_round_trip():
    task = small_task(users=0.01, deployment={"startup_s": 0.0}, workload={"arrivals": "burst"})
    near, far = run(task, [[1, 0]], [[0, 1]])
    assert far.latency_ms_mean - near.latency_ms_mean == pytest.approx(20.0, abs=0.1)


def test_without_replicas_every_request_fails_at_its_timeout():
    (state,) = run(small_task(deployment={"timeout_ms": 700.0}), [[0, 0]])
    assert state.failed_share_total == 1.0
    assert state.latency_ms_mean == state.latency_ms_p95 == 700.0


def test_overload_fails_and_leaves_a_bounded_backlog():
    states = run(small_task(users=500.0), *[[[1, 0]]] * 5)
    assert states[-1].failed_share_total > 0.5
    assert states[-1].utilisation[0, 0] == pytest.approx(1.0)
    assert states[-1].latency_ms_mean <= 1000.0


@pytest.mark.parametrize(
    ("pod", "most"),
    [
        ({}, 1.0),
        ({"cpu_millicores": 2000.0}, 0.5),  # one request at a time uses one CPU
        ({"cpu_millicores": 2000.0, "concurrency": 2}, 1.0),
        ({"cpu_millicores": 2000.0, "concurrency": 8, "usable_cores": 1.5}, 0.75),
    ],
)
def test_a_saturated_pod_shows_what_it_can_use_of_its_request(pod, most):
    *_, last = run(small_task(users=900.0, deployment=pod), *[[[1, 0]]] * 3)
    assert last.failed_share_total > 0.5
    assert last.utilisation[0, 0] == pytest.approx(most)
    used = most * last.ready[0, 0] * pod.get("cpu_millicores", 1000.0)
    assert last.cpu_used[0] * small_task().cluster.nodes[0].cpu_millicores == pytest.approx(used)


def test_a_backlog_delays_the_next_interval_and_drains():
    busy = small_task(
        users=1.0,
        deployment={"timeout_ms": 60_000.0, "startup_s": 0.0, "cpu_time_ms": 100.0},
        workload={
            "pattern": "recorded",
            "recorded_users": ((1.0, 0.0), (150.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0)),
            "random_start": False,
            "arrivals": "burst",
            "base_users": (),
        },
    )
    overload, after, later = run(busy, [[1, 0]], [[1, 0]], [[1, 0]])
    assert overload.utilisation[0, 0] == 1.0
    assert after.latency_ms_mean == pytest.approx(3.0 + 100.0 + 50 * 100.0)
    assert later.latency_ms_mean == pytest.approx(3.0 + 100.0)


def test_new_pods_become_ready_after_their_start_up_time():
    states = run(small_task(deployment={"startup_s": 15.0}), [[2, 0]], [[2, 0]], [[2, 0]])
    assert [int(s.ready[0, 0]) for s in states] == [1, 1, 2]
    assert [int(s.starting[0, 0]) for s in states] == [1, 1, 0]
    assert [s.moves for s in states] == [1.0, 0.0, 0.0]


def test_pods_without_start_up_time_serve_at_once():
    (state,) = run(small_task(deployment={"startup_s": 0.0}), [[2, 1]])
    assert state.ready.tolist() == [[2, 1]]


def test_the_newest_starting_pods_are_removed_first():
    states = run(
        small_task(deployment={"startup_s": 25.0, "cpu_millicores": 400.0}), [[2, 0]], [[4, 0]], [[2, 0]], [[2, 0]]
    )
    assert [int(s.starting[0, 0]) for s in states] == [1, 3, 1, 0]
    assert int(states[-1].ready[0, 0]) == 2


def test_pods_that_do_not_fit_stay_pending_until_there_is_room():
    task = small_task(deployment={"startup_s": 0.0})
    other = DeploymentSpec(name="other", cpu_millicores=1000.0, startup_s=0.0, initial_replicas=0)
    task = replace(
        task, deployments=(*task.deployments, other), workload=replace(task.workload, share=((1.0, 0.0), (1.0, 0.0)))
    )
    first, second, third = run(task, [[2, 0], [0, 0]], [[2, 0], [2, 0]], [[1, 0], [2, 0]])
    assert int(first.ready[0, 0]) == 2
    assert (int(second.ready[1, 0]), int(second.pending[1, 0])) == (0, 2)
    assert (int(third.ready[1, 0]), int(third.pending[1, 0])) == (1, 1)


def test_traffic_of_a_deployment_without_replicas_fails_over():
    task = small_task(users=5.0, deployment={"startup_s": 0.0})
    task = replace(
        task,
        deployments=(*task.deployments, DeploymentSpec(name="spare", initial_replicas=1, startup_s=0.0)),
        workload=replace(task.workload, share=((1.0, 0.0), (1.0, 0.0)), failover=((0, 1), (0, 1))),
    )
    (state,) = run(task, [[0, 0], [0, 1]])
    assert state.failed_share_total < 0.01
    assert state.request_rate[0] == 0.0
    assert state.request_rate[1] > 0.0


def test_local_first_keeps_to_its_node_until_it_is_full():
    task = small_task(users=20.0, deployment={"startup_s": 0.0}, routing="local_first")
    (light,) = run(task, [[1, 1]])
    assert light.utilisation[0, 0] > 0.0
    assert light.utilisation[0, 1] == 0.0
    heavy_task = small_task(users=240.0, deployment={"startup_s": 0.0}, routing="local_first")
    _, heavy = run(heavy_task, [[1, 1]], [[1, 1]])
    assert heavy.utilisation[0, 0] == pytest.approx(0.8, abs=0.01)
    assert heavy.utilisation[0, 1] > 0.2


def test_a_shared_queue_waits_less_than_random_balancing():
    task = small_task(users=150.0, deployment={"startup_s": 0.0})
    (random,) = run(task, [[2, 0]])
    (shared,) = run(replace(task, routing="least_connections"), [[2, 0]])
    assert shared.latency_ms_mean < random.latency_ms_mean


def test_a_saturated_network_delays_requests():
    quiet = small_task(users=100.0)
    loud = small_task(users=100.0, deployment={"tx_mbps": 1500.0})
    assert run(loud, [[1, 0]])[0].latency_ms_mean > run(quiet, [[1, 0]])[0].latency_ms_mean + 1.0


@pytest.mark.parametrize(("users", "sleeps"), [(28.0, False), (40.0, True)])
def test_the_test_application_has_its_knee_at_29_requests_per_burst(users, sleeps):
    task = small_task(users=users, workload={"arrivals": "burst"}, latency_model="testapp")
    states = run(task, *[[[1, 0]]] * 40)
    assert (states[-1].latency_ms_mean > 3.0 + 50.0 + 1.0) == sleeps


def test_noise_has_the_stated_size():
    task = small_task(users=100.0, workload={"noise": 0.2})
    users = np.array([s.users for s in run(task, *[[[2, 0]]] * 400)])
    assert users.mean() == pytest.approx(100.0, rel=0.04)
    assert users.std() == pytest.approx(20.0, rel=0.15)
