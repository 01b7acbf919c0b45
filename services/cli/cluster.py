"""A real cluster as somebody sees it who deploys services there, with a kubeconfig and no service of ours."""

from collections import Counter
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from lwmecps_core.cluster.kubernetes_objects import MIB, deployment_of, node_of, quantity
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, EnvId, KubernetesSpec, NodeSpec, TaskSpec, WorkloadSpec

RTT_MS, USERS, HEADROOM = 5.0, 10.0, 4
"""What no API server knows: the latency between nodes, users at each, and how far a service may grow."""


class Cluster:
    """One API server; raises `InvalidInput` naming the kubeconfig where it is of no use."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        try:
            self._api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise self.wrong(f"no cluster there ({error}); make kube-up starts one") from None
        self.core, self.apps = client.CoreV1Api(self._api), client.AppsV1Api(self._api)

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()

    def nodes(self) -> list[NodeSpec]:
        """The Ready nodes by name, with what pods may request of them."""
        found = [
            NodeSpec(name=raw["metadata"]["name"], cpu_millicores=node.cpu_millicores, ram_mib=node.ram_mib)
            for raw in self.plain(self.core.list_node())
            if (node := node_of(raw)).ready
        ]
        return sorted(found, key=lambda node: node.name)

    def deployments(self, namespace: str, selector: str, nodes: list[str]) -> list[DeploymentSpec]:
        """The namespace's Deployments that match, each at home where most of its pods run now."""
        pods = self.plain(self.core.list_namespaced_pod(namespace))
        found: list[DeploymentSpec] = []
        for raw in self.plain(self.apps.list_namespaced_deployment(namespace, label_selector=selector)):
            if deployment_of(raw).managed:
                continue  # a pool of ours, not a service
            labels, replicas = raw["spec"]["selector"]["matchLabels"].items(), raw["spec"]["replicas"] or 1
            at = Counter(
                pod["spec"].get("nodeName") for pod in pods if labels <= pod["metadata"].get("labels", {}).items()
            )
            home = next((name for name, _ in at.most_common() if name in nodes), nodes[len(found) % len(nodes)])
            cpu, ram = self._requests(raw)
            found.append(
                DeploymentSpec(
                    name=raw["metadata"]["name"],
                    cpu_millicores=1000.0 * cpu,
                    ram_mib=ram / MIB,
                    initial_replicas=replicas,
                    max_replicas=max(2 * replicas, HEADROOM),
                    allowed_nodes=(home, *(name for name in nodes if name != home)),
                )
            )
        return found

    def plain(self, listed: Any) -> list[dict[str, Any]]:
        """The items of a list as the JSON that they came in."""
        items: list[dict[str, Any]] = self._api.sanitize_for_serialization(listed.items)
        return items

    def wrong(self, reason: str) -> InvalidInput:
        """An error that names the kubeconfig."""
        return InvalidInput(str(self._kubeconfig), [Violation(".", reason)])

    def _requests(self, deployment: dict[str, Any]) -> tuple[float, float]:
        """CPUs and bytes that a pod requests; the scheduler and the simulator both need them."""
        name, total = deployment["metadata"]["name"], {"cpu": 0.0, "memory": 0.0}
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for kind in total:
                total[kind] += quantity(container.get("resources", {}).get("requests", {}).get(kind, "0"))
        if missing := [kind for kind, amount in total.items() if not amount]:
            raise self.wrong(f"Deployment {name} requests no {' and no '.join(missing)}: give its containers requests")
        return total["cpu"], total["memory"]


def discovered(cluster: Cluster, namespace: str, selector: str, env_id: EnvId) -> TaskSpec:
    """A task of what the cluster has; load and distances are placeholders, and nothing may be changed (`manage`).

    Raises `InvalidInput` where there are no nodes or no Deployments.
    """
    try:
        nodes = cluster.nodes()
        names = [node.name for node in nodes]
        deployments = cluster.deployments(namespace, selector, names) if nodes else []
    except ApiException as error:
        raise cluster.wrong(f"the cluster answers {error.status} {error.reason}") from None
    if not nodes or not deployments:
        matching = f" matching {selector!r}" if selector else ""
        raise cluster.wrong(f"{len(nodes)} Ready nodes, {len(deployments)} Deployments in {namespace!r}{matching}")
    n, d = len(nodes), len(deployments)
    return TaskSpec(
        name=namespace,
        env_id=env_id,
        deployments=tuple(deployments),
        cluster=ClusterSpec(
            nodes=tuple(nodes), rtt_ms=tuple(tuple(0.0 if i == j else RTT_MS for j in range(n)) for i in range(n))
        ),
        workload=WorkloadSpec(base_users=(USERS,) * n, share=((1.0 / d,) * d,) * n),
        kubernetes=KubernetesSpec(namespace=namespace, label_selector=selector),
    )
