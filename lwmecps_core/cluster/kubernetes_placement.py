"""Placements as Deployments: one per deployment and node, by server-side apply."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lwmecps_core.cluster.base import Counts
from lwmecps_core.cluster.kubernetes_api import APPLY, FIELD_MANAGER, Api, ApiFailure, Json
from lwmecps_core.cluster.kubernetes_constraints import PASSING, selects, unrepresented, untolerated
from lwmecps_core.cluster.kubernetes_objects import MANAGED_BY, MARK, POOL, Deployment, Node, Place
from lwmecps_core.cluster.kubernetes_quota import refused_by
from lwmecps_core.errors import Conflict, InvalidInput, Violation
from lwmecps_core.sim.state import home_node, pod_limits
from lwmecps_core.specs import KubernetesSpec, TaskSpec

NAME_CHARS = 63
DIGEST_CHARS = 8
OWN = -1
"""In place of a node: the task's own Deployment, of which only the replicas are ours."""
AT_ONCE = 8
"""Requests under way at the same time."""
HOSTNAME = "kubernetes.io/hostname"


class Change(NamedTuple):
    """One Deployment that is to be changed: of deployment `d`, at node `n` (or `OWN`)."""

    name: str
    d: int
    n: int
    replicas: int


def pool_names(task: TaskSpec) -> dict[str, Place]:
    """The name of every (deployment, node)'s own Deployment: `<deployment>-<node>`, the same in every session.

    What is too long, no name of a pod's label, or stands for something else too, gets a digest of both at its end.
    """
    plain = {
        (d, n): f"{deployment.name}-{node.name}"
        for d, deployment in enumerate(task.deployments)
        for n, node in enumerate(task.cluster.nodes)
    }
    counts: dict[str, int] = {deployment.name: 1 for deployment in task.deployments}
    for name in plain.values():
        counts[name] = counts.get(name, 0) + 1
    return {_short(task, place, name, counts[name]): place for place, name in plain.items()}


def _short(task: TaskSpec, place: Place, name: str, count: int) -> str:
    clean = re.sub(r"[^a-z0-9-]", "-", name.lower())
    if count == 1 and clean == name and len(name) <= NAME_CHARS:
        return name
    both = f"{task.deployments[place[0]].name}\0{task.cluster.nodes[place[1]].name}"
    digest = hashlib.sha256(both.encode()).hexdigest()[:DIGEST_CHARS]
    return f"{clean[: NAME_CHARS - DIGEST_CHARS - 1].rstrip('-')}-{digest}"


class Placer:
    """Carries placements `[D, N]` out for a task; `guard` is called before every request and may refuse.

    Only the task's own Deployments and the pools made from them are touched.
    """

    def __init__(self, api: Api, task: TaskSpec, spec: KubernetesSpec, guard: Callable[[], None]) -> None:
        self._api, self._task, self._spec, self._guard = api, task, spec, guard
        self._path = f"/apis/apps/v1/namespaces/{spec.namespace}/deployments"
        self.pools = pool_names(task)
        self._own = {deployment.name: (d, home_node(task, d)) for d, deployment in enumerate(task.deployments)}
        self.templates: dict[str, Json] = {}
        """The task's own Deployments as the server has them, by name."""
        self._marks: dict[Place, str] = {}
        self._generations: dict[str, int] = {}
        self._replicas: dict[str, int] = {}

    def places(self) -> dict[str, Place]:
        """Where each Deployment that may be ours stands; the task's own ones at home."""
        return {**self._own, **self.pools}

    def read_templates(self, nodes: Mapping[str, Node]) -> None:
        """Look up what the pools are made from: the task's own Deployments as they are now.

        Raises `InvalidInput` that names each of the task's nodes and deployments that the cluster does not have, and
        each node where a Deployment itself does not let its pods run.
        """
        spec = self._spec
        query = {"labelSelector": spec.label_selector} if spec.label_selector else {}
        answer = self._api.persist(spec.unreachable_deadline_s, "GET", self._path, query)
        self.templates = {
            item["metadata"]["name"]: item for item in answer["items"] if item["metadata"]["name"] in self._own
        }
        self._check_names(nodes)
        for name, (d, n) in self.pools.items():
            body = json.dumps(self._manifest(name, d, n, 0, nodes), sort_keys=True)
            self._marks[d, n] = hashlib.sha256(body.encode()).hexdigest()[:16]

    def placement(self, deployments: Mapping[str, Deployment]) -> Counts:
        """The replicas that the pools are asked to have: i32 `[D, N]`."""
        out = np.zeros((len(self._task.deployments), len(self._task.cluster.nodes)), np.int32)
        for name, place in self.pools.items():
            if name in deployments:
                out[place] = deployments[name].replicas
        return out

    def found(self, deployments: Mapping[str, Deployment]) -> dict[str, int]:
        """Replicas of every Deployment that may be ours and is there."""
        return {name: deployments[name].replicas for name in self.places() if name in deployments}

    def plan(self, placement: Counts, deployments: Mapping[str, Deployment]) -> list[Change]:
        """What must change for the placement: removals first, so that there is room for the rest.

        Raises `Conflict` when a pool's name is taken by a Deployment that is not ours.
        """
        changes = [
            Change(name, d, OWN, 0)
            for name, (d, _) in self._own.items()
            if name in deployments and deployments[name].replicas
        ]
        for name, (d, n) in self.pools.items():
            wanted, found = int(placement[d, n]), deployments.get(name)
            if found is not None and not found.managed:
                raise Conflict(f"Deployment {name} in namespace {self._spec.namespace} exists and is not lwmecps's")
            if found is None:
                if wanted:
                    changes.append(Change(name, d, n, wanted))
            elif found.replicas != wanted or (wanted and found.mark != self._marks[d, n]):
                changes.append(Change(name, d, n, wanted))
        return sorted(
            changes, key=lambda c: c.replicas - (deployments[c.name].replicas if c.name in deployments else 0)
        )

    def plan_back(self, found: Mapping[str, int], deployments: Mapping[str, Deployment]) -> list[Change]:
        """What must change for the replicas that were `found`; pools that were not found lose theirs."""
        return [
            Change(name, d, OWN if name in self._own else n, found.get(name, 0))
            for name, (d, n) in self.places().items()
            if name in deployments
            and deployments[name].replicas != found.get(name, 0)
            and (name in self._own or deployments[name].managed)
        ]

    def apply(self, changes: Sequence[Change], nodes: Mapping[str, Node]) -> None:
        """Carry changes out, several at once; the first error is raised when those under way have ended."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [pool.submit(self._apply, change, nodes) for change in changes]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                for task in tasks:
                    task.cancel()
                raise

    def delete(self, name: str) -> None:
        """Remove a pool that this session made."""
        self._guard()
        try:
            self._api.request("DELETE", f"{self._path}/{name}", {"propagationPolicy": "Background"})
        except ApiFailure as error:
            if error.status != 404:
                raise self._api.failure(error, "DELETE", f"{self._path}/{name}") from None
        self._generations.pop(name, None)

    def seen(self, deployments: Mapping[str, Deployment]) -> bool:
        """Whether `deployments` are as new as what was applied."""
        return all(
            name in deployments and deployments[name].generation >= generation
            for name, generation in self._generations.items()
        )

    def overwritten(self, deployments: Mapping[str, Deployment]) -> list[str]:
        """Deployments that somebody else has changed since, and that have other replicas than were applied."""
        return [
            name
            for name, generation in self._generations.items()
            if name in deployments
            and deployments[name].generation > generation
            and deployments[name].replicas != self._replicas[name]
        ]

    def _check_names(self, nodes: Mapping[str, Node]) -> None:
        missing = [
            Violation(f"cluster.nodes[{n}].name", f"the cluster has no node {node.name!r}")
            for n, node in enumerate(self._task.cluster.nodes)
            if node.name not in nodes
        ]
        selector = f" matching {self._spec.label_selector!r}" if self._spec.label_selector else ""
        missing += [
            Violation(
                f"deployments[{d}].name",
                f"there is no Deployment {name!r}{selector} in namespace {self._spec.namespace}",
            )
            for name, (d, _) in self._own.items()
            if name not in self.templates
        ]
        if wrong := missing or self._kept_off(nodes):
            raise InvalidInput("task", wrong)

    def pod_spec(self, d: int) -> Json:
        """The `PodSpec` of the task's Deployment `d`."""
        spec: Json = self.templates[self._task.deployments[d].name]["spec"]["template"]["spec"]
        return spec

    def pools_to_come(self) -> list[str]:
        """Names of the pools that a placement may need."""
        limits = pod_limits(self._task)
        return [name for name, place in self.pools.items() if limits[place]]

    def kept_off_now(self, nodes: Mapping[str, Node]) -> dict[Place, str]:
        """Where the scheduler puts no new pod of a deployment as nodes are now, and why."""
        found = {}
        for name, (d, _) in self._own.items():
            spec = self.pod_spec(d)
            for n, node in enumerate(self._task.cluster.nodes):
                if (now := nodes.get(node.name)) is None:
                    continue
                taints = [key for key in untolerated(spec, now.taints) if key not in PASSING]
                if taints:
                    found[d, n] = f"node {node.name} has a taint that Deployment {name} does not tolerate: {taints[0]}"
                elif not selects(spec, node.name, now.labels):
                    found[d, n] = f"Deployment {name} does not select node {node.name}"
        return found

    def refusals(self, limit_ranges: Sequence[Json]) -> list[Violation]:
        """What the task's Deployments ask that no placement says, and why LimitRanges would not let their pods be."""
        found = []
        for name, (d, _) in self._own.items():
            spec = self.pod_spec(d)
            reasons = [f"Deployment {name} has {what}: no task says that" for what in unrepresented(spec)]
            reasons += [f"Deployment {name}: {why}" for why in refused_by(limit_ranges, spec)]
            found += [Violation(f"deployments[{d}].name", reason) for reason in reasons]
        return found

    def _kept_off(self, nodes: Mapping[str, Node]) -> list[Violation]:
        """Nodes where the task lets pods run, and the Deployments themselves do not: ours would replace their word."""
        limits = pod_limits(self._task)
        return [
            Violation(
                f"deployments[{d}].allowed_nodes",
                f"Deployment {name} keeps its pods off node {node.name!r} by its node selector or affinity",
            )
            for name, (d, _) in self._own.items()
            for n, node in enumerate(self._task.cluster.nodes)
            if limits[d, n] and not selects(self.pod_spec(d), node.name, nodes[node.name].labels)
        ]

    def _apply(self, change: Change, nodes: Mapping[str, Node]) -> None:
        if change.n == OWN:
            body = self._object(change.name, {"replicas": change.replicas})
        else:
            body = self._manifest(*change, nodes)
            body["metadata"]["annotations"] = {MARK: self._marks[change.d, change.n]}
        self._guard()
        answer = self._api.persist(
            self._spec.unreachable_deadline_s,
            "PATCH",
            f"{self._path}/{change.name}",
            {"fieldManager": FIELD_MANAGER, "force": "true"},
            body,
            APPLY,
        )
        self._replicas[change.name] = change.replicas
        self._generations[change.name] = int(answer["metadata"]["generation"])

    def _manifest(self, name: str, d: int, n: int, replicas: int, nodes: Mapping[str, Node]) -> Json:
        """A pool: the own Deployment's template, tied to one node."""
        source, node = self.templates[self._task.deployments[d].name], self._task.cluster.nodes[n].name
        template = source["spec"]["template"]
        meta = template.get("metadata", {})
        spec = {
            **template["spec"],
            "nodeSelector": {
                **template["spec"].get("nodeSelector", {}),
                HOSTNAME: nodes[node].hostname if node in nodes else node,
            },
        }
        rest = {key: value for key, value in source["spec"].items() if key not in ("replicas", "selector", "template")}
        pod_meta = {"labels": {**meta.get("labels", {}), POOL: name}}
        if meta.get("annotations"):
            pod_meta["annotations"] = meta["annotations"]
        made = self._object(
            name,
            {
                **rest,
                "replicas": replicas,
                "selector": {"matchLabels": {POOL: name}},
                "template": {"metadata": pod_meta, "spec": spec},
            },
        )
        made["metadata"]["labels"] = {**source["metadata"].get("labels", {}), MANAGED_BY[0]: MANAGED_BY[1], POOL: name}
        return made

    def _object(self, name: str, spec: Json) -> Json:
        meta = {"name": name, "namespace": self._spec.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def homes_of(task: TaskSpec) -> Counts:
    """The home node of every deployment: i32 `[D]`."""
    return np.array([home_node(task, d) for d in range(len(task.deployments))], np.int32)
