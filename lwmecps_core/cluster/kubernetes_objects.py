"""What is needed of nodes, Deployments and pods, from their JSON; and where a task's pods are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from kubernetes.utils import parse_quantity
from numpy.typing import NDArray

from lwmecps_core.cluster.base import Counts, Floats
from lwmecps_core.cluster.kubernetes_api import Json

MIB = float(2**20)
POD_HASH = "pod-template-hash"
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class Node(NamedTuple):
    """Whether a node is Ready, what of it pods may request (millicores, MiB), its label for selectors, and all of them.

    taints: with `key`, `effect` and maybe `value`; a cordon is one.
    """

    ready: bool
    cpu_millicores: float
    ram_mib: float
    hostname: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]


class Deployment(NamedTuple):
    """Replicas asked for, the generation of that wish and the one that the controller has seen.

    `managed`: a pool that lwmecps made; `mark`: what it was made from.
    """

    replicas: int
    generation: int
    observed: int
    managed: bool
    mark: str


class Pod(NamedTuple):
    """A pod: its Deployment (empty: none), node (empty: not scheduled), since when (s), and what is kept for it.

    `gone`: being deleted, or ended; `refused`: why the scheduler found no node for it; `running_millicores`: what the
    containers request that run once it has started.
    """

    uid: str
    deployment: str
    node: str
    ready: bool
    gone: bool
    refused: str
    created_s: float
    cpu_millicores: float
    ram_mib: float
    running_millicores: float


MANAGED_BY = ("app.kubernetes.io/managed-by", "lwmecps")
POOL = "lwmecps.io/pool"
"""Label of a pool's Deployment and of its pods: the pool's name."""
MARK = "lwmecps.io/template"
"""Annotation of a pool's Deployment: a digest of what it was made from."""


def node_of(raw: Json) -> Node:
    """A node from its JSON."""
    status = raw.get("status", {})
    can = status.get("allocatable") or status.get("capacity") or {}
    meta, spec = raw["metadata"], raw.get("spec", {})
    labels = meta.get("labels", {})
    cordon = [CORDON] if spec.get("unschedulable") else []  # soon a taint, by the node's controller
    return Node(
        ready=_condition(status, "Ready") == "True",
        cpu_millicores=1000.0 * quantity(can.get("cpu", "0")),
        ram_mib=quantity(can.get("memory", "0")) / MIB,
        hostname=labels.get("kubernetes.io/hostname", meta["name"]),
        labels=labels,
        taints=(*(spec.get("taints") or ()), *cordon),
    )


def deployment_of(raw: Json) -> Deployment:
    """A Deployment from its JSON."""
    meta = raw["metadata"]
    labels = meta.get("labels", {})
    return Deployment(
        replicas=int(raw["spec"].get("replicas", 1)),
        generation=int(meta.get("generation", 0)),
        observed=int(raw.get("status", {}).get("observedGeneration", 0)),
        managed=labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and labels.get(POOL) == meta["name"],
        mark=meta.get("annotations", {}).get(MARK, ""),
    )


def pod_of(raw: Json) -> Pod:
    """A pod from its JSON."""
    meta, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    cpu_millicores, ram_mib = pod_requests(spec)
    return Pod(
        uid=meta["uid"],
        deployment=_owner(meta),
        node=spec.get("nodeName", ""),
        ready=_condition(status, "Ready") == "True",
        gone="deletionTimestamp" in meta or status.get("phase") in ("Succeeded", "Failed"),
        refused=_refusal(status),
        created_s=datetime.fromisoformat(meta["creationTimestamp"]).timestamp(),
        cpu_millicores=cpu_millicores,
        ram_mib=ram_mib,
        running_millicores=1000.0 * _running(spec, "cpu", {}),
    )


def pod_requests(spec: Json, defaults: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Millicores and MiB that the scheduler keeps for a pod of this `PodSpec`.

    `defaults`: what the namespace's LimitRanges give containers that request nothing, `cpu` and `memory`. Source:
    `PodRequests` in Kubernetes' component-helpers; limits stand in for requests as the API server has it for pods.
    """
    given = defaults or {}
    return 1000.0 * _reserved(spec, "cpu", given), _reserved(spec, "memory", given) / MIB


def limits_as_requests(spec: Json, defaults: Mapping[str, str]) -> Json:
    """A `PodSpec` whose pods request what the limits of this one's are; `defaults`: those of silent containers."""

    def limited(container: Json) -> Json:
        return {**container, "resources": {"requests": {**defaults, **(_resources(container).get("limits") or {})}}}

    parts = ("containers", "initContainers")
    made = {**spec, **{part: [limited(one) for one in spec.get(part) or ()] for part in parts}}
    return {**made, "resources": {"requests": _resources(spec).get("limits") or {}}}


def _resources(holder: Json) -> Json:
    resources: Json = holder.get("resources") or {}
    return resources


def _reserved(spec: Json, kind: str, defaults: Mapping[str, str]) -> float:
    """Init containers run one by one before the rest, beside the sidecars that began earlier."""
    sidecars, total = 0.0, _running(spec, kind, defaults)
    for container in spec.get("initContainers") or ():
        asked = _asked(container, kind, defaults)
        total = max(total, sidecars + asked)
        sidecars += asked if _restarts(container) else 0.0
    whole = spec.get("resources") or {}  # of the pod, not of a container
    if kind in (whole.get("requests") or {}) or not total:
        total = _asked({"resources": whole}, kind, {})
    return total + quantity((spec.get("overhead") or {}).get(kind, "0"))


def _running(spec: Json, kind: str, defaults: Mapping[str, str]) -> float:
    """What containers and sidecars request."""
    sidecars = filter(_restarts, spec.get("initContainers") or ())
    return sum(_asked(container, kind, defaults) for container in (*spec["containers"], *sidecars))


def _restarts(init_container: Json) -> bool:
    """Whether an init container is a sidecar."""
    return init_container.get("restartPolicy") == "Always"


def _asked(container: Json, kind: str, defaults: Mapping[str, str]) -> float:
    resources = container.get("resources") or {}
    sources = (resources.get("requests") or {}, resources.get("limits") or {}, defaults)
    return quantity(next((source[kind] for source in sources if kind in source), "0"))


@lru_cache(maxsize=4096)
def quantity(text: str) -> float:
    """A quantity such as `500m` or `2Gi` in its base unit."""
    return float(parse_quantity(text))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Whereabouts:
    """Where a task's pods are: ready, starting, pending `[D, N]` (see `ClusterState`), and what nodes are asked for.

    `placed` `[D, N]`: pods that have a node, whether it lets them run or not.
    cpu_requested, ram_requested `[N]` are shares of the node. `scheduled`: uids of the pods that have a node;
    `unsettled`: Deployments whose pods the cluster has not yet created, removed or tried to place as asked; `refused`:
    why pods are not scheduled.
    """

    ready: Counts
    starting: Counts
    pending: Counts
    placed: Counts
    cpu_requested: Floats
    ram_requested: Floats
    scheduled: frozenset[str]
    unsettled: tuple[str, ...]
    refused: tuple[str, ...]


Place = tuple[int, int]


def whereabouts(
    task_nodes: tuple[str, ...],
    pools: Mapping[str, Place],
    size: Place,
    nodes: Mapping[str, Node],
    deployments: Mapping[str, Deployment],
    pods: Mapping[str, Pod],
    now_s: float,
    ready_deadline_s: float,
) -> Whereabouts:
    """Count a task's pods: `pools` says for which (deployment, node) of `size` a Deployment of this name stands.

    A pod counts as pending that has no node, whose node is away or not Ready, or that is not ready in time.
    """
    columns = {name: n for n, name in enumerate(task_nodes)}
    live = [pod for pod in pods.values() if not pod.gone]
    own = [pod for pod in live if pod.deployment in pools]
    ready, starting, pending, placed = (np.zeros(size, np.int32) for _ in range(4))
    for pod in own:
        d, home = pools[pod.deployment]
        node = nodes.get(pod.node)
        late = now_s - pod.created_s > ready_deadline_s
        if node is None or not node.ready or (late and not pod.ready):
            counts = pending
        else:
            counts = ready if pod.ready else starting
        place = d, columns.get(pod.node, home)
        counts[place] += 1
        placed[place] += bool(pod.node)
    missing = _missing(pools, deployments, own)
    for name, count in missing.items():
        pending[pools[name]] += max(0, count)
    undecided = {pod.deployment for pod in own if not pod.node and not pod.refused}
    unsettled = (
        name
        for name, count in missing.items()
        if count or deployments[name].observed < deployments[name].generation or name in undecided
    )
    return Whereabouts(
        ready,
        starting,
        pending,
        placed,
        *_requested(columns, nodes, live),
        frozenset(pod.uid for pod in own if pod.node),
        tuple(unsettled),
        tuple(sorted({f"{pod.deployment}: {pod.refused}" for pod in own if pod.refused and not pod.node})),
    )


def _missing(pools: Mapping[str, Place], deployments: Mapping[str, Deployment], own: Sequence[Pod]) -> dict[str, int]:
    """How many more pods each Deployment that there is asks for than it has."""
    have = Counter(pod.deployment for pod in own)
    return {name: deployments[name].replicas - have[name] for name in pools if name in deployments}


def _requested(
    columns: Mapping[str, int], nodes: Mapping[str, Node], live: Sequence[Pod]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What all pods ask for, as shares `[N]` of each node's CPU and memory."""
    cpu, ram = np.zeros(len(columns)), np.zeros(len(columns))
    for pod in live:
        if pod.node in columns:
            cpu[columns[pod.node]] += pod.cpu_millicores
            ram[columns[pod.node]] += pod.ram_mib
    can = [nodes.get(name) for name in columns]
    return (
        cpu / _capacity([node.cpu_millicores if node else 0.0 for node in can]),
        ram / _capacity([node.ram_mib if node else 0.0 for node in can]),
    )


def _capacity(values: list[float]) -> NDArray[np.float64]:
    """What nodes have; of one that is away, so much that nothing seems to be used."""
    return np.array([value or np.inf for value in values])


def _owner(meta: Json) -> str:
    """The Deployment behind a pod: its ReplicaSet is named after it and the hash of its template."""
    suffix = "-" + meta.get("labels", {}).get(POD_HASH, "")
    for owner in meta.get("ownerReferences", ()):
        if owner["kind"] == "ReplicaSet" and owner["name"].endswith(suffix):
            return str(owner["name"]).removesuffix(suffix)
    return ""


def _condition(status: Json, kind: str) -> str:
    return next((str(c["status"]) for c in status.get("conditions") or () if c["type"] == kind), "Unknown")


def _refusal(status: Json) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason") or "not scheduled")
    return ""
