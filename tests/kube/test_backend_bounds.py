"""Rules of a real cluster that bind placements: taints, quotas, LimitRanges, and others who write replicas."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.utils import parse_quantity

from lwmecps_core.cluster.kubernetes_api import APPLY, Api
from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane
from tests.kube.cluster import Bench, namespace, task_of, until

pytestmark = pytest.mark.kube

NODES = [f"node-{i}" for i in range(4)]
WEB = DeploymentSpec(name="web", max_replicas=8, startup_s=0.0)


@pytest.fixture
def bench(control_plane: ControlPlane) -> Iterator[Bench]:
    with namespace(control_plane) as bench:
        bench.deploy(WEB, 1)
        yield bench


def test_a_cordoned_node_keeps_its_pods_and_gets_no_new_ones(bench: Bench, caplog: Any) -> None:
    with bench.backend(task_of(NODES, (WEB,))) as backend:
        backend.reset(1)
        settle(backend, [[1, 1, 0, 0]])
        try:
            bench.core.patch_node("node-1", {"spec": {"unschedulable": True}})
            asked_before_it_was_seen = {"spec": {"replicas": 3}}
            bench.apps.patch_namespaced_deployment_scale("web-node-1", bench.namespace, asked_before_it_was_seen)
            with caplog.at_level(logging.WARNING):
                until(lambda: settle(backend, [[1, 3, 2, 0]]) and bench.replicas()["web-node-1"] == 1, "taken back")
            state = settle(backend, [[1, 3, 2, 0]])
            assert state.ready.tolist() == [[1, 1, 2, 0]] and bench.replicas()["web-node-1"] == 1
            assert "node node-1 has a taint that Deployment web does not tolerate" in caplog.text
            settle(backend, [[1, 0, 0, 0]])
            assert settle(backend, [[1, 1, 0, 0]]).ready.tolist() == [[1, 0, 0, 0]]
        finally:
            bench.core.patch_node("node-1", {"spec": {"unschedulable": False}})


def test_a_home_that_takes_no_pods_is_refused_before_anything_changes(bench: Bench) -> None:
    before = bench.versions()
    try:
        bench.core.patch_node("node-0", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
        reason = r"deployments\[0\]\.allowed_nodes: .*home: node node-0 has a taint .*: gpu"
        with bench.backend(task_of(NODES, (WEB,))) as backend, pytest.raises(InvalidInput, match=reason):
            backend.reset(1)
        assert bench.versions() == before
    finally:
        bench.core.patch_node("node-0", {"spec": {"taints": None}})


def _quota(bench: Bench, **hard: str) -> None:
    """A quota that counts the pods that are there: its controller misses those that are created beside it."""
    until(lambda: len(_pods(bench)) >= sum(bench.replicas().values()), "the pods that are asked for")
    body = {"metadata": {"name": "q"}, "spec": {"hard": {k.replace("_", "."): v for k, v in hard.items()}}}
    bench.core.create_namespaced_resource_quota(bench.namespace, body)
    until(lambda: _counted(bench), "the quota to count the pods")


def _pods(bench: Bench) -> list[Any]:
    return list(bench.core.list_namespaced_pod(bench.namespace).items)


def _counted(bench: Bench) -> bool:
    (quota,) = bench.core.list_namespaced_resource_quota(bench.namespace).items
    used, count = quota.status.used or {}, len(_pods(bench))
    expected = {"pods": count, "requests.cpu": 0.5 * count}
    known = used.keys() & expected.keys()
    return set(used) == set(quota.spec.hard) and all(parse_quantity(used[name]) == expected[name] for name in known)


def test_a_quota_bounds_what_is_placed_over_all_deployments(bench: Bench) -> None:
    api = DeploymentSpec(name="api", max_replicas=8, startup_s=0.0)
    bench.deploy(api, 1)
    bench.deploy(DeploymentSpec(name="other"), 1)  # not the task's: 500m of the quota
    _quota(bench, requests_cpu="2500m")
    with bench.backend(task_of(NODES, (WEB, api))) as backend:
        backend.reset(1)
        until(lambda: len(_pods(bench)) == 3 and _counted(bench), "the quota to count what the reset moved")
        state = settle(backend, [[1, 2, 0, 0], [2, 0, 0, 0]])
        assert state.ready.tolist() == [[1, 2, 0, 0], [1, 0, 0, 0]]
        assert state.pending.sum() == 0
        found = bench.replicas()
        assert sum(n for name, n in found.items() if name != "other") == 4 and found["other"] == 1


def test_moving_within_a_full_quota_removes_before_it_creates(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB,), max_moves_per_interval=2)) as backend:
        backend.reset(1)
        settle(backend, [[2, 0, 0, 0]])
        _quota(bench, pods="2")
        settle(backend, [[0, 0, 2, 0]])
        assert settle(backend, [[0, 0, 2, 0]]).ready.tolist() == [[0, 0, 2, 0]]


@pytest.mark.parametrize(
    ("hard", "reason"),
    [
        ({"pods": "1"}, r"initial_replicas: 2 pods are more than ResourceQuota q \(pods\) leaves"),
        ({"count/deployments_apps": "3"}, r"cluster\.nodes: a Deployment for each node is needed, 4 more"),
    ],
)
def test_a_quota_without_room_for_the_start_is_named(bench: Bench, hard: dict[str, str], reason: str) -> None:
    _quota(bench, **hard)
    web = DeploymentSpec(name="web", max_replicas=8, initial_replicas=2, startup_s=0.0)
    with bench.backend(task_of(NODES, (web,))) as backend, pytest.raises(InvalidInput, match=reason):
        backend.reset(1)
    assert bench.replicas() == {"web": 1}


def test_what_no_task_says_and_what_a_limit_range_refuses_is_not_managed(bench: Bench) -> None:
    limits = [{"type": "Container", "min": {"cpu": "1"}}]
    body = {"metadata": {"name": "l"}, "spec": {"limits": limits}}
    bench.core.create_namespaced_limit_range(bench.namespace, body)
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    bench.apps.patch_namespaced_deployment(
        "web", bench.namespace, {"spec": {"template": {"spec": {"affinity": apart}}}}
    )
    before = bench.versions()
    for manage in (True, False):
        with bench.backend(task_of(NODES, (WEB,), manage=manage)) as backend, pytest.raises(InvalidInput) as caught:
            backend.reset(1)
        said = str(caught.value)
        assert "Deployment web has required podAntiAffinity: no task says that" in said
        assert "LimitRange l: container main requests 500m of cpu, at least 1000m" in said
    assert bench.versions() == before


def _autoscale(bench: Bench) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    client.AutoscalingV1Api(bench.api).create_namespaced_horizontal_pod_autoscaler(bench.namespace, body)


def _keda(bench: Bench) -> None:
    names = {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    crds = client.ApiextensionsV1Api(bench.api)
    body = {"metadata": {"name": "scaledobjects.keda.sh"}, "spec": spec}
    crds.create_custom_resource_definition(body)
    objects = client.CustomObjectsApi(bench.api)
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "k"}}
    scaled["spec"] = {"scaleTargetRef": {"name": "web"}}
    for _ in range(100):
        try:
            objects.create_namespaced_custom_object("keda.sh", "v1alpha1", bench.namespace, "scaledobjects", scaled)
            return
        except client.ApiException as error:  # not served yet
            assert error.status == 404
    raise AssertionError("the custom resource was not served")


def _gitops(bench: Bench) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 1}}
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments/web"
    Api(bench.plane.kubeconfig).request(
        "PATCH", path, {"fieldManager": "argocd-controller", "force": "true"}, body, APPLY
    )


WRITERS = {"HorizontalPodAutoscaler h": _autoscale, "ScaledObject k": _keda, "field manager argocd-controller": _gitops}


@pytest.mark.parametrize("who", WRITERS)
def test_another_writer_of_replicas_is_named_and_refused_unless_told(bench: Bench, who: str, caplog: Any) -> None:
    WRITERS[who](bench)
    before = bench.versions()
    try:
        with bench.backend(task_of(NODES, (WEB,))) as backend, pytest.raises(InvalidInput) as caught:
            backend.reset(1)
        said = str(caught.value)
        assert f"the replicas of Deployment web are also written by {who}" in said and "override" in said
        assert bench.versions() == before
        with bench.backend(task_of(NODES, (WEB,), manage=False)) as backend:
            backend.reset(1)  # changes nothing, so it fights nobody
        told = task_of(NODES, (WEB,), other_writers="override")
        with caplog.at_level(logging.WARNING), bench.backend(told) as backend:
            assert backend.reset(1).ready.sum() == 1
        assert f"overridden: the replicas of Deployment web are also written by {who}" in caplog.text
    finally:
        if WRITERS[who] is _keda:
            client.ApiextensionsV1Api(bench.api).delete_custom_resource_definition("scaledobjects.keda.sh")
