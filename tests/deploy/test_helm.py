import copy
from typing import Any

import pytest

from tests.deploy.rendering import CHART, SECRETS, containers, helm, helm_python, of_kind, render

PRODUCTION = {"secrets": {"existingSecret": "lwmecps"}, "tls": {"insecure": True}}
NAMES_OF_ITS_OWN = ("ClusterRole", "ClusterRoleBinding")


def _plain(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without what only one of the two ways has: labels of the release, the namespace, the image's tag."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if not isinstance(value, dict):
            return value
        dropped = ("app.kubernetes.io/instance", "namespace", "imagePullPolicy")
        return {key: clean(item) for key, item in value.items() if key not in dropped}

    plain: dict[str, Any] = clean(copy.deepcopy(manifest))
    for box in plain.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        if box["image"].startswith("lwmecps:"):
            box["image"] = "lwmecps"
        ours = ("WANDB_PROJECT", *(f"LWMECPS_{name}_INSECURE" for name in ("REGISTRY", "LEARNER", "GATEWAY")))
        box["env"] = [entry for entry in box["env"] if entry["name"] not in ours]
        if box["name"] == "env":  # the collector's stands in both
            box["env"] = [entry for entry in box["env"] if entry["name"] != "LWMECPS_ENV_INSECURE"]
    return plain


def test_the_chart_renders_what_the_kustomize_base_and_its_gateway_hold() -> None:
    base = {(m["kind"], m["metadata"]["name"]): _plain(m) for m in render("gateway") if m["kind"] != "Namespace"}
    chart = {(m["kind"], m["metadata"]["name"]): _plain(m) for m in helm(PRODUCTION)}
    rights = {key for key in chart if key[0] in (*NAMES_OF_ITS_OWN, "Role", "RoleBinding")}
    assert chart.keys() - rights == base.keys()
    for key, manifest in base.items():
        assert chart[key] == manifest, key


def test_without_the_gateway_the_chart_renders_the_base() -> None:
    names = {(m["kind"], m["metadata"]["name"]) for m in helm({**PRODUCTION, "gateway": {"enabled": False}})}
    rights = {key for key in names if key[0] in (*NAMES_OF_ITS_OWN, "Role", "RoleBinding")}
    base = {(m["kind"], m["metadata"]["name"]) for m in render("base") if m["kind"] != "Namespace"}
    assert names - rights == base


def test_an_ingress_leads_to_the_gateway_and_needs_a_host() -> None:
    manifests = render("helm-everything")
    (ingress,) = of_kind(manifests, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = path["backend"]["service"]
    (found,) = [m for m in of_kind(manifests, "Service") if m["metadata"]["name"] == service["name"]]
    assert service["port"]["name"] in {port["name"] for port in found["spec"]["ports"]}
    assert rule["host"] == "mec.example.com" and ingress["spec"]["tls"][0]["secretName"] == "mec"
    with pytest.raises(helm_python.HelmRenderError, match=r"set gateway\.ingress\.host"):
        helm({**SECRETS, "gateway": {"ingress": {"enabled": True}}})


def test_the_chart_grants_what_kustomize_grants() -> None:
    rules = {
        way: {m["kind"]: m["rules"] for m in of_kind(manifests, "Role", "ClusterRole")}
        for way, manifests in (("helm", helm(SECRETS)), ("kustomize", render("managed")))
    }
    assert rules["helm"] == rules["kustomize"] and set(rules["helm"]) == {"Role", "ClusterRole"}


def test_the_values_that_users_know_are_honoured() -> None:
    resources = {"requests": {"cpu": "1500m", "memory": "3Gi"}, "limits": {"memory": "5Gi"}}
    manifests = helm(
        {
            **SECRETS,
            "image": {"repository": "registry.example.com/edge/lwmecps", "tag": "7", "pullPolicy": "Always"},
            "wandb": {"enabled": True, "apiKey": "k", "projectName": "city", "entity": "team"},
            "resources": resources,
            "kubernetes": {"namespace": "mec"},
        }
    )
    learner = containers(manifests)["lwmecps-learner"]
    assert (learner["image"], learner["imagePullPolicy"]) == ("registry.example.com/edge/lwmecps:7", "Always")
    assert all(
        containers(manifests)[f"lwmecps-{n}"]["resources"] == resources for n in ("registry", "env", "collector")
    )
    values = {entry["name"]: entry.get("value") for entry in learner["env"]}
    assert (values["WANDB_PROJECT"], values["WANDB_ENTITY"]) == ("city", "team") and "WANDB_API_KEY" in values
    assert of_kind(manifests, "Secret")[0]["stringData"]["wandb-api-key"] == "k"
    assert {m["metadata"]["namespace"] for m in of_kind(manifests, "Role", "RoleBinding")} == {"mec"}


def test_without_wandb_metrics_stay_in_files() -> None:
    learner = containers(helm({**SECRETS, "wandb": {"enabled": False}}))["lwmecps-learner"]
    values = {entry["name"]: entry.get("value") for entry in learner["env"]}
    assert values["LWMECPS_TRACKING"] == "jsonl" and not [name for name in values if name.startswith("WANDB")]


def test_a_mistyped_value_is_refused_by_name() -> None:
    with pytest.raises(helm_python.HelmValuesError, match="apikey"):
        helm({**SECRETS, "wandb": {"apikey": "k"}})


def test_without_secrets_the_chart_says_what_to_set() -> None:
    with pytest.raises(helm_python.HelmRenderError, match=r"set secrets\.token, or secrets\.existingSecret"):
        helm({"tls": {"insecure": True}})


def test_without_tls_the_chart_says_what_to_set() -> None:
    with pytest.raises(helm_python.HelmRenderError, match=r"set tls\.existingSecret, or tls\.insecure"):
        helm({**SECRETS, "tls": {"insecure": False}})


def test_two_releases_do_not_get_in_each_others_way() -> None:
    chart = helm_python.Chart.load(CHART)
    texts = [
        "\n".join(
            text for path, text in chart.render(SECRETS, name=name, namespace=namespace).items() if "rbac" in path
        )
        for name, namespace in (("a", "x"), ("b", "x"), ("a", "y"))
    ]
    assert "name: x-a-env" in texts[0] and "name: x-b-env" in texts[1] and "name: y-a-env" in texts[2]


def test_helm_finds_nothing_to_say_but_that_an_icon_would_be_nice() -> None:
    report = helm_python.chart.lint(CHART, SECRETS, strict=True)
    assert report["errors"] == [] and [m["error"] for m in report["messages"]] == ["icon is recommended"]
