"""`lwmecps task discover` on a real control plane: what its API server and controllers make of manifests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.files import load_task
from scripts.kube import ControlPlane
from services.cli.main import app
from tests.kube.cluster import namespace, until

pytestmark = pytest.mark.kube
REQUESTS = {"requests": {"cpu": "500m", "memory": "256Mi"}}


def _manifest(name: str, resources: Any, replicas: int = 2, expressions: bool = False, **pod: Any) -> dict[str, Any]:
    labels = {"app": name}
    expression = {"matchExpressions": [{"key": "app", "operator": "In", "values": [name]}]}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": expression if expressions else {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "example/app:1", "resources": resources}], **pod},
            },
        },
    }


def test_manifests_of_all_kinds_are_discovered(control_plane: ControlPlane, tmp_path: Path) -> None:
    load = {"name": "load", "image": "example/load:1", "resources": {"requests": {"cpu": "3", "memory": "6Gi"}}}
    manifests = [
        _manifest("by-expression", REQUESTS, expressions=True),
        _manifest("limits-only", {"limits": {"cpu": "500m", "memory": "256Mi"}}),
        _manifest("pinned", REQUESTS, nodeSelector={"kubernetes.io/hostname": "node-2"}),
        _manifest("switched-off", REQUESTS, replicas=0),
        _manifest("warms-up", REQUESTS, initContainers=[load]),
        _manifest("silent", {}),
    ]
    with namespace(control_plane) as bench:
        for manifest in manifests:
            bench.apps.create_namespaced_deployment(bench.namespace, manifest)
        command = ["task", "discover", "--kubeconfig", str(control_plane.kubeconfig), "--namespace", bench.namespace]
        made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.stderr
    assert "Deployment silent left out: requests no cpu and no memory" in made.stderr
    (file := tmp_path / "task.yaml").write_text(made.stdout)
    task = load_task(file)
    assert isinstance(task, TaskSpec)
    found = {d.name: (d.cpu_millicores, d.ram_mib, d.initial_replicas) for d in task.deployments}
    assert found == {
        "by-expression": (500.0, 256.0, 2),
        "limits-only": (500.0, 256.0, 2),
        "pinned": (500.0, 256.0, 2),
        "switched-off": (500.0, 256.0, 0),
        "warms-up": (3000.0, 6144.0, 2),
    }
    assert {d.name: d.allowed_nodes for d in task.deployments}["pinned"] == ("node-2",)


def test_a_dump_of_a_cluster_is_what_is_discovered_there(control_plane: ControlPlane, tmp_path: Path) -> None:
    api = Api(control_plane.kubeconfig)
    lists = {"Node": "/api/v1/nodes", "Deployment": "/apis/apps/v1/deployments", "Pod": "/api/v1/pods"}
    with namespace(control_plane) as bench:
        for manifest in (_manifest("web", REQUESTS), _manifest("db", REQUESTS, 1, nodeSelector={"no": "where"})):
            bench.apps.create_namespaced_deployment(bench.namespace, manifest)
        until(lambda: [bool(at) for at, _ in bench.pods_at()] == [False, True, True], "two pods have a node")
        listed = {kind: api.persist(30.0, "GET", path, {})["items"] for kind, path in lists.items()}
        command = ["task", "discover", "--kubeconfig", str(control_plane.kubeconfig), "--namespace", bench.namespace]
        discovered = CliRunner().invoke(app, command)
        dumped = {"items": [{"kind": kind, **item} for kind, items in listed.items() for item in items], "kind": "List"}
        (tmp_path / "dump.json").write_text(json.dumps(dumped, indent=4))
        (tmp_path / "dump.yaml").write_text(yaml.safe_dump(dumped))
        (tmp_path / "discovered.yaml").write_text(discovered.stdout)
        task = load_task(tmp_path / "discovered.yaml")
        for form in ("json", "yaml"):
            command = ["import", "kubectl", str(tmp_path / f"dump.{form}"), "--namespace", bench.namespace]
            made = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "task.json")])
            assert made.exit_code == 0, made.stderr
            assert load_task(tmp_path / "task.json") == task and "Deployment db left out" in made.stderr
