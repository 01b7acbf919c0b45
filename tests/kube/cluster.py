"""What the tests of the backend have in common: Deployments on a real control plane, and tasks for them."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kubernetes import client

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, KubernetesSpec, NodeSpec, TaskSpec, WorkloadSpec
from scripts.kube import ControlPlane

INTERVAL_S = 0.5
DEADLINE_S = 60.0


def until(holds: Callable[[], Any], what: str) -> Any:
    """The first truthy answer."""
    end = time.monotonic() + DEADLINE_S
    while not (answer := holds()):
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.05)
    return answer


def task_of(nodes: list[str], deployments: tuple[DeploymentSpec, ...], **kubernetes: Any) -> TaskSpec:
    """A task on nodes of 8 CPUs, simulated where Kubernetes itself shows nothing."""
    n, d = len(nodes), len(deployments)
    return TaskSpec(
        name="real",
        env_id="lwmecps-v4",
        cluster=ClusterSpec(
            nodes=tuple(NodeSpec(name=name, cpu_millicores=8000.0, ram_mib=32768.0) for name in nodes),
            rtt_ms=tuple(tuple(5.0 * abs(i - j) for j in range(n)) for i in range(n)),
        ),
        deployments=deployments,
        workload=WorkloadSpec(pattern="uniform", period_s=600.0, base_users=(3.0,) * n, share=((1.0 / d,) * d,) * n),
        interval_s=INTERVAL_S,
        kubernetes=KubernetesSpec(**{"manage": True, "usage": "simulated", "ready_deadline_s": 20.0, **kubernetes}),
    )


def in_namespace(task: TaskSpec, namespace: str, **kubernetes: Any) -> TaskSpec:
    """The task in another namespace."""
    assert task.kubernetes is not None
    return replace(task, kubernetes=replace(task.kubernetes, namespace=namespace, **kubernetes))


class Bench:
    """A namespace of its own on the control plane, with what a test needs to prepare and look at."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.api = plane.client()
        self.core, self.apps = client.CoreV1Api(self.api), client.AppsV1Api(self.api)

    def deploy(self, spec: DeploymentSpec, replicas: int = 1, labels: dict[str, str] | None = None) -> None:
        """A Deployment as a user would have made it."""
        labels = {"app": spec.name, **(labels or {})}
        requests = {"cpu": f"{spec.cpu_millicores:g}m", "memory": f"{spec.ram_mib:g}Mi"}
        pod = {"containers": [{"name": "main", "image": "example/web:1", "resources": {"requests": requests}}]}
        self.apps.create_namespaced_deployment(
            self.namespace,
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": spec.name, "labels": labels},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": spec.name}},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
        )

    def replicas(self) -> dict[str, int]:
        """What every Deployment of the namespace is asked to have."""
        found = self.apps.list_namespaced_deployment(self.namespace).items
        return {d.metadata.name: d.spec.replicas for d in found}

    def versions(self) -> dict[str, str]:
        """The generation of every Deployment: it counts changes of what it is asked."""
        found = self.apps.list_namespaced_deployment(self.namespace).items
        return {d.metadata.name: d.metadata.generation for d in found}

    def pods_at(self) -> list[tuple[str, str]]:
        """(node, app) of every pod that is not ending."""
        found = self.core.list_namespaced_pod(self.namespace).items
        return sorted(
            (p.spec.node_name or "", p.metadata.labels["app"]) for p in found if not p.metadata.deletion_timestamp
        )

    @contextmanager
    def backend(self, task: TaskSpec, **options: Any) -> Iterator[KubernetesBackend]:
        """A backend for the task in this namespace, closed at the end."""
        backend = KubernetesBackend(in_namespace(task, self.namespace), self.plane.kubeconfig, **options)
        try:
            yield backend
        finally:
            backend.close()


@contextmanager
def namespace(plane: ControlPlane) -> Iterator[Bench]:
    """A fresh namespace; pods are accepted when its service account is there."""
    bench = Bench(plane, f"test-{uuid.uuid4().hex[:8]}")
    bench.core.create_namespace({"metadata": {"name": bench.namespace}})
    try:
        yield bench
    finally:
        for name in bench.replicas():
            bench.apps.delete_namespaced_deployment(name, bench.namespace)
        bench.core.delete_namespace(bench.namespace)
        bench.api.close()
