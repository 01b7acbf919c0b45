"""Clusters of 100 and of 1,000 nodes."""

import time
from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np
import pytest

from lwmecps_core.cluster.base import Counts
from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.cluster.kubernetes_watch import PAGE
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane, control_plane
from tests.kube.cluster import Bench, namespace, task_of

pytestmark = pytest.mark.kube

SERVICES = tuple(DeploymentSpec(name=f"service-{i}", max_replicas=100, startup_s=0.0) for i in range(5))


@pytest.fixture(scope="module")
def hundred(control_plane_binaries: None) -> Iterator[ControlPlane]:
    with control_plane(nodes=100, node_grace_s=40.0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def thousand(control_plane_binaries: None) -> Iterator[ControlPlane]:
    with control_plane(nodes=1000, node_grace_s=300.0) as cluster:  # heartbeats are not what is tested
        yield cluster


def _names(count: int) -> list[str]:
    return [f"node-{i}" for i in range(count)]


def test_pods_are_placed_scaled_moved_and_rolled_back_across_100_nodes(hundred: ControlPlane) -> None:
    web = SERVICES[0]
    with namespace(hundred) as bench:
        bench.deploy(web, 3)
        with bench.backend(task_of(_names(100), (web,), rollback=True, ready_deadline_s=120.0)) as backend:
            backend.reset(1)
            placed = np.zeros((1, 100), np.int32)
            placed[0, ::2] = 1
            assert np.array_equal(settle(backend, placed).ready, placed)
            scaled = placed * 2
            assert np.array_equal(settle(backend, scaled).ready, scaled)
            moved = np.roll(scaled, 1, axis=1)
            assert np.array_equal(settle(backend, moved).ready, moved)
            assert bench.pods_at() == sorted((f"node-{n}", web.name) for n in range(1, 100, 2) for _ in range(2))
        assert {name: count for name, count in bench.replicas().items() if count} == {web.name: 3}


def test_1000_nodes_with_5000_pods_are_listed_page_by_page_once_and_followed_from_then_on(
    thousand: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with namespace(thousand) as bench:
        for service in SERVICES:
            bench.deploy(service, 1000)
        _until_ready(bench, 5000)
        listed = _listed(monkeypatch)
        with bench.backend(task_of(_names(1000), SERVICES, manage=False, usage="simulated")) as backend:
            assert np.array_equal(backend.reset(1).ready, _ready_at(bench, 1000))
            _follows(bench, backend)
    assert listed["pods"] == ceil(5000 / PAGE)
    assert listed["nodes"] == ceil(1000 / PAGE)


def _listed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pages of each resource our client asks for from now on."""
    pages, request = Counter[str](), Api.request

    def counted(self: Api, method: str, path: str, *rest: Any, **named: Any) -> Any:
        if method == "GET":
            pages[path.rpartition("/")[2]] += 1
        return request(self, method, path, *rest, **named)

    monkeypatch.setattr(Api, "request", counted)
    return pages


def _follows(bench: Bench, backend: KubernetesBackend) -> None:
    bench.apps.patch_namespaced_deployment_scale("service-3", bench.namespace, {"spec": {"replicas": 900}})
    _until_ready(bench, 4900)
    end = time.monotonic() + 60.0
    while int(backend.advance().ready.sum()) != 4900:
        assert time.monotonic() < end
    assert np.array_equal(backend.observe().ready, _ready_at(bench, 1000))


def _ready_at(bench: Bench, nodes: int) -> Counts:
    """Ready pods of every service on every node, as the API server lists them."""
    counts = np.zeros((len(SERVICES), nodes), np.int32)
    rows = {service.name: d for d, service in enumerate(SERVICES)}
    for pod in _ready(bench):
        counts[rows[pod.metadata.labels["app"]], int(pod.spec.node_name.removeprefix("node-"))] += 1
    return counts


def _ready(bench: Bench) -> list[Any]:
    return [
        pod
        for pod in bench.core.list_namespaced_pod(bench.namespace).items
        if not pod.metadata.deletion_timestamp
        and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
    ]


def _until_ready(bench: Bench, count: int) -> None:
    end = time.monotonic() + 600.0
    while (found := len(_ready(bench))) != count:
        assert time.monotonic() < end, f"{found} of {count} pods are ready"
        time.sleep(5.0)
