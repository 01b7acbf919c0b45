"""The manifests of `deploy/` on a real API server, and what the rights in them allow."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.errors import AccessDenied
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane
from tests.deploy.rendering import Manifest, render
from tests.kube.cluster import Bench, in_namespace, task_of

pytestmark = pytest.mark.kube

NAMESPACES = ("lwmecps", "edge", "elsewhere")
ENV_SERVICE = "system:serviceaccount:lwmecps:lwmecps-env"
WEB = DeploymentSpec(name="web", max_replicas=4, startup_s=0.0)
ALLOWED = [
    *(("edge", "apps", "deployments", verb, "") for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("edge", "", "pods", verb, "") for verb in ("get", "list", "watch")),
    *(("", "", "nodes", verb, "") for verb in ("get", "list", "watch")),
    *(("", "metrics.k8s.io", "nodes", verb, "") for verb in ("get", "list")),
    *(("edge", "metrics.k8s.io", "pods", verb, "") for verb in ("get", "list")),
    ("edge", "coordination.k8s.io", "leases", "create", ""),
    *(("edge", "coordination.k8s.io", "leases", verb, "lwmecps") for verb in ("get", "update", "patch")),
]
DENIED = [
    *(("elsewhere", "apps", "deployments", verb, "") for verb in ("get", "list", "create", "patch", "delete")),
    *(("lwmecps", "apps", "deployments", verb, "") for verb in ("get", "patch", "delete")),
    ("elsewhere", "", "pods", "list", ""),
    ("", "", "pods", "list", ""),
    ("edge", "", "pods", "delete", ""),
    ("edge", "", "pods", "create", ""),
    ("edge", "", "secrets", "get", ""),
    ("lwmecps", "", "secrets", "get", "lwmecps"),
    ("", "", "nodes", "patch", ""),
    ("edge", "apps", "deployments", "deletecollection", ""),
    ("edge", "coordination.k8s.io", "leases", "update", "somebody-elses"),
    ("edge", "coordination.k8s.io", "leases", "delete", "lwmecps"),
    ("edge", "rbac.authorization.k8s.io", "roles", "create", ""),
]


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[client.ApiClient]:
    """The administrator, on a cluster that has the namespaces and grants what `deploy/kustomize/managed` grants."""
    with control_plane.client() as api:
        core = client.CoreV1Api(api)
        for name in NAMESPACES:
            core.create_namespace({"metadata": {"name": name}})
        for manifest in render("managed"):
            _apply(dynamic.DynamicClient(api), manifest, dry=False)
        yield api
        for manifest in render("managed"):
            if "namespace" not in manifest["metadata"]:
                _resource(dynamic.DynamicClient(api), manifest).delete(name=manifest["metadata"]["name"])
        for name in NAMESPACES:
            core.delete_namespace(name)


@pytest.mark.parametrize("name", ["local", "production", "keda", "helm", "helm-everything"])
def test_the_api_server_would_take_every_manifest_of_a_kind_that_it_serves(name: str, admin: client.ApiClient) -> None:
    cluster = dynamic.DynamicClient(admin)
    taken, not_served = set(), set()
    for manifest in render(name):
        key = f"{manifest['apiVersion']} {manifest['kind']}"
        try:
            _apply(cluster, _for_this_server(admin, manifest), dry=True)
        except ResourceNotFoundError:
            not_served.add(key)
        else:
            taken.add(key)
    assert {"apps/v1 Deployment", "apps/v1 StatefulSet", "networking.k8s.io/v1 NetworkPolicy", "v1 Service"} <= taken
    unserved = {"policy/v1 PodDisruptionBudget", "autoscaling/v2 HorizontalPodAutoscaler"}
    assert not_served <= unserved | {"keda.sh/v1alpha1 ScaledObject", "keda.sh/v1alpha1 TriggerAuthentication"}


def test_the_api_server_refuses_a_manifest_with_a_field_that_there_is_not(admin: client.ApiClient) -> None:
    manifest = copy.deepcopy(next(m for m in render("local") if m["kind"] == "Deployment"))
    manifest["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(dynamic.exceptions.DynamicApiError, match="enableServiceLink"):
        _apply(dynamic.DynamicClient(admin), _for_this_server(admin, manifest), dry=True)


@pytest.mark.parametrize(("namespace", "group", "resource", "verb", "name"), ALLOWED)
def test_the_env_service_may(
    namespace: str, group: str, resource: str, verb: str, name: str, admin: client.ApiClient
) -> None:
    assert _may(admin, namespace, group, resource, verb, name)


@pytest.mark.parametrize(("namespace", "group", "resource", "verb", "name"), DENIED)
def test_the_env_service_may_not(
    namespace: str, group: str, resource: str, verb: str, name: str, admin: client.ApiClient
) -> None:
    assert not _may(admin, namespace, group, resource, verb, name)


def test_whoever_has_the_rights_of_the_env_service_can_use_them(
    admin: client.ApiClient, control_plane: ControlPlane
) -> None:
    with config.new_client_from_config(str(control_plane.user_kubeconfig(ENV_SERVICE))) as api:
        assert client.CoreV1Api(api).list_node().items
        assert client.AppsV1Api(api).list_namespaced_deployment("edge").items == []
        with pytest.raises(client.ApiException, match="403"):
            client.AppsV1Api(api).list_namespaced_deployment("elsewhere")


def test_the_backend_places_and_rolls_back_with_exactly_these_rights(
    admin: client.ApiClient, control_plane: ControlPlane
) -> None:
    bench = Bench(control_plane, "edge")
    bench.deploy(WEB, 2)
    task = in_namespace(task_of(["node-0", "node-1"], (WEB,), rollback=True), "edge")
    backend = KubernetesBackend(task, control_plane.user_kubeconfig(ENV_SERVICE))
    try:
        assert backend.reset(1).ready.tolist() == [[1, 0]]
        assert settle(backend, [[0, 3]]).ready.tolist() == [[0, 3]]
    finally:
        backend.close()
    assert bench.replicas() == {"web": 2}
    bench.apps.delete_namespaced_deployment("web", "edge")

    elsewhere = KubernetesBackend(in_namespace(task, "elsewhere"), control_plane.user_kubeconfig(ENV_SERVICE))
    with pytest.raises(AccessDenied, match="in namespace elsewhere"):
        elsewhere.reset(1)
    elsewhere.close()


def _may(api: client.ApiClient, namespace: str, group: str, resource: str, verb: str, name: str) -> bool:
    what = {"namespace": namespace, "group": group, "resource": resource, "verb": verb, "name": name}
    body = {"spec": {"user": ENV_SERVICE, "resourceAttributes": what}}
    return bool(client.AuthorizationV1Api(api).create_subject_access_review(body).status.allowed)


def _resource(cluster: dynamic.DynamicClient, manifest: Manifest) -> Any:
    return cluster.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])


def _apply(cluster: dynamic.DynamicClient, manifest: Manifest, dry: bool) -> None:
    resource = _resource(cluster, manifest)
    namespace = manifest["metadata"].get("namespace", "lwmecps") if resource.namespaced else None
    resource.server_side_apply(
        body=manifest,
        name=manifest["metadata"]["name"],
        namespace=namespace,
        field_manager="test",
        **({"dry_run": "All"} if dry else {}),
    )


def _for_this_server(api: client.ApiClient, manifest: Manifest) -> Manifest:
    """The manifest; where the server's own schema knows no gRPC probes (before 1.24), with TCP ones in their place."""
    if _knows_grpc_probes(api) or manifest["kind"] != "Deployment":
        return manifest
    changed = copy.deepcopy(manifest)
    for box in changed["spec"]["template"]["spec"]["containers"]:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if asked := box[probe].pop("grpc", None):
                box[probe]["tcpSocket"] = {"port": asked["port"]}
    return changed


@cache
def _knows_grpc_probes(api: client.ApiClient) -> bool:
    schema = json.loads(dynamic.DynamicClient(api).request("get", "/openapi/v2", serialize=False).data)
    return "grpc" in schema["definitions"]["io.k8s.api.core.v1.Probe"]["properties"]
