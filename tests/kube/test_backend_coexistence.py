"""People and programs that scale the same Deployments: pausing, and writes that leave no name."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.cluster.kubernetes_objects import PAUSED, Deployment
from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane
from tests.kube.cluster import Bench, namespace, task_of

pytestmark = pytest.mark.kube

NODES = ["node-0", "node-1"]
WEB, API = (DeploymentSpec(name=name, max_replicas=6, startup_s=0.0) for name in ("web", "api"))


@pytest.fixture
def bench(control_plane: ControlPlane) -> Iterator[Bench]:
    with namespace(control_plane) as bench:
        for spec in (WEB, API):
            bench.deploy(spec, 1)
        yield bench


def _annotate(bench: Bench, name: str, value: str | None) -> None:
    bench.apps.patch_namespaced_deployment(name, bench.namespace, {"metadata": {"annotations": {PAUSED: value}}})


def _scale(bench: Bench, name: str, replicas: int) -> None:
    """As an HPA, or `kubectl scale`, does it: no managed field tells of it on 1.20."""
    bench.apps.patch_namespaced_deployment_scale(name, bench.namespace, {"spec": {"replicas": replicas}})


def _advance(backend: KubernetesBackend, placement: list[list[int]]) -> None:
    backend.apply(placement)  # type: ignore[arg-type]
    backend.advance()


def test_a_paused_deployment_keeps_its_replicas_while_the_others_are_placed(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB, API))) as backend:
        backend.reset(1)
        settle(backend, [[2, 1], [1, 0]])
        _annotate(bench, "web", "true")
        _until(lambda: _seen(backend, "web").paused, backend)
        _advance(backend, [[0, 4], [0, 2]])
        _advance(backend, [[0, 4], [0, 2]])
        found = bench.replicas()
        assert (found["web-node-0"], found["web-node-1"], found["api-node-1"]) == (2, 1, 2)
        _annotate(bench, "web", None)
        _until(lambda: not _seen(backend, "web").paused, backend)
        assert settle(backend, [[0, 4], [0, 2]]).ready.tolist() == [[0, 4], [0, 2]]


def test_a_reset_of_a_paused_deployment_is_refused_by_name_before_anything_changes(bench: Bench) -> None:
    _annotate(bench, "api", "true")
    before = bench.versions()
    reason = r"deployments\[1\]\.name: Deployment api has the annotation"
    with bench.backend(task_of(NODES, (WEB, API))) as backend, pytest.raises(InvalidInput, match=reason):
        backend.reset(1)
    assert bench.versions() == before


def test_replicas_that_somebody_scales_are_written_back_twice_and_then_left_to_him(bench: Bench, caplog: Any) -> None:
    with bench.backend(task_of(NODES, (WEB, API))) as backend, caplog.at_level(logging.WARNING):
        backend.reset(1)
        settle(backend, [[2, 0], [1, 0]])
        seen = []
        for _ in range(4):
            _scale(bench, "web-node-0", 5)
            _until(lambda: _seen(backend, "web-node-0").replicas == 5, backend)
            _advance(backend, [[2, 0], [1, 1]])
            seen.append(bench.replicas()["web-node-0"])
        assert seen == [2, 2, 5, 5]
        assert bench.replicas()["api-node-1"] == 1, "the others go on"
        assert "left alone: somebody else set the replicas of Deployment web-node-0 3 times" in caplog.text
        assert backend.observe().ready.tolist()[0] == [5, 0], "what is shown is what is there"


def _seen(backend: KubernetesBackend, name: str) -> Deployment:
    return backend._deployments.items()[name]


def _until(told: Callable[[], bool], backend: KubernetesBackend) -> None:
    """Wait until the backend's watch tells of what was written: the API server answers before it does."""
    for _ in range(600):
        if told():
            return
        with backend._changed:
            backend._changed.wait(0.1)
    raise AssertionError("the watch told nothing")
