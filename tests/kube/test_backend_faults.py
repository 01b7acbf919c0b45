"""What a real cluster does wrong: servers that go away, rights that are missing, nodes that vanish, rivals."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from kubernetes import client

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.cluster.kubernetes_objects import deployment_of
from lwmecps_core.cluster.kubernetes_watch import Watched
from lwmecps_core.errors import AccessDenied, ClusterUnavailable, Conflict, WrongState
from lwmecps_core.specs import DeploymentSpec
from lwmecps_core.testing.backends import settle
from scripts.kube import ControlPlane
from tests.kube.cluster import Bench, in_namespace, namespace, task_of

pytestmark = pytest.mark.kube

NODES = [f"node-{i}" for i in range(4)]
WEB = DeploymentSpec(name="web", max_replicas=8, startup_s=0.0)


@pytest.fixture
def bench(control_plane: ControlPlane) -> Iterator[Bench]:
    with namespace(control_plane) as bench:
        bench.deploy(WEB, 1)
        yield bench


def test_a_second_controller_is_told_who_holds_the_namespace(bench: Bench) -> None:
    task = task_of(NODES, (WEB,))
    with bench.backend(task) as first, bench.backend(task) as second:
        first.reset(1)
        with pytest.raises(WrongState, match=rf"namespace {bench.namespace} is controlled by .*-\d+-[0-9a-f]+ "):
            second.reset(1)
        first.close()
        assert second.reset(1).ready.sum() == 1


def test_a_controller_that_lost_the_lease_changes_nothing_more(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB,), rollback=True), lease_s=1.5) as backend:
        backend.reset(1)
        leases = client.CoordinationV1Api(bench.api)
        leases.patch_namespaced_lease("lwmecps", bench.namespace, {"spec": {"holderIdentity": "rival"}})
        time.sleep(1.0)
        before = bench.versions()
        backend.apply(np.array([[0, 0, 3, 0]], np.int32))
        with pytest.raises(Conflict, match="now held by rival"):
            backend.advance()
        with pytest.raises(Conflict):
            backend.close()
        assert bench.versions() == before
        assert leases.read_namespaced_lease("lwmecps", bench.namespace).spec.holder_identity == "rival"


@pytest.mark.parametrize("server", ["kube-apiserver", "etcd"])
def test_a_server_that_is_killed_in_mid_episode_and_comes_back_is_waited_for(bench: Bench, server: str) -> None:
    with bench.backend(task_of(NODES, (WEB,), unreachable_deadline_s=60.0)) as backend:
        backend.reset(1)
        bench.plane.stop(server, kill=True)
        back = threading.Timer(3.0, bench.plane.start, args=(server,))
        back.start()
        try:
            backend.apply(np.array([[0, 2, 0, 0]], np.int32))
            backend.advance()
        finally:
            back.join()
        assert settle(backend, [[0, 2, 0, 0]]).ready.tolist() == [[0, 2, 0, 0]]


def test_a_server_that_stays_away_is_an_error_and_the_last_state_stays(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB,), unreachable_deadline_s=1.0)) as backend:
        state = backend.reset(1)
        bench.plane.stop("kube-apiserver", kill=True)
        try:
            with pytest.raises(ClusterUnavailable):
                for _ in range(10):
                    backend.advance()
            assert backend.observe().ready.tolist() == state.ready.tolist()
        finally:
            bench.plane.start("kube-apiserver")


def test_a_user_without_rights_is_told_which_verb_on_which_resource_is_missing(bench: Bench) -> None:
    rbac = client.RbacAuthorizationV1Api(bench.api)
    user = f"weak-{bench.namespace}"
    look = {"verbs": ["get", "list", "watch"]}
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], **look},
        {"apiGroups": [""], "resources": ["pods"], **look},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    subject = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]
    role = {"kind": "Role", "name": "weak", "apiGroup": "rbac.authorization.k8s.io"}
    rbac.create_namespaced_role(bench.namespace, {"metadata": {"name": "weak"}, "rules": rules})
    binding = {"metadata": {"name": "weak"}, "subjects": subject, "roleRef": role}
    rbac.create_namespaced_role_binding(bench.namespace, binding)
    config = bench.plane.user_kubeconfig(user)
    task = in_namespace(task_of(NODES, (WEB,)), bench.namespace)

    backend = KubernetesBackend(task, config)
    with pytest.raises(AccessDenied, match="does not let us list nodes"):
        backend.reset(1)
    backend.close()

    cluster_role = {"metadata": {"name": user}, "rules": [{"apiGroups": [""], "resources": ["nodes"], **look}]}
    rbac.create_cluster_role(cluster_role)
    whole = {"kind": "ClusterRole", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    rbac.create_cluster_role_binding({"metadata": {"name": user}, "subjects": subject, "roleRef": whole})
    backend = KubernetesBackend(task, config)
    try:
        with pytest.raises(AccessDenied, match=f"let us patch deployments web.* in namespace {bench.namespace}"):
            backend.reset(1)
    finally:
        backend.close()
        rbac.delete_cluster_role_binding(user)
        rbac.delete_cluster_role(user)


def test_the_pods_of_a_node_that_vanishes_are_pending_and_come_back_with_it(bench: Bench) -> None:
    with bench.backend(task_of(NODES, (WEB,))) as backend:
        backend.reset(1)
        settle(backend, [[1, 0, 0, 1]])
        bench.plane.kill_node("node-3")
        try:
            state = _advance_until(backend, lambda s: s.pending[0, 3] == 1)
            assert (int(state.ready[0, 0]), int(state.ready[0, 3])) == (1, 0)
            assert state.failed_share_total >= 0.5
            _until(lambda: _unready(bench, "node-3"))  # what the node's controller says of its pods
        finally:
            bench.plane.revive_node("node-3")
        assert _advance_until(backend, lambda s: s.ready[0, 3] == 1).pending.sum() == 0


def test_an_expired_watch_lists_again_and_misses_nothing(bench: Bench) -> None:
    api, changed = Api(bench.plane.kubeconfig), threading.Condition()
    watched = Watched(api, f"/apis/apps/v1/namespaces/{bench.namespace}/deployments", deployment_of, changed)
    watched._version = "1"  # long compacted or out of the server's cache: the answer is 410
    watched._listed = time.monotonic()
    watched.start()
    try:
        with changed:
            assert changed.wait_for(lambda: watched._synced, 20.0), "only a list says so"
        bench.deploy(DeploymentSpec(name="late"), 0)
        with changed:
            assert changed.wait_for(lambda: set(watched._items) == {"web", "late"}, 10.0)
    finally:
        watched.stop()
        api.close()


def _unready(bench: Bench, node: str) -> bool:
    """Whether Kubernetes itself has given up the pods of a node."""
    pods = [pod for pod in bench.core.list_namespaced_pod(bench.namespace).items if pod.spec.node_name == node]
    return all(c.status == "False" for pod in pods for c in pod.status.conditions if c.type == "Ready")


def _until(holds) -> None:
    end = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < end, "did not come so within 20 s"
        time.sleep(0.1)


def _advance_until(backend: KubernetesBackend, holds):
    end = time.monotonic() + 45.0
    while time.monotonic() < end:
        state = backend.advance()
        if holds(state):
            return state
    raise AssertionError(f"did not come so: ready {state.ready}, pending {state.pending}")
