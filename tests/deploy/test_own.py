"""Databases, nodes, annotations and a Prometheus of one's own: by the chart's values and by Kustomize's components."""

import re
from typing import Any

import pytest
import yaml

from services.common.settings import read
from tests.deploy.rendering import (
    ROOT,
    SECRETS,
    SETTINGS,
    environment,
    helm,
    helm_python,
    of_kind,
    pods,
    render,
    selects,
    services_of_ours,
)
from tests.deploy.test_manifests import documentation, labels_of

SERVED = ("registry", "env", "learner", "gateway")
URLS = {"REDIS_URL": "redis://:p@h:6379/0", "DATABASE_URL": "postgresql+psycopg://u:p@h/n"}


@pytest.mark.parametrize("name", ["placed", "helm-own"])
def test_databases_of_ones_own_take_the_place_of_ours_and_can_be_reached(name: str) -> None:
    manifests = render(name)
    names = {m["metadata"]["name"] for m in manifests}
    assert not names & {"lwmecps-redis", "lwmecps-postgres"} or name == "helm-own"
    assert not of_kind(manifests, "StatefulSet")
    assert {m["metadata"]["name"] for m in of_kind(manifests, "Service")} == {f"lwmecps-{n}" for n in SERVED}
    for owner, box in services_of_ours(manifests).items():
        prefix, cls = SETTINGS[box["args"][0]]
        given = environment(box)
        if name == "placed":  # a Secret holds the URLs
            given = {k: URLS.get(k.removeprefix(prefix), v) for k, v in given.items()}
        settings: Any = read(cls, prefix, given)
        if owner.endswith(("-learner", "-collector")):
            host, port = ("redis.example.com", 6380) if name == "helm-own" else ("h", 6379)
            assert f"@{host}:" in settings.redis_url and "REDIS_PASSWORD" not in settings.redis_url
            assert _reaches(manifests, owner, port)
        if owner.endswith("-registry"):
            assert "@db.example.com:5432/runs?sslmode=require" in settings.database_url or name == "placed"
            assert _reaches(manifests, owner, 5432)


@pytest.mark.parametrize("name", ["placed", "helm-own"])
def test_pods_go_where_one_wants_them_and_carry_what_one_adds(name: str) -> None:
    manifests = render(name)
    for owner, pod in pods(manifests).items():
        own = name == "helm-own" and owner.endswith("-learner")
        spec, annotations = pod["spec"], pod["metadata"]["annotations"]
        assert spec["imagePullSecrets"] == [{"name": "registry-login"}]
        assert spec["nodeSelector"] == {"example.com/pool": "gpu" if own else "mec"}
        assert spec["tolerations"] == [{"key": "example.com/mec", "operator": "Exists"}]
        assert annotations["example.com/team"] == ("learning" if own else "edge")
        assert annotations.get("prometheus.io/port") == (None if owner.endswith("-gateway") else "9100")
        if name == "helm-own":
            assert spec["affinity"] == {"podAntiAffinity": {}}
            assert environment(spec["containers"][0])["HTTPS_PROXY"] == "http://proxy:3128"
            assert ("LWMECPS_LEARNER_SLOTS" in environment(spec["containers"][0])) is own
    (claim,) = of_kind(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"] == "fast"


@pytest.mark.parametrize("name", ["placed", "helm-own"])
def test_the_prometheus_operator_finds_every_metrics_port_once(name: str) -> None:
    manifests = render(name)
    (services,) = of_kind(manifests, "ServiceMonitor")
    (by_pod,) = of_kind(manifests, "PodMonitor")
    found = []
    for service in of_kind(manifests, "Service"):
        if selects(services["spec"]["selector"], service["metadata"]["labels"]):
            assert services["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
            found.append(service["metadata"]["name"])
    for owner, pod in pods(manifests).items():
        if selects(by_pod["spec"]["selector"], labels_of(pod)):
            found.append(owner)
    assert sorted(found) == sorted(owner for owner in services_of_ours(manifests) if not owner.endswith("-gateway"))


def test_our_databases_may_be_placed_and_kept_too() -> None:
    own = {"nodeSelector": {"disk": "ssd"}, "storageClass": "local", "podAnnotations": {"backup": "yes"}}
    manifests = helm({**SECRETS, "redis": own, "postgres": own})
    for owner in ("lwmecps-redis", "lwmecps-postgres"):
        pod = pods(manifests)[owner]
        assert pod["spec"]["nodeSelector"] == {"disk": "ssd"} and pod["metadata"]["annotations"] == {"backup": "yes"}
        (claim,) = next(m for m in of_kind(manifests, "StatefulSet") if m["metadata"]["name"] == owner)["spec"][
            "volumeClaimTemplates"
        ]
        assert claim["spec"]["storageClassName"] == "local"


@pytest.mark.parametrize(
    "values",
    [
        {"nodeSelector": {"a": 1}},
        {"tolerations": {"key": "a"}},
        {"affinity": {"nodeAfinity": {}}},
        {"imagePullSecrets": ["registry-login"]},
        {"extraEnv": [{"key": "A", "value": "b"}]},
        {"podAnnotations": {"a": True}},
        {"storageClass": 3},
        {"serviceMonitor": {"interval": "soon"}},
        {"redis": {"external": {"host": "redis://h"}}},
        {"redis": {"external": {"url": "redis://h"}}},
        {"postgres": {"external": {"host": "h", "sslmode": "on"}}},
        {"learner": {"nodeselector": {}}},
        {"learner": {"keda": "yes"}},
        {"gateway": {"ingress": {"host": "http://mec.example.com"}}},
        {"gateway": {"ingres": {}}},
    ],
    ids=str,
)
def test_a_value_of_another_form_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        helm({**SECRETS, **values})


def test_keda_watches_a_redis_of_ones_own_by_tls() -> None:
    manifests = render("helm-own")
    metadata = of_kind(manifests, "ScaledObject")[0]["spec"]["triggers"][0]["metadata"]
    assert (metadata["address"], metadata["enableTLS"], metadata["username"]) == (
        "redis.example.com:6380",
        "true",
        "edge",
    )
    assert not [m for m in of_kind(manifests, "NetworkPolicy") if m["metadata"]["name"] == "lwmecps-keda"]


def test_the_overlay_for_databases_of_ones_own_is_the_one_that_the_documentation_shows() -> None:
    shown = re.search(r"```yaml\n(apiVersion: kustomize[^`]*components/external-redis\n[^`]*)```", documentation())
    tested = (ROOT / "tests" / "deploy" / "placed" / "kustomization.yaml").read_text()
    moved = tested.replace("../../../deploy/kustomize/overlays/", "../").replace("../../../deploy/kustomize/", "../../")
    assert shown and yaml.safe_load(moved) == yaml.safe_load(shown[1])


def _reaches(manifests: tuple[dict[str, Any], ...], owner: str, port: int) -> bool:
    """Whether a policy lets the pods of an owner out to a port of any address."""
    labels = labels_of(pods(manifests)[owner])
    policies = [policy["spec"] for policy in of_kind(manifests, "NetworkPolicy")]
    rules = [rule for p in policies if selects(p["podSelector"], labels) for rule in p.get("egress", ())]
    return any(
        {"port": port} in rule.get("ports", ()) and any("ipBlock" in peer for peer in rule.get("to", ()))
        for rule in rules
    )
