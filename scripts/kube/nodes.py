"""What the fake nodes are: their Node objects, and the marks by which a test steers them."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# Nodes with this label are kept alive by fake_nodes.py, whoever made them.
LABEL = "fake-nodes/tended"
# A node with this annotation is dead: no heartbeats, and its pods are left alone.
DEAD = "fake-nodes/dead"
# A pod with this annotation becomes ready after so many seconds, or "never".
READY_AFTER = "fake-nodes/ready-after"


@dataclass(frozen=True)
class FakeNode:
    """A node to pretend; cpu and memory are Kubernetes quantities, labels come on top of the usual ones."""

    name: str
    cpu: str = "8"
    memory: str = "32Gi"
    labels: dict[str, str] = field(default_factory=dict)
    pods: int = 110


def named_nodes(nodes: "int | Path | list[FakeNode]") -> list[FakeNode]:
    """Nodes from a count (`node-0`, `node-1`, …), or from a YAML file with a list of FakeNode's fields.

    Raises ValueError that names the file and the entry.
    """
    if isinstance(nodes, int):
        return [FakeNode(f"node-{i}") for i in range(nodes)]
    if isinstance(nodes, Path):
        entries = yaml.safe_load(nodes.read_text())
        if not isinstance(entries, list):
            raise ValueError(f"{nodes}: expected a list of nodes (name, cpu, memory, labels, pods)")
        made = []
        for number, entry in enumerate(entries):
            try:
                made.append(FakeNode(**entry))
            except TypeError as error:
                raise ValueError(f"{nodes}, entry {number}: {error}") from None
        return made
    return nodes


def node_object(node: FakeNode) -> dict[str, Any]:
    """The Node as its kubelet would register it, ready from the start."""
    resources = {"cpu": str(node.cpu), "memory": node.memory, "pods": str(node.pods), "ephemeral-storage": "100Gi"}
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        LABEL: "true",
        **node.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [{"type": "Hostname", "address": node.name}],
            "conditions": [ready_condition()],
        },
    }


def ready_condition() -> dict[str, str]:
    """A node's condition Ready, as of now."""
    now = timestamp()
    return {
        "type": "Ready",
        "status": "True",
        "reason": "FakeNodeReady",
        "message": "a fake node is always ready",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def timestamp() -> str:
    """Now, as Kubernetes' MicroTime, which Time accepts too."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
