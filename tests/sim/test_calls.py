"""Deployments that call others: where requests come from, how latency adds up, how failures compound."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.sim.demand import demand
from lwmecps_core.specs import CallSpec, ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec

ACCESS_MS, RTT_MS, SERVICE_MS = 3.0, 20.0, 50.0


def chain(users=10.0, times=1.0, back_ms=SERVICE_MS, **changes):
    """Users at node a ask `front`, which calls `back`; two nodes, no noise."""
    nodes = [NodeSpec(name=n, cpu_millicores=8000, ram_mib=8192, access_latency_ms=ACCESS_MS) for n in "ab"]
    pods = {"cpu_millicores": 1000.0, "startup_s": 0.0, "timeout_ms": 20_000.0}
    task = TaskSpec(
        name="chain",
        env_id="lwmecps-v4",
        cluster=ClusterSpec(nodes=nodes, rtt_ms=((0.0, RTT_MS), (RTT_MS, 0.0))),
        deployments=(
            DeploymentSpec(name="back", cpu_time_ms=back_ms, allowed_nodes=("a", "b"), **pods),
            DeploymentSpec(
                name="front",
                cpu_time_ms=SERVICE_MS,
                calls=(CallSpec(deployment="back", times=times),),
                allowed_nodes=("a", "b"),
                **pods,
            ),
        ),
        workload=WorkloadSpec(
            pattern="uniform",
            base_users=(users, 0.0),
            request_interval_s=1.0,
            noise=0.0,
            share=((0.0, 1.0), (0.0, 1.0)),
        ),
    )
    return replace(task, **changes)


def after(task, placement):
    cluster = SimulatedCluster(task)
    cluster.reset(1)
    cluster.apply(np.array(placement))
    return cluster.advance()


def sojourn_ms(rate, service_ms=SERVICE_MS):
    return service_ms / (1.0 - rate * service_ms / 1000.0)


def test_latency_adds_up_along_the_path_as_in_a_tandem_of_queues():
    state = after(chain(), [[1, 0], [1, 0]])
    back, front = state.request_rate
    assert back == pytest.approx(front) and 5.0 < front < 15.0
    each = sojourn_ms(front)
    assert state.latency_ms == pytest.approx([each, ACCESS_MS + 2.0 * each], rel=1e-6)
    assert state.latency_ms_mean == pytest.approx(state.latency_ms[1])  # users' requests alone
    erlang_2 = 4.7439 * each  # two exponential times one after the other (Burke 1956)
    assert state.latency_ms_p95 == pytest.approx(ACCESS_MS + erlang_2, rel=0.05)


def test_calls_come_from_where_the_caller_serves_and_pay_the_round_trip_but_no_access():
    state = after(chain(users=0.01, times=3.0), [[0, 1], [1, 0]])
    assert state.request_rate[0] == pytest.approx(3.0 * state.request_rate[1])
    assert state.latency_ms[0] == pytest.approx(RTT_MS + SERVICE_MS, rel=0.01)
    assert state.latency_ms[1] == pytest.approx(ACCESS_MS + SERVICE_MS + 3.0 * (RTT_MS + SERVICE_MS), rel=0.01)
    there = after(chain(users=0.01, times=3.0), [[0, 1], [0, 1]])
    assert there.latency_ms[1] == pytest.approx(ACCESS_MS + RTT_MS + 4.0 * SERVICE_MS, rel=0.01)


def test_only_what_a_caller_serves_calls_others():
    state = after(chain(users=100.0, back_ms=5.0), [[1, 0], [1, 0]])
    assert state.request_rate == pytest.approx([20.0, state.request_rate[1]], rel=1e-6)
    assert state.request_rate[1] > 80.0


def test_a_request_fails_where_any_of_its_calls_does():
    task = chain(users=0.01, times=0.5)
    dead = after(task, [[0, 0], [1, 0]])
    assert dead.failed_share == pytest.approx([1.0, 1.0 - 0.0**0.5], abs=1e-9)
    slow = replace(task.deployments[0], cpu_time_ms=100.0, timeout_ms=10.0)
    late = after(replace(task, deployments=(slow, task.deployments[1])), [[1, 0], [1, 0]])
    assert late.failed_share == pytest.approx([1.0, 1.0])
    assert late.latency_ms[1] == pytest.approx(ACCESS_MS + SERVICE_MS + 0.5 * 10.0, rel=0.01)


def test_failures_compound_as_often_as_there_are_calls():
    shares = {}
    for times in (1.0, 2.0):
        task = chain(users=8.0, times=times, back_ms=20.0)
        tight = replace(task.deployments[0], timeout_ms=60.0)
        state = after(replace(task, deployments=(tight, task.deployments[1])), [[2, 0], [1, 0]])
        own = after(chain(users=8.0, back_ms=1e-3), [[1, 0], [1, 0]]).failed_share[1]
        shares[times] = state.failed_share
        expected = 1.0 - (1.0 - own) * (1.0 - state.failed_share[0]) ** times
        assert state.failed_share[1] == pytest.approx(expected, rel=0.02)
    assert shares[2.0][1] > shares[1.0][1] > 0.0


def test_the_demand_of_calls_is_seen_before_anything_runs():
    found = demand(chain(users=30.0, times=4.0))
    back = found.services[0]
    assert back.peak == pytest.approx(120.0) and back.needed == 6 and back.stations == ()
    crowded = demand(chain(users=300.0, times=4.0))
    assert crowded.warnings[0].startswith("back: 1,200 req/s by calls at the peak")


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ({"front": ["back"], "back": ["front"]}, "calls go in a circle: "),
        ({"front": ["front"], "back": []}, "calls go in a circle: front -> front"),
        ({"front": ["database"], "back": []}, "deployment 'front': calls names an unknown deployment 'database'"),
        ({"front": ["back", "back"], "back": []}, "deployment 'front': calls names 'back' more than once"),
    ],
)
def test_calls_that_lead_nowhere_or_back_are_refused(calls, reason):
    task = chain()
    with pytest.raises(ValueError, match=reason.replace("->", "-.")):
        replace(
            task,
            deployments=tuple(
                replace(d, calls=tuple(CallSpec(deployment=n) for n in calls[d.name])) for d in task.deployments
            ),
        )
