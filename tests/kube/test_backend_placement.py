"""Placements on a real control plane of four nodes: placed, scaled, moved, rolled back, and what is left alone."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.envs.placement import make_env
from lwmecps_core.errors import ClusterUnavailable, Conflict, InvalidInput, SourceUnavailable
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane
from tests.kube.cluster import Bench, namespace, task_of

pytestmark = pytest.mark.kube

NODES = [f"node-{i}" for i in range(4)]
WEB = DeploymentSpec(name="web", max_replicas=8, startup_s=0.0)
API = DeploymentSpec(name="api", max_replicas=8, allowed_nodes=("node-1",), startup_s=0.0)


@pytest.fixture
def bench(control_plane: ControlPlane) -> Iterator[Bench]:
    with namespace(control_plane) as bench:
        bench.deploy(WEB, 2)
        bench.deploy(API, 1)
        yield bench


def test_pods_are_placed_scaled_and_moved_where_the_policy_wants_them(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB, API))) as backend:
        assert backend.reset(1).ready.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
        assert settle(backend, [[0, 2, 0, 1], [0, 3, 0, 0]]).ready.tolist() == [[0, 2, 0, 1], [0, 3, 0, 0]]
        assert bench.pods_at() == [("node-1", "api")] * 3 + [("node-1", "web")] * 2 + [("node-3", "web")]
        moved = settle(backend, [[0, 0, 2, 0], [0, 1, 0, 0]])
        assert moved.ready.tolist() == [[0, 0, 2, 0], [0, 1, 0, 0]]
        assert bench.replicas() == {
            "web": 0,
            "api": 0,
            "web-node-0": 0,
            "web-node-1": 0,
            "web-node-2": 2,
            "web-node-3": 0,
            "api-node-1": 1,
        }


def test_closing_rolls_back_to_the_placement_that_was_found(bench: Bench) -> None:
    task = task_of(NODES, (WEB, API), rollback=True)
    with bench.backend(task) as backend:
        backend.reset(1)
        settle(backend, [[1, 1, 0, 0], [0, 2, 0, 0]])
        backend.reset(2)
    assert bench.replicas() == {"web": 2, "api": 1}


def test_without_rollback_the_last_placement_stays(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB,))) as backend:
        backend.reset(1)
        settle(backend, [[0, 1, 2, 0]])
    found = bench.replicas()
    assert (found["web"], found["web-node-1"], found["web-node-2"]) == (0, 1, 2)


def test_nothing_is_changed_without_manage(bench: Bench) -> None:
    end = time.monotonic() + 30.0
    while sum(bool(node) for node, _ in bench.pods_at()) < 3:
        assert time.monotonic() < end, "the deployed pods found no nodes"
        time.sleep(0.1)
    before = bench.versions()
    with bench.backend(task_of(NODES, (WEB, API), manage=False, rollback=True)) as backend:
        state = backend.reset(1)
        assert state.desired.sum(axis=1).tolist() == [2, 1]
        backend.apply(np.array([[0, 3, 0, 0], [0, 1, 0, 0]], np.int32))
        state = backend.advance()
        said = {(change.name, change.replicas) for change in backend.planned}
        assert said == {("web", 0), ("api", 0), ("web-node-1", 3), ("api-node-1", 1)}
        assert (state.desired.sum(axis=1).tolist(), state.moves) == ([2, 1], 0)
    assert (bench.versions(), len(bench.pods_at())) == (before, 3)


def test_deployments_that_the_task_does_not_name_are_left_alone(bench: Bench) -> None:
    other = DeploymentSpec(name="other")
    bench.deploy(other, 1, {"tier": "edge"})
    before = bench.versions()["other"]
    with bench.backend(task_of(NODES, (WEB,), rollback=True)) as backend:
        backend.reset(1)
        state = settle(backend, [[0, 0, 3, 0]])
        assert state.ready.sum() == 3
        assert (bench.versions()["other"], bench.replicas()["api"]) == (before, 1)


def test_deployments_outside_the_selector_are_refused_before_anything_changes(bench: Bench) -> None:
    before = bench.versions()
    task = task_of(NODES, (WEB, API), label_selector="app=web")
    reason = r"deployments\[1\]\.name: there is no Deployment 'api' matching 'app=web'"
    with bench.backend(task) as backend, pytest.raises(InvalidInput, match=reason):
        backend.reset(1)
    assert bench.versions() == before


def test_a_node_that_the_cluster_does_not_have_is_named(bench: Bench) -> None:
    with bench.backend(task_of([*NODES, "node-x"], (WEB,))) as backend, pytest.raises(InvalidInput) as caught:
        backend.reset(1)
    assert [violation.field for violation in caught.value.violations] == ["cluster.nodes[4].name"]


def test_pods_that_fit_nowhere_are_pending_and_count_as_failures(bench: Bench) -> None:
    big = replace(WEB, cpu_millicores=3000.0)
    bench.deploy(replace(big, name="big"), 0)
    task = task_of(NODES, (replace(big, name="big", cpu_millicores=500.0),))
    with bench.backend(task) as backend:
        assert backend.reset(1).failed_share_total < 0.01
        state = settle(backend, [[5, 0, 0, 0]])
        assert (int(state.ready[0, 0]), int(state.pending[0, 0])) == (2, 3)
        assert state.failed_share_total >= 0.6 and (state.cpu_requested <= 1).all()


def test_a_reset_whose_pods_do_not_come_says_why(bench: Bench) -> None:
    huge = DeploymentSpec(name="huge", cpu_millicores=500.0)
    bench.deploy(replace(huge, cpu_millicores=64000.0), 0)
    task = task_of(NODES, (huge,), ready_deadline_s=1.0)
    reason = r"huge at node-0 \(0 of 1\).*huge-node-0: .*nodes are available"
    with bench.backend(task) as backend, pytest.raises(ClusterUnavailable, match=reason):
        backend.reset(1)


def test_safety_limits_bound_what_one_interval_changes(bench: Bench) -> None:
    task = task_of(NODES, (WEB,), max_moves_per_interval=2, min_replicas=1)
    with bench.backend(task) as backend:
        backend.reset(1)
        backend.apply(np.array([[0, 4, 0, 0]], np.int32))
        assert [int(backend.advance().moves) for _ in range(3)] == [2, 2, 1]
        backend.apply(np.zeros((1, 4), np.int32))
        desired = [backend.advance().desired.sum() for _ in range(3)]
        assert desired == [2, 1, 1]


def test_what_a_policy_that_is_told_of_the_minimum_asks_for_is_what_there_is(bench: Bench) -> None:
    task = replace(task_of(NODES, (WEB, API), min_replicas=1), env_id="lwmecps-v3")
    with bench.backend(task) as backend:
        env = make_env("lwmecps-v3", task, backend)
        _, info = env.reset(seed=1)
        for wish, told in (((3, 0), [3, 1]), ((1, 2), [1, 2]), ((0, 0), [1, 1])):
            allowed = info["action_mask"].reshape(2, -1)
            action = [count + int(row[count:].argmax()) for row, count in zip(allowed, wish, strict=True)]
            assert action == told, "the nearest that the mask allows"
            _, _, _, _, info = env.step(np.array(action))
            assert backend.observe().desired.sum(axis=1).tolist() == told


def test_above_the_latency_ceiling_the_last_good_placement_comes_back_for_one_interval(bench: Bench) -> None:
    task = task_of(NODES, (WEB,), latency_ceiling_ms=500.0)
    with bench.backend(task) as backend:
        backend.reset(1)
        assert settle(backend, [[2, 0, 0, 0]]).latency_ms_mean < 500.0
        backend.apply(np.zeros((1, 4), np.int32))
        assert backend.advance().latency_ms_mean > 500.0
        assert backend.advance().desired.tolist() == [[2, 0, 0, 0]]
        assert backend.advance().desired.sum() == 0


def test_a_cluster_without_metrics_server_is_an_error_unless_the_simulator_may_stand_in(bench: Bench) -> None:
    task = task_of(NODES, (WEB,), usage="metrics_server")
    with bench.backend(task) as backend, pytest.raises(SourceUnavailable, match=r"metrics\.k8s\.io"):
        backend.reset(1)
    with bench.backend(task_of(NODES, (WEB,), usage="metrics_server", fallback="simulated")) as backend:
        state = backend.reset(1)
        assert {"cpu_used", "utilisation", "latency_ms"} <= set(state.simulated)
        assert (state.utilisation[0, 0] > 0) and "ready" not in state.simulated


def test_a_deployment_of_somebody_else_with_a_pools_name_is_not_taken_over(bench: Bench) -> None:
    bench.deploy(DeploymentSpec(name="web-node-2"), 0)
    with (
        bench.backend(task_of(NODES, (WEB,), rollback=True)) as backend,
        pytest.raises(Conflict, match="not lwmecps's"),
    ):
        backend.reset(1)
    assert bench.replicas() == {"web": 2, "api": 1, "web-node-2": 0}
