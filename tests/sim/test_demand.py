"""What a load needs, seen before anything is run, and what is never reported."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.sim.demand import demand, scaled
from tests.sim.random_tasks import random_placements, random_task
from tests.sim.test_limits import run, small_task


def flood(users=25_000.0, **changes):
    deployment = {"cpu_time_ms": 20.0, "max_replicas": 8, "allowed_nodes": ("a",)}
    task = small_task(users=users, deployment=deployment, workload={"request_interval_s": 1.0}, env_id="lwmecps-v3")
    node = replace(task.cluster.nodes[0], cpu_millicores=16_000.0, ram_mib=32_000.0)
    return replace(task, cluster=replace(task.cluster, nodes=(node, task.cluster.nodes[1])), **changes)


def test_a_load_that_no_number_of_replicas_serves_is_named_with_its_numbers():
    found = demand(flood())
    assert [(s.name, s.mean, s.peak) for s in found.stations] == [("a", 25_000, 25_000), ("b", 0, 0)]
    (web,) = found.services
    assert (web.needed, web.fit, web.capacity) == (500, 8, 400)
    (warning,) = found.warnings
    for said in ("25,000 req/s at a", "against 400 that 8 replicas serve", "500 pods needed"):
        assert said in warning


def test_the_most_load_and_the_highest_cost_are_said_like_all_others():
    task = flood(1e15)
    slow = replace(task, deployments=(replace(task.deployments[0], cpu_time_ms=1e15),))
    for one in (task, slow):
        assert "pods needed" in demand(one).warnings[0]


def test_a_load_that_is_served_warns_of_nothing():
    assert demand(flood(users=400.0)).warnings == ()
    assert demand(flood(users=401.0)).warnings != ()


def test_a_scaled_load_asks_for_the_share_it_was_scaled_to():
    task, factor = scaled(flood(), 0.8)
    assert factor == pytest.approx(0.8 * 400 / 25_000)
    assert demand(task).use == pytest.approx(0.8) and demand(task).warnings == ()
    recorded = {"pattern": "recorded", "base_users": (), "recorded_users": ((3.0, 1.0), (9.0, 2.0))}
    task, factor = scaled(replace(flood(), workload=replace(flood().workload, **recorded)), 0.5)
    assert demand(task).use == pytest.approx(0.5)
    assert task.workload.recorded_users[1] == pytest.approx((9.0 * factor, 2.0 * factor))


@pytest.mark.parametrize("users", [0.0, 5.0])
def test_nothing_to_scale_and_nothing_that_serves_are_refused(users):
    task = flood(users=users)
    if users:
        node = replace(task.cluster.nodes[0], cpu_millicores=100.0)
        task = replace(task, cluster=replace(task.cluster, nodes=(node, task.cluster.nodes[1])))
    with pytest.raises(InvalidInput, match=r"no load|no room"):
        scaled(task, 0.5)


def test_requests_that_come_all_at_once_need_pods_that_get_through_them_in_time():
    # 40 requests at once, 50 ms each, 400 ms of patience: a pod gets through 8.
    task = small_task(users=40.0, deployment={"timeout_ms": 400.0, "max_replicas": 2}, workload={"arrivals": "burst"})
    (web,) = demand(task).services
    assert (web.needed, web.fit) == (5, 4)
    assert demand(replace(task, latency_model="testapp")).services[0].needed == 0


def test_deployments_that_fit_alone_but_not_together_are_named_with_their_node():
    task = flood(users=300.0)
    first = replace(task.deployments[0], name="x")
    task = replace(
        task,
        deployments=(first, replace(first, name="y")),
        workload=replace(task.workload, share=((0.5, 0.5), (0.5, 0.5))),
        cluster=replace(
            task.cluster, nodes=(replace(task.cluster.nodes[0], cpu_millicores=5000.0), task.cluster.nodes[1])
        ),
    )
    (warning,) = demand(task).warnings
    assert "at a take 6,000 millicores of 5,000" in warning


def test_an_access_latency_beyond_the_timeout_is_named():
    task = small_task(deployment={"timeout_ms": 40.0, "cpu_time_ms": 10.0})
    assert demand(task).warnings == ()
    node = replace(task.cluster.nodes[0], access_latency_ms=300.0)
    task = replace(task, cluster=replace(task.cluster, nodes=(node, task.cluster.nodes[1])))
    (warning,) = demand(task).warnings
    assert "timeout_ms 40" in warning and "access latency 300" in warning


def test_a_timeout_longer_than_an_episode_is_named_and_never_a_latency():
    task = flood(deployments=(replace(flood().deployments[0], timeout_ms=3.6e6),), horizon=12)
    assert any("3,600,000" in w and "120,000 ms" in w for w in demand(task).warnings)
    states = run(task, *[[[1, 0]]] * 12)
    assert max(state.latency_ms_mean for state in states) == pytest.approx(120_000)
    assert max(state.latency_ms_p95 for state in states) <= 120_000


@pytest.mark.parametrize("seed", range(40))
def test_no_latency_is_beyond_the_longest_timeout(seed):
    task = random_task(seed)
    most = max(d.timeout_ms for d in task.deployments) * (1 + 1e-6)
    for state in run(task, *random_placements(task, seed, 12)):
        assert state.latency_ms_mean <= most and state.latency_ms_p95 <= most
        assert (np.asarray(state.latency_ms) <= most).all()
