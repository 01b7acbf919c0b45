import json
import re
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import redis
import yaml

from lwmecps_core.rollout.redis_queue import RedisQueue
from lwmecps_core.rollout.streams import REQUEST_STREAM
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.common.settings import ClientSettings, read
from services.learner_service.settings import CLIENT_PREFIX
from tests.deploy.rendering import (
    RENDERS,
    ROOT,
    SETTINGS,
    SYSTEMS,
    containers,
    environment,
    of_kind,
    pods,
    render,
    selects,
    services_of_ours,
)

SCHEMAS = "1.37"
GATEWAY = ["services.gateway"]
WITHOUT_NAMESPACE = ("Namespace", "ClusterRole", "ClusterRoleBinding")
SERVES = {
    "services.task_registry": registry_pb2.DESCRIPTOR.services_by_name["TaskRegistryService"].full_name,
    "services.env_service": env_pb2.DESCRIPTOR.services_by_name["EnvService"].full_name,
    "services.learner_service": learner_pb2.DESCRIPTOR.services_by_name["LearnerService"].full_name,
}
LINKS = {
    ("registry", "postgres"),
    ("collector", "redis"),
    ("learner", "redis"),
    ("learner", "registry"),
    ("learner", "env"),
    ("gateway", "registry"),
    ("gateway", "env"),
    ("gateway", "learner"),
}
ADDRESS = re.compile(r"(?:^|@)([\w.-]+):(\d+)")


def test_every_manifest_fits_the_schema_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    # It would read all definitions again, megabytes of them, for each manifest.
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
    rendered = {json.dumps(manifest, sort_keys=True) for name in RENDERS for manifest in render(name)}
    ours = [m for m in map(json.loads, rendered) if not m["apiVersion"].startswith(("keda.sh/", "monitoring."))]  # CRDs
    for manifest in ours:
        kubernetes_validate.validate(manifest, SCHEMAS, strict=True)
    assert len({manifest["kind"] for manifest in ours}) > 10


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_service_reads_its_environment_and_listens_where_its_pod_says(name: str) -> None:
    found = services_of_ours(render(name))
    assert {box["args"][0] for box in found.values()} == set(SETTINGS)
    for box in found.values():
        prefix, cls = SETTINGS[box["args"][0]]
        settings: Any = read(cls, prefix, environment(box))
        ports = {port["name"]: port["containerPort"] for port in box["ports"]}
        if box["args"] == GATEWAY:  # who calls brings the token
            assert ports == {"http": settings.port} and not hasattr(settings, "token")
        else:
            assert (settings.port, settings.metrics_port) == (ports["grpc"], ports["metrics"])
            assert settings.token == "secret"
        assert settings.host == "0.0.0.0"
        assert settings.insecure is not bool(settings.tls_cert_file)


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_variable_of_ours_is_unknown(name: str) -> None:
    for owner, box in services_of_ours(render(name)).items():
        prefixes = [SETTINGS[box["args"][0]][0]]
        if owner.endswith(("-learner", "-gateway")):
            read(ClientSettings, CLIENT_PREFIX, environment(box))
            prefixes.append(CLIENT_PREFIX)
        ours = [variable for variable in environment(box) if variable.startswith("LWMECPS_")]
        strange = [v for v in ours if not v.startswith(tuple(prefixes)) and v != "LWMECPS_TRACKING"]
        assert not strange, f"{owner}: {strange}"


@pytest.mark.parametrize("name", SYSTEMS)
def test_pods_have_no_variables_of_kubernetes_that_look_like_settings(name: str) -> None:
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(render(name)).values())


@pytest.mark.parametrize("name", SYSTEMS)
def test_probes_ask_ports_that_the_container_has(name: str) -> None:
    for owner, box in containers(render(name)).items():
        ports = {port["name"]: port["containerPort"] for port in box["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = box[probe]
            secure = any(variable.endswith("_TLS_CERT_FILE") for variable in environment(box))
            if owner not in services_of_ours(render(name)):
                assert asked["exec"]["command"]
                continue
            if box["args"] == GATEWAY:
                assert asked["httpGet"] == {"port": "http", "path": "/health/gateway"} | (
                    {"scheme": "HTTPS"} if secure else {}
                )
                continue
            # Ready is who has all that it depends on; who lacks something is not started again.
            service = SERVES[box["args"][0]] if probe == "readinessProbe" else ""
            if secure:  # the kubelet's gRPC probes know no TLS
                path = f"/health/{service}".rstrip("/")
                assert asked["httpGet"] == {"port": "metrics", "path": path} and "grpc" not in asked
            else:
                assert asked["grpc"] == {"port": ports["grpc"]} | ({"service": service} if service else {})


@pytest.mark.parametrize("name", SYSTEMS)
def test_services_lead_to_the_ports_of_pods(name: str) -> None:
    manifests = render(name)
    for service in of_kind(manifests, "Service"):
        spec = service["spec"]
        chosen = [pod for pod in pods(manifests).values() if selects({"matchLabels": spec["selector"]}, labels_of(pod))]
        headless = spec.get("clusterIP") == "None"
        assert len(chosen) == 1 and headless is not service["metadata"]["name"].endswith("-gateway")
        ports = {port["name"]: port["containerPort"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
        assert [ports[port["targetPort"]] for port in spec["ports"]] == [port["port"] for port in spec["ports"]]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_addresses_that_services_are_given_are_services_that_policies_let_them_reach(name: str) -> None:
    manifests = render(name)
    listening = {s["metadata"]["name"]: s["spec"]["ports"][0]["port"] for s in of_kind(manifests, "Service")}
    links = set()
    for owner, box in services_of_ours(manifests).items():
        for host, port in (found for value in environment(box).values() for found in ADDRESS.findall(value)):
            assert listening[host] == int(port), f"{owner}: {host}:{port}"
            assert _may_talk(manifests, owner, host), f"{owner} can't reach {host}"
            links.add((owner.removeprefix("lwmecps-"), host.removeprefix("lwmecps-")))
    assert links == LINKS


@pytest.mark.parametrize("name", SYSTEMS)
def test_nobody_reaches_what_he_has_no_address_of(name: str) -> None:
    manifests = render(name)
    talk = {(a, b) for a in pods(manifests) for b in pods(manifests) if a != b and _may_talk(manifests, a, b)}
    assert {(a.removeprefix("lwmecps-"), b.removeprefix("lwmecps-")) for a, b in talk} == LINKS


@pytest.mark.parametrize("name", SYSTEMS)
def test_selectors_find_pods_and_scalers_find_deployments(name: str) -> None:
    manifests = render(name)
    for manifest in of_kind(manifests, "Deployment", "StatefulSet"):
        assert selects(manifest["spec"]["selector"], labels_of(manifest["spec"]["template"]))
    for manifest in of_kind(manifests, "PodDisruptionBudget"):
        assert sum(selects(manifest["spec"]["selector"], labels_of(pod)) for pod in pods(manifests).values()) == 1
    for policy in of_kind(manifests, "NetworkPolicy"):
        assert any(selects(policy["spec"]["podSelector"], labels_of(pod)) for pod in pods(manifests).values())
    scalers = of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    assert [scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers] == ["lwmecps-collector"]
    collector = next(m for m in of_kind(manifests, "Deployment") if m["metadata"]["name"] == "lwmecps-collector")
    assert "replicas" not in collector["spec"], "every apply would undo what the autoscaler did"


@pytest.mark.parametrize("name", SYSTEMS)
def test_secrets_and_volumes_that_pods_ask_for_are_there_or_made_as_the_documentation_says(name: str) -> None:
    manifests = render(name)
    known = _documented_secrets() if name in ("production", "tokens", "helm-everything") else {}
    for secret in of_kind(manifests, "Secret"):
        known[secret["metadata"]["name"]] = set(secret.get("data", {})) | set(secret.get("stringData", {}))
    claims = {claim["metadata"]["name"] for claim in of_kind(manifests, "PersistentVolumeClaim")}
    for owner, pod in pods(manifests).items():
        for entry in pod["spec"]["containers"][0]["env"]:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and not reference.get("optional"):
                assert reference["key"] in known[reference["name"]], f"{owner}: {entry['name']}"
        volumes = pod["spec"].get("volumes", [])
        assert {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v} <= claims
        for volume in (v for v in volumes if "secret" in v):
            needed = {"tls": {"tls.crt", "tls.key"}, "tokens": {"tokens.yaml"}}[volume["name"]]
            assert needed <= known[volume["secret"]["secretName"]], owner
    if name == "production":
        assert {"lwmecps", "lwmecps-tls", "lwmecps-tokens"} <= set(known)


@pytest.mark.parametrize("name", ["tokens", "helm-everything"])
def test_every_service_with_clients_reads_the_tokens_that_are_mounted(name: str) -> None:
    for owner, box in services_of_ours(render(name)).items():
        files = [value for variable, value in environment(box).items() if variable.endswith("_TOKENS_FILE")]
        folders = [mount["mountPath"] for mount in box["volumeMounts"] if mount["name"] == "tokens"]
        assert files == [f"{folder}/tokens.yaml" for folder in folders], owner
        assert bool(files) is not owner.endswith(("-collector", "-gateway"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_container_is_held_short(name: str) -> None:
    for owner, pod in pods(render(name)).items():
        security, box = pod["spec"]["securityContext"], pod["spec"]["containers"][0]
        assert security["runAsNonRoot"] and security["runAsUser"] and security["seccompProfile"], owner
        assert box["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert box["resources"]["requests"].keys() >= {"cpu", "memory"} and box["resources"]["limits"]["memory"], owner
        assert re.search(r":(?!latest)[\w.-]+$", box["image"]), f"{owner}: {box['image']} is not pinned"


@pytest.mark.parametrize("name", SYSTEMS)
def test_pods_are_given_longer_to_end_than_their_services_take(name: str) -> None:
    manifests = render(name)
    for owner, box in services_of_ours(manifests).items():
        prefix, cls = SETTINGS[box["args"][0]]
        settings: Any = read(cls, prefix, environment(box))
        # The env-service drains its calls, then waits for its workers, each for as long.
        assert pods(manifests)[owner]["spec"]["terminationGracePeriodSeconds"] > 2 * settings.grace_s, owner


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_the_env_service_has_a_token_for_the_kubernetes_api(name: str) -> None:
    tokens = {owner for owner, pod in pods(render(name)).items() if pod["spec"]["automountServiceAccountToken"]}
    assert tokens == {"lwmecps-env"}
    account = pods(render(name))["lwmecps-env"]["spec"]["serviceAccountName"]
    subjects = [s for b in of_kind(render(name), "RoleBinding", "ClusterRoleBinding") for s in b["subjects"]]
    assert subjects == [{"kind": "ServiceAccount", "name": account, "namespace": "lwmecps"}] * 2


@pytest.mark.parametrize("name", SYSTEMS)
def test_redis_keeps_everything_and_has_room_to_rewrite_its_log(name: str) -> None:
    box = containers(render(name))["lwmecps-redis"]
    given = dict(zip(box["args"][1::2], box["args"][2::2], strict=True))
    assert given["--appendonly"] == "yes" and given["--maxmemory-policy"] == "noeviction"
    limit_mib = int(box["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert 2 * 1024 * int(given["--maxmemory"].removesuffix("gb")) <= limit_mib


@pytest.mark.parametrize("name", ["keda", "helm-everything"])
def test_keda_watches_the_stream_of_requests_in_place_of_the_cpu(name: str) -> None:
    manifests = render(name)
    assert not of_kind(manifests, "HorizontalPodAutoscaler")
    trigger = of_kind(manifests, "ScaledObject")[0]["spec"]["triggers"][0]
    assert trigger["metadata"]["stream"] == RedisQueue(redis.Redis(), REQUEST_STREAM)._entries
    assert trigger["metadata"]["address"].startswith("lwmecps-redis.lwmecps.svc.")
    authentication = of_kind(manifests, "TriggerAuthentication")[0]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


@pytest.mark.parametrize("name", [name for name in RENDERS if not name.startswith("helm")])
def test_every_manifest_says_its_namespace(name: str) -> None:
    found = [m for m in render(name) if m["kind"] not in WITHOUT_NAMESPACE]
    lost = [m["metadata"]["name"] for m in found if m["metadata"].get("namespace") not in ("lwmecps", "edge")]
    assert not lost, "kubectl would put these into the namespace `default`"


@pytest.mark.parametrize("name", ["keda", "helm-everything"])
def test_keda_may_ask_learners_and_nobody_else_from_its_namespace_may(name: str) -> None:
    manifests = render(name)
    reached = {
        owner
        for owner, pod in pods(manifests).items()
        for policy in of_kind(manifests, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels_of(pod))
        for rule in policy["spec"].get("ingress", ())
        if {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}} in rule["from"]
        if rule["ports"] == [{"port": pod["spec"]["containers"][0]["ports"][0]["name"]}]
    }
    assert reached == {"lwmecps-learner", "lwmecps-redis"}
    assert not any("keda" in str(m["spec"]) for m in of_kind(render("production"), "NetworkPolicy"))


def test_the_overlay_for_keda_is_the_one_that_the_documentation_shows() -> None:
    shown = re.search(r"```yaml\n(apiVersion: kustomize[^`]*components/keda\n[^`]*)```", documentation())
    tested = (ROOT / "tests" / "deploy" / "keda" / "kustomization.yaml").read_text()
    moved = tested.replace("../../../deploy/kustomize/overlays/", "../").replace("../../../deploy/kustomize/", "../../")
    assert shown and yaml.safe_load(moved) == yaml.safe_load(shown[1])


@pytest.mark.parametrize("name", SYSTEMS)
def test_services_may_send_traces_to_a_collector_where_monitoring_is(name: str) -> None:
    to = [{"namespaceSelector": {"matchLabels": {"lwmecps.io/monitoring": "true"}}}]
    policies = [policy["spec"] for policy in of_kind(render(name), "NetworkPolicy")]
    for owner in services_of_ours(render(name)):
        labels = labels_of(pods(render(name))[owner])
        rules = [rule for p in policies if selects(p["podSelector"], labels) for rule in p.get("egress", ())]
        assert {"to": to, "ports": [{"port": 4318}]} in rules, owner


def labels_of(pod: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return labels


def _may_talk(manifests: tuple[dict[str, Any], ...], source: str, target: str) -> bool:
    """Whether policies let one of our pods open a connection to another's first port: both sides must agree."""
    templates = pods(manifests)
    a, b = labels_of(templates[source]), labels_of(templates[target])
    port = templates[target]["spec"]["containers"][0]["ports"][0]
    names = {port["name"], port["containerPort"]}
    policies = [policy["spec"] for policy in of_kind(manifests, "NetworkPolicy")]
    out = [rule for p in policies if selects(p["podSelector"], a) for rule in p.get("egress", ())]
    into = [rule for p in policies if selects(p["podSelector"], b) for rule in p.get("ingress", ())]
    return _lets(out, "to", b, names) and _lets(into, "from", a, names)


def _lets(rules: list[dict[str, Any]], side: str, peer: dict[str, str], port: set[str | int]) -> bool:
    def fits(rule: dict[str, Any]) -> bool:
        peers = rule.get(side)
        # Our own namespace carries no labels that a namespace selector asks for, and pods are in no block of addresses.
        known = peers is None or any(
            selects(p.get("podSelector", {}), peer)
            for p in peers
            if not p.get("namespaceSelector") and "ipBlock" not in p
        )
        return known and ("ports" not in rule or any(p["port"] in port for p in rule["ports"]))

    return any(fits(rule) for rule in rules)


def documentation() -> str:
    return (ROOT / "docs" / "deploy.md").read_text()


def _documented_secrets() -> dict[str, set[str]]:
    """Secrets that docs/deploy.md makes by `kubectl create secret`, and their keys."""
    commands = re.findall(r"create secret generic ([\w-]+)((?:[^\n]*\\\n)*[^\n]*)", documentation())
    return {name: set(re.findall(r"--from-(?:literal|file)=([\w.-]+)=", rest)) for name, rest in commands}
