"""A real cluster as somebody sees it who deploys services there, with a kubeconfig and no service of ours."""

from pathlib import Path
from typing import Any

from kubernetes import client, config
from yaml import YAMLError

from lwmecps_core.cluster.kubernetes_objects import node_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import NodeSpec
from services.cli.discovery import node_spec


class Cluster:
    """One API server; raises `InvalidInput` naming the kubeconfig where it is of no use."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        try:
            self._api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, YAMLError) as error:
            raise self.wrong(f"no cluster there ({error}); make kube-up starts one") from None
        self.core, self.apps = client.CoreV1Api(self._api), client.AppsV1Api(self._api)

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()

    def nodes(self) -> list[NodeSpec]:
        """The Ready nodes by name, with what pods may request of them."""
        found = [node_spec(raw) for raw in self.plain(self.core.list_node()) if node_of(raw).ready]
        return sorted(found, key=lambda node: node.name)

    def plain(self, listed: Any) -> list[dict[str, Any]]:
        """The items of a list as the JSON that they came in."""
        items: list[dict[str, Any]] = self._api.sanitize_for_serialization(listed.items)
        return items

    def wrong(self, reason: str) -> InvalidInput:
        """An error that names the kubeconfig."""
        return InvalidInput(str(self._kubeconfig), [Violation(".", reason)])
