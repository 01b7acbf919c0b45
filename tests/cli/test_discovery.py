"""`lwmecps task discover`: what becomes of manifests, one by one and beside odd ones."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import DeploymentSpec, KubernetesSpec, TaskSpec
from lwmecps_core.tasks.files import load_task
from services.cli.discovery import Listed, task_of
from services.cli.main import app

NODES = ("node-1", "node-2", "node-3", "node-4")
REQUESTS = {"requests": {"cpu": "500m", "memory": "256Mi"}}


def _node(name: str, ready: bool = True, memory: str = "16Gi", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "8", "memory": memory},
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def _deployment(name: str, resources: Any = REQUESTS, replicas: int = 2, selector: Any = None, **pod: Any) -> Any:
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": selector or {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "resources": resources}], **pod},
            },
        },
    }


def _pod(name: str, owner: str, node: str, app: str = "", **more: Any) -> dict[str, Any]:
    """A pod of the ReplicaSet of a Deployment `owner` (empty: nobody's)."""
    owners = [{"kind": "ReplicaSet", "name": f"{owner}-5f7", "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": more.get("created", "2026-01-01T00:00:00Z"),
            "labels": {"app": app or owner, "pod-template-hash": "5f7"},
            "ownerReferences": owners,
        },
        "spec": {"nodeName": node, "containers": more.get("containers", [{"resources": REQUESTS}])},
        "status": {"phase": more.get("phase", "Running")},
    }


def _found(*deployments: Any, nodes: Any = None, **listed: Any) -> tuple[TaskSpec, str]:
    listed["nodes"] = nodes or [_node(name) for name in NODES]
    task, said = task_of(Listed(deployments=deployments, **listed), KubernetesSpec(), "lwmecps-v4", "here")
    return task, "\n".join(said)


def _only(*deployments: Any, **listed: Any) -> DeploymentSpec:
    task, _ = _found(*deployments, **listed)
    (spec,) = task.deployments
    return spec


def test_a_selector_of_expressions_only_is_found_with_its_pods() -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}
    pods = [_pod(f"web-{i}", "web", node) for i, node in enumerate(("node-3", "node-3", "node-1"))]
    spec = _only(_deployment("web", selector=selector), pods=pods)
    assert (spec.allowed_nodes[0], spec.initial_replicas) == ("node-3", 2)
    assert (spec.cpu_millicores, spec.ram_mib) == (500.0, 256.0)


def test_pods_belong_to_their_owner_not_to_whoever_selects_their_labels() -> None:
    others = [_pod(f"other-{i}", "other", "node-4", app="web") for i in range(3)]
    bare = [_pod(f"bare-{i}", "", "node-3", app="web") for i in range(3)]
    ended = [_pod(f"ended-{i}", "web", "node-1", phase="Failed") for i in range(3)]
    spec = _only(_deployment("web"), pods=[*others, *bare, *ended, _pod("web-1", "web", "node-2")])
    assert spec.allowed_nodes == ("node-2", "node-1", "node-3", "node-4")


def test_limits_stand_in_for_requests_and_a_namespaces_defaults_for_both() -> None:
    limits = {"limits": {"cpu": "500m", "memory": "256Mi"}}
    spec = _only(_deployment("web", limits))
    assert (spec.cpu_millicores, spec.ram_mib) == (500.0, 256.0)
    ranges = [
        {"type": "Pod", "max": {"cpu": "4"}},
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "125m", "memory": "64Mi"}},
    ]
    spec = _only(_deployment("web", {}), limit_ranges=[{"metadata": {"name": "l"}, "spec": {"limits": ranges}}])
    assert (spec.cpu_millicores, spec.ram_mib) == (125.0, 64.0)


def test_zero_replicas_stay_zero() -> None:
    spec = _only(_deployment("web", replicas=0))
    assert (spec.initial_replicas, spec.max_replicas) == (0, 4)


def test_many_replicas_leave_the_headroom_that_a_task_may_have() -> None:
    spec = _only(_deployment("web", replicas=700))
    assert (spec.initial_replicas, spec.max_replicas) == (700, 1000)


def test_an_init_container_is_what_the_scheduler_reserves() -> None:
    load = {"name": "load", "resources": {"requests": {"cpu": "3", "memory": "6Gi"}}}
    spec = _only(_deployment("web", initContainers=[load]))
    assert (spec.cpu_millicores, spec.ram_mib) == (3000.0, 6144.0)


def test_what_admission_added_to_the_newest_pod_counts_and_is_said() -> None:
    sidecar = {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    old = _pod("a", "web", "node-1")
    new = _pod("b", "web", "node-1", containers=[{"resources": REQUESTS}, sidecar], created="2026-01-02T00:00:00Z")
    task, said = _found(_deployment("web"), pods=[new, old])
    assert (task.deployments[0].cpu_millicores, task.deployments[0].ram_mib) == (600.0, 320.0)
    assert "web" in said and "600m" in said and "500m" in said


def test_its_own_selector_affinity_and_taints_narrow_where_a_deployment_may_be() -> None:
    nodes = [_node("node-1"), _node("node-2"), _node("node-3", unschedulable=True)]
    nodes.append(_node("node-4", taints=[{"key": "gpu", "effect": "NoSchedule"}]))
    pinned = _deployment("pinned", nodeSelector={"kubernetes.io/hostname": "node-2"})
    not_1 = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-1"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [not_1]}}
    affine = _deployment(
        "affine", affinity={"nodeAffinity": required}, tolerations=[{"key": "gpu", "operator": "Exists"}]
    )
    task, _ = _found(pinned, affine, _deployment("free"), nodes=nodes, pods=[_pod("p", "pinned", "node-1")])
    assert [sorted(d.allowed_nodes) for d in task.deployments] == [
        ["node-2"],
        ["node-2", "node-4"],
        ["node-1", "node-2"],
    ]
    assert [node.name for node in task.cluster.nodes] == list(NODES)  # users are there all the same


def test_one_odd_object_costs_that_object_and_is_named() -> None:
    odd = [
        _deployment("silent", {}),
        _deployment("nowhere", nodeSelector={"disk": "ssd"}),
        _deployment("many", replicas=2000),
        _deployment("strange", {"requests": {"cpu": "lots", "memory": "1Gi"}}),
        {"metadata": {"name": "empty"}, "spec": {}},
    ]
    pool = _deployment("web-node-1")
    pool["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "lwmecps", "lwmecps.io/pool": "web-node-1"}
    nodes = [_node("node-1"), _node("small", memory="0"), _node("away", ready=False)]
    pods = [_pod("odd-pod", "web", "node-1", containers=[{"resources": {"requests": {"cpu": "x"}}}])]
    task, said = _found(*odd, pool, _deployment("web"), nodes=nodes, pods=pods)
    assert [d.name for d in task.deployments] == ["web"] and [n.name for n in task.cluster.nodes] == ["node-1"]
    for name in ("silent", "nowhere", "many", "strange", "empty", "web-node-1", "small", "away", "odd-pod"):
        (line,) = [line for line in said.splitlines() if f" {name} left out: " in line]
        assert "Error" not in line or name in ("strange", "empty", "odd-pod")


def test_where_nothing_is_left_the_error_says_of_each_object_why() -> None:
    with pytest.raises(
        InvalidInput, match=r"0 Deployments in 'default'.*silent left out: requests no cpu and no memory"
    ):
        _found(_deployment("silent", {}))


def test_constraints_that_no_task_has_are_said() -> None:
    spread = [{"whenUnsatisfiable": "DoNotSchedule"}]
    task, said = _found(
        _deployment("spread", topologySpreadConstraints=spread), _deployment("web", runtimeClassName="kata")
    )
    assert "spread left out: topologySpreadConstraints, which no task says" in said and "runtime class kata" in said
    assert [d.name for d in task.deployments] == ["web"]


def _quota(hard: Any, used: Any) -> Any:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used}}


def test_a_quota_bounds_how_far_a_deployment_may_grow() -> None:
    quotas = [_quota({"requests.cpu": "2"}, {"requests.cpu": "1500m"})]
    pods = [_pod(f"web-{i}", "web", "node-1") for i in range(2)]
    task, said = _found(_deployment("web"), pods=pods, quotas=quotas)
    assert task.deployments[0].max_replicas == 3  # others use 500m of the 2
    assert "web: at most 3 replicas by ResourceQuota q (requests.cpu)" in said
    full = [_quota({"pods": 2}, {"pods": 2})]
    task, said = _found(_deployment("web"), _deployment("more", replicas=0), pods=pods, quotas=full)
    assert "Deployment more left out: ResourceQuota q (pods) has no room" in said
    assert [(d.name, d.max_replicas) for d in task.deployments] == [("web", 2)]


def test_pods_that_a_limit_range_refuses_are_left_out() -> None:
    ranges = [{"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "min": {"cpu": "1"}}]}}]
    big = {"requests": {"cpu": "2", "memory": "1Gi"}}
    task, said = _found(_deployment("web"), _deployment("big", big), limit_ranges=ranges)
    assert "web left out: LimitRange l: container main requests 500m of cpu, at least 1000m" in said
    assert [d.name for d in task.deployments] == ["big"]


def test_other_writers_of_replicas_are_said() -> None:
    raw = _deployment("web")
    fields = {"f:spec": {"f:replicas": {}}}
    raw["metadata"]["managedFields"] = [{"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields}]
    _, said = _found(raw, autoscalers={"web": ["HorizontalPodAutoscaler h"]})
    assert "also written by HorizontalPodAutoscaler h, field manager argocd-controller: `manage` refuses" in said


class _ApiServer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        resource = self.path.partition("?")[0].rpartition("/")[2]
        found = self.server.objects.get(resource)  # type: ignore[attr-defined]
        self.send_response(200 if found is not None else 403)
        self.end_headers()
        self.wfile.write(json.dumps({"items": found} if found is not None else {"message": "no"}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Any]:
    """`serving(resource=objects)`: the arguments that reach an API server which lists these, and forbids the rest."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ApiServer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def arguments(**objects: Any) -> list[str]:
        server.objects = objects  # type: ignore[attr-defined]
        return ["task", "discover", "--kubeconfig", _kubeconfig(tmp_path, server.server_port)]

    yield arguments
    server.shutdown()
    server.server_close()


def _kubeconfig(folder: Path, port: int) -> str:
    entry = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **entry}))
    return str(file)


def test_the_command_writes_a_task_file_and_says_beside_it_what_was_left_out(serving: Any, tmp_path: Path) -> None:
    deployments = [_deployment("web", replicas=0), _deployment("silent", {})]
    command = serving(nodes=[_node(name) for name in NODES], deployments=deployments, pods=[])
    made = CliRunner().invoke(app, [*command, "--namespace", "edge"])
    assert made.exit_code == 0, made.stderr
    assert "Deployment silent left out" in made.stderr and "limitranges in namespace edge" in made.stderr
    file = tmp_path / "task.yaml"
    file.write_text(made.stdout)
    task = load_task(file)
    assert isinstance(task, TaskSpec) and [d.initial_replicas for d in task.deployments] == [0]


def test_what_may_not_be_listed_and_a_bad_namespace_are_told_in_one_line(serving: Any) -> None:
    refused = CliRunner().invoke(app, serving(limitranges=[], nodes=[]))
    assert refused.exit_code == 4 and "list deployments in namespace default" in refused.stderr
    refused = CliRunner().invoke(app, [*serving(), "--namespace", "a/b"])
    assert refused.exit_code == 2 and "options: namespace" in refused.stderr


@pytest.mark.parametrize("text", ["a: [b", "- a", "3", "clusters: 3\n"])
def test_a_file_that_is_no_kubeconfig_is_named(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "config").write_text(text)
    refused = CliRunner().invoke(app, ["task", "discover", "--kubeconfig", str(file)])
    assert refused.exit_code == 2 and str(file) in refused.stderr.replace("\n", "")
