"""A policy's sizes carried out by a real autoscaler: what KEDA would do between the two is `external_metrics`' part."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from kubernetes import client, dynamic

from lwmecps_core import algorithms
from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import NotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import DeploymentSpec, TaskSpec
from lwmecps_core.training.sampling import torch_generator
from scripts.kube import ControlPlane, control_plane
from scripts.kube.certificates import Certificates
from scripts.kube.external_metrics import ExternalMetricsServer
from services.common.client import Caller
from services.common.server import RunningServer, start
from services.common.settings import ServerSettings
from services.env_service.settings import EnvServiceSettings
from services.learner_service.acting import LoadedPolicies
from services.learner_service.keda.follower import Followers
from services.learner_service.keda.scaler import keda_service
from tests.env_service.conftest import Served
from tests.kube.cluster import Bench, in_namespace, namespace, task_of

pytestmark = pytest.mark.kube

WEB = DeploymentSpec(name="web", max_replicas=6, startup_s=0.0)
SYNC_S = 1
FLAGS = [f"--horizontal-pod-autoscaler-sync-period={SYNC_S}s", "--horizontal-pod-autoscaler-tolerance=0.1"]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "keda.md"


def _task(bench: Bench) -> TaskSpec:
    made = task_of(["node-0", "node-1"], (WEB,), manage=False)
    return replace(in_namespace(made, bench.namespace), env_id="lwmecps-v3")


def _wanting(task: TaskSpec, replicas: int) -> PolicyData:
    """A policy that wants so many replicas, whatever it sees, and is sure of it."""
    config, spec = PPOConfig(hidden_size=(8, 8)), env_spec(task)
    params, extra = algorithms.make(config, spec).init(torch_generator(1, "weights"))
    actor = {name: torch.zeros_like(x) for name, x in params["actor"].items()}
    share = replicas / spec.nvec[0]
    actor["out.bias"] = torch.tensor([log(share / (1.0 - share)), -8.0, -8.0])  # see `heads`: centre, width, none
    return PolicyData(config, spec, {**params, "actor": actor}, extra)


class Scaled:
    """A Deployment under an HPA that goes by the scaler of a learner, which can be killed and started again."""

    def __init__(self, bench: Bench, plane: ControlPlane) -> None:
        self.bench, self._plane = bench, plane
        self._task = _task(bench)
        self._policies = {f"want-{n}": _wanting(self._task, n) for n in (2, 5)}
        self._env = Served(EnvServiceSettings(port=0, log_level="error"), list)
        self._learner: tuple[Followers, RunningServer] | None = None

    def learner(self) -> str:
        """Start one; its address."""

        def weights(name: str) -> PolicyData:
            if name not in self._policies:
                raise NotFound("policy", name)
            return self._policies[name]

        followers = Followers(lambda _: self._task, LoadedPolicies(weights), Caller("env", self._env.stub))
        self._learner = followers, start(ServerSettings(log_level="error"), [keda_service(followers)])
        return self._learner[1].address

    def kill(self) -> None:
        if self._learner is not None:
            self._learner[0].stop()
            self._learner[1].drain(0.0)
        self._learner = None

    def close(self) -> None:
        self.kill()
        self._env.close()

    def replicas(self) -> int:
        return int(self.bench.replicas()["web"])

    def hpa(self, spec: dict[str, Any]) -> None:
        """As KEDA makes it of a ScaledObject."""
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        bounds = {"minReplicas": 1, "maxReplicas": 6}
        body = {
            "apiVersion": "autoscaling/v2beta2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "keda-hpa-web"},
            "spec": {"scaleTargetRef": target, **bounds, "metrics": [spec], "behavior": behavior},
        }
        path = f"/apis/autoscaling/v2beta2/namespaces/{self.bench.namespace}/horizontalpodautoscalers"
        Api(self._plane.kubeconfig).request("POST", path, body=body)

    def condition(self) -> str:
        """Why the HPA can or can't scale."""
        path = f"/apis/autoscaling/v2beta2/namespaces/{self.bench.namespace}/horizontalpodautoscalers/keda-hpa-web"
        found = Api(self._plane.kubeconfig).request("GET", path).get("status", {}).get("conditions") or ()
        return next((f"{c['status']} {c['reason']}" for c in found if c["type"] == "ScalingActive"), "")


def _until(holds: Callable[[], bool], deadline_s: float = 120.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def quick_plane(control_plane_binaries: None) -> Iterator[ControlPlane]:
    """A control plane whose autoscaler looks every second."""
    with control_plane(nodes=2, flags={"kube-controller-manager": FLAGS}) as cluster:
        yield cluster


@pytest.fixture
def scaled(quick_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scaled]:
    monkeypatch.setenv("KUBECONFIG", str(quick_plane.kubeconfig))
    with namespace(quick_plane) as bench:
        bench.deploy(WEB, 3)
        made = Scaled(bench, quick_plane)
        yield made
        made.close()


def test_an_hpa_carries_out_what_a_policy_wants_and_a_killed_learner_loses_no_replica(
    scaled: Scaled, quick_plane: ControlPlane
) -> None:
    trigger = {"policy": "want-5", "task": "t"}
    certificate = Certificates(quick_plane.state / "pki").user("external-metrics")
    with ExternalMetricsServer(certificate, scaled.learner(), trigger) as server, quick_plane.client() as api:
        server.register(api)
        try:
            _go_through(scaled, server, trigger)
        finally:
            server.unregister(api)


def _go_through(scaled: Scaled, server: ExternalMetricsServer, trigger: dict[str, str]) -> None:
    scaled.hpa(server.spec(scaled.bench.namespace))
    _until(lambda: scaled.replicas() == 5)

    scaled.kill()
    _until(lambda: scaled.condition() == "False FailedGetExternalMetric")
    time.sleep(5 * SYNC_S)
    assert scaled.replicas() == 5

    server.metadata, server.address = {**trigger, "policy": "want-2"}, scaled.learner()
    _until(lambda: scaled.replicas() == 2)
    assert scaled.condition() == "True ValidMetricFound"


def test_the_scaled_object_of_the_documentation_would_be_taken_whole(quick_plane: ControlPlane) -> None:
    shown = re.findall(r"```yaml\n(apiVersion: keda.sh/v1alpha1\n.*?)```", PAGE.read_text(), re.DOTALL)
    manifests = [manifest for text in shown for manifest in yaml.safe_load_all(text)]
    assert {m["kind"] for m in manifests} == {"ScaledObject", "TriggerAuthentication"}
    with quick_plane.client() as api:
        crds = client.ApiextensionsV1Api(api)
        for kind, schema in SCHEMAS.items():
            crds.create_custom_resource_definition(_definition(kind, schema))
        cluster = dynamic.DynamicClient(api)
        client.CoreV1Api(api).create_namespace({"metadata": {"name": "edge"}})
        try:
            for manifest in manifests:
                _until(lambda kind=manifest["kind"]: _served(cluster, kind), 30.0)
                resource = cluster.resources.get(api_version="keda.sh/v1alpha1", kind=manifest["kind"])
                taken = resource.create(body=manifest, namespace="edge", dry_run="All").to_dict()
                assert taken["spec"] == manifest["spec"], "nothing was unknown, and so left out"
        finally:
            for kind in SCHEMAS:
                crds.delete_custom_resource_definition(f"{kind.lower()}s.keda.sh")


def _served(cluster: dynamic.DynamicClient, kind: str) -> bool:
    cluster.resources.invalidate_cache()
    return bool(cluster.resources.search(api_version="keda.sh/v1alpha1", kind=kind))


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


TEXT, NUMBER = {"type": "string"}, {"type": "integer", "format": "int32"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
POLICIES = {"type": "array", "items": _object(("type", "value", "periodSeconds"), type=TEXT, value=NUMBER)}
RULES = _object(stabilizationWindowSeconds=NUMBER, selectPolicy=TEXT, policies=POLICIES)
SCHEMAS = {
    "ScaledObject": _object(
        ("scaleTargetRef", "triggers"),
        scaleTargetRef=_object(("name",), name=TEXT, kind=TEXT, apiVersion=TEXT, envSourceContainerName=TEXT),
        **dict.fromkeys(
            ("minReplicaCount", "maxReplicaCount", "idleReplicaCount", "pollingInterval", "cooldownPeriod"), NUMBER
        ),
        fallback=_object(("failureThreshold", "replicas"), failureThreshold=NUMBER, replicas=NUMBER, behavior=TEXT),
        advanced=_object(
            restoreToOriginalReplicaCount={"type": "boolean"},
            horizontalPodAutoscalerConfig=_object(name=TEXT, behavior=_object(scaleUp=RULES, scaleDown=RULES)),
        ),
        triggers={
            "type": "array",
            "items": _object(
                ("metadata", "type"),
                type=TEXT,
                name=TEXT,
                metadata=TEXTS,
                metricType={"type": "string"},
                useCachedMetrics={"type": "boolean"},
                authenticationRef=_object(("name",), name=TEXT, kind=TEXT),
            ),
        },
    ),
    "TriggerAuthentication": _object(
        secretTargetRef={
            "type": "array",
            "items": _object(("parameter", "name", "key"), parameter=TEXT, name=TEXT, key=TEXT),
        }
    ),
}
"""Of KEDA's published schemas, what a trigger of the type `external` needs."""


def _definition(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    names = {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind}
    schema = {"openAPIV3Schema": _object(("spec",), spec=spec)}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema}
    body = {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{names['plural']}.keda.sh"}, "spec": body}
