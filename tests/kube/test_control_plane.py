"""The control plane of scripts/kube itself: what the other tests on it rely upon."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from scripts.kube import BinariesMissing, ControlPlane, control_plane, find_binaries
from scripts.kube.nodes import FakeNode, named_nodes
from tests.kube.cluster import until

NAMESPACE = "control-plane-tests"
needs_servers = pytest.mark.kube


def deployment(name: str, replicas: int, cpu: str = "100m", annotations: dict[str, str] | None = None) -> dict:
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": cpu}}}
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [container]},
            },
        },
    }


class Kube:
    """A namespace of the control plane, emptied after each test."""

    def __init__(self, cluster: ControlPlane) -> None:
        api = cluster.client()
        self.core, self.apps = client.CoreV1Api(api), client.AppsV1Api(api)

    def deploy(self, name: str, replicas: int, **what: Any) -> None:
        self.apps.create_namespaced_deployment(NAMESPACE, deployment(name, replicas, **what))

    def scale(self, name: str, replicas: int) -> None:
        self.apps.patch_namespaced_deployment_scale(name, NAMESPACE, {"spec": {"replicas": replicas}})

    def pods(self, name: str) -> list[client.V1Pod]:
        return self.core.list_namespaced_pod(NAMESPACE, label_selector=f"app={name}").items

    def ready(self, name: str) -> int:
        conditions = [condition for pod in self.pods(name) for condition in pod.status.conditions or ()]
        return sum(condition.type == "Ready" and condition.status == "True" for condition in conditions)

    def node_is_ready(self, name: str) -> bool:
        conditions = self.core.read_node(name).status.conditions
        return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


@pytest.fixture
def kube(control_plane: ControlPlane) -> Iterator[Kube]:
    kube = Kube(control_plane)
    try:
        kube.core.create_namespace({"metadata": {"name": NAMESPACE}})
    except client.ApiException as refused:
        if refused.status != 409:
            raise
    until(lambda: kube.core.list_namespaced_service_account(NAMESPACE).items, "the namespace takes pods")
    yield kube
    kube.apps.delete_collection_namespaced_deployment(NAMESPACE)
    until(lambda: not kube.core.list_namespaced_pod(NAMESPACE).items, "the test's pods are gone")


@needs_servers
def test_three_replicas_become_ready_on_the_fake_nodes(kube: Kube) -> None:
    kube.deploy("three", 3)
    until(lambda: kube.ready("three") == 3, "three pods are ready")
    assert {pod.spec.node_name for pod in kube.pods("three")} <= {f"node-{i}" for i in range(4)}


@needs_servers
def test_scaling_up_and_down_leaves_as_many_pods_as_asked_for(kube: Kube) -> None:
    kube.deploy("scaled", 1)
    for replicas in (6, 2):
        kube.scale("scaled", replicas)
        until(lambda n=replicas: kube.ready("scaled") == n == len(kube.pods("scaled")), f"{replicas} pods are ready")


@needs_servers
def test_a_pod_that_fits_nowhere_shows_the_schedulers_message(kube: Kube) -> None:
    kube.deploy("huge", 1, cpu="9")

    def message() -> str:
        conditions = [c for pod in kube.pods("huge") for c in pod.status.conditions or ()]
        return next((c.message for c in conditions if c.reason == "Unschedulable"), "")

    assert " Insufficient cpu" in until(message, "the scheduler gives up")


@needs_servers
def test_a_pod_may_be_told_to_run_without_ever_becoming_ready(kube: Kube) -> None:
    kube.deploy("never", 1, annotations={"fake-nodes/ready-after": "never"})
    until(lambda: [pod.status.phase for pod in kube.pods("never")] == ["Running"], "the pod runs")
    assert kube.ready("never") == 0


@needs_servers
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_objects_survive_a_restart_of_the_api_server_and_pods_still_start(
    control_plane: ControlPlane, kube: Kube, kill: bool
) -> None:
    kube.deploy("kept", 1)
    until(lambda: kube.ready("kept") == 1, "the pod is ready")
    before = kube.pods("kept")[0].metadata.uid
    control_plane.restart("kube-apiserver", kill=kill)
    assert [pod.metadata.uid for pod in kube.pods("kept")] == [before]
    kube.scale("kept", 3)
    until(lambda: kube.ready("kept") == 3, "more pods are ready after the restart")


@needs_servers
def test_what_etcd_was_told_is_there_after_it_was_stopped_and_started(control_plane: ControlPlane, kube: Kube) -> None:
    kube.deploy("stored", 1)
    control_plane.stop("etcd", kill=True)
    control_plane.start("etcd")
    until(lambda: kube.ready("stored") == 1, "the pod is ready")


@needs_servers
def test_a_dead_node_becomes_not_ready_and_comes_back(control_plane: ControlPlane, kube: Kube) -> None:
    control_plane.kill_node("node-3")
    try:
        until(lambda: not kube.node_is_ready("node-3"), "the node's death is noticed")
        assert kube.node_is_ready("node-2")
    finally:
        control_plane.revive_node("node-3")
    until(lambda: kube.node_is_ready("node-3"), "the node is back")
    until(lambda: not kube.core.read_node("node-3").spec.taints, "the node takes pods again")


@needs_servers
def test_a_user_and_a_service_account_may_do_what_they_were_granted_and_no_more(
    control_plane: ControlPlane, kube: Kube
) -> None:
    kube.core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "robot"}})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    for subject, kubeconfig in (
        ("reader", control_plane.user_kubeconfig("reader")),
        (f"{NAMESPACE}:robot", control_plane.account_kubeconfig("robot", NAMESPACE)),
    ):
        core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        with pytest.raises(client.ApiException, match="pods is forbidden"):
            core.list_namespaced_pod(NAMESPACE)
        control_plane.grant(subject, rules, NAMESPACE)
        until(lambda core=core: _allowed(core), f"{subject} may list pods")
        with pytest.raises(client.ApiException, match="secrets is forbidden"):
            core.list_namespaced_secret(NAMESPACE)


def _allowed(core: client.CoreV1Api) -> bool:
    try:
        core.list_namespaced_pod(NAMESPACE)
    except client.ApiException as refused:
        assert refused.status == 403
        return False
    return True


@needs_servers
def test_two_stand_side_by_side_and_nothing_is_left_of_the_one_that_goes(
    control_plane: ControlPlane, kube: Kube
) -> None:
    with _another() as other:
        state, ports = other.state, other.ports
        pids = [int(file.read_text().split()[0]) for file in (state / "pid").iterdir()]
        assert len(pids) == 5 and not set(ports) & set(control_plane.ports)
        assert [node.metadata.name for node in Kube(other).core.list_node().items] == ["lonely"]
    assert not state.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert kube.core.list_node().items


def _another() -> Any:
    return control_plane(nodes=[FakeNode("lonely", cpu="2")])


@needs_servers
def test_a_server_that_will_not_start_is_named_with_the_end_of_its_log(
    control_plane_binaries: None, tmp_path: Path
) -> None:
    cluster = ControlPlane(tmp_path, find_binaries(), flags={"etcd": ["--no-such-flag"]})
    with pytest.raises(RuntimeError, match=r"etcd ended.*(?s:.*)no-such-flag"):
        cluster.up()
    cluster.down()


def test_a_folder_without_all_servers_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    for server in ("etcd", "kube-apiserver"):
        (tmp_path / server).touch(mode=0o700)
    with pytest.raises(BinariesMissing, match="lacks kube-controller-manager, kube-scheduler"):
        find_binaries()


def test_nodes_are_read_from_a_file_and_a_wrong_entry_is_named(tmp_path: Path) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text("- {name: edge-1, cpu: '2', labels: {zone: north}}\n- {name: edge-2}\n")
    assert named_nodes(file) == [FakeNode("edge-1", cpu="2", labels={"zone": "north"}), FakeNode("edge-2")]
    file.write_text("- {name: edge-1}\n- {name: edge-2, processor: 4}\n")
    with pytest.raises(ValueError, match=r"nodes\.yaml, entry 1.*processor"):
        named_nodes(file)
