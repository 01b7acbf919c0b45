"""A task of what a real cluster holds, for somebody who has a kubeconfig and no service of ours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lwmecps_core.cluster.kubernetes_api import REQUEST_TIMEOUT_S, Api, Json
from lwmecps_core.cluster.kubernetes_constraints import selects, unrepresented, untolerated
from lwmecps_core.cluster.kubernetes_objects import Node, Pod, deployment_of, node_of, pod_of, pod_requests
from lwmecps_core.cluster.kubernetes_quota import Quota, defaults, quota_of, refused_by, room
from lwmecps_core.cluster.kubernetes_rivals import autoscaled, written_by
from lwmecps_core.config import parse
from lwmecps_core.errors import AccessDenied, InvalidInput, Violation
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, EnvId, KubernetesSpec, NodeSpec, TaskSpec, WorkloadSpec
from services.cli.odd_objects import odd_field

RTT_MS, USERS, HEADROOM, MOST = 5.0, 10.0, 4, 1000
"""What no API server knows: the latency between nodes, users at each, and how far a service may grow (at most)."""
ODD = (InvalidInput, KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What an object raises that is not as we know such objects: it costs that object."""


@dataclass(frozen=True)
class Listed:
    """What the API server lists, as JSON: all nodes, and of a namespace the Deployments that match and what binds them.

    `autoscalers`: names of those that scale a Deployment, by its name.
    """

    nodes: Sequence[Json]
    deployments: Sequence[Json]
    pods: Sequence[Json] = ()
    limit_ranges: Sequence[Json] = ()
    quotas: Sequence[Json] = ()
    autoscalers: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class Findings:
    """What was found that can be used, and a line on everything that was left out or assumed."""

    nodes: dict[str, Node] = field(default_factory=dict)
    specs: list[NodeSpec] = field(default_factory=list)
    pods: dict[str, list[Pod]] = field(default_factory=dict)
    """By Deployment."""
    deployments: list[DeploymentSpec] = field(default_factory=list)
    ranges: list[Json] = field(default_factory=list)
    """LimitRanges."""
    quotas: list[Quota] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def discover(api: Api, where: KubernetesSpec, env_id: EnvId) -> tuple[TaskSpec, list[str]]:
    """A task of what the cluster has, and a line on all that was left out or assumed.

    Raises `InvalidInput` where there are no nodes or no Deployments to use, `AccessDenied`, `ClusterUnavailable`.
    """
    inside, said = f"namespaces/{where.namespace}", list[str]()
    query = {"labelSelector": where.label_selector} if where.label_selector else {}

    def items(path: str, query: Mapping[str, object] = {}) -> list[Json]:
        return list(api.persist(REQUEST_TIMEOUT_S, "GET", path, query).get("items") or ())

    def if_allowed(path: str, what: str) -> list[Json]:
        try:
            return items(path)
        except AccessDenied as error:
            said.append(f"taken for a namespace without {what}: {error}")
            return []

    autoscalers, unseen = autoscaled(items, where.namespace)
    listed = Listed(
        nodes=items("/api/v1/nodes"),
        deployments=items(f"/apis/apps/v1/{inside}/deployments", query),
        pods=items(f"/api/v1/{inside}/pods"),
        limit_ranges=if_allowed(f"/api/v1/{inside}/limitranges", "LimitRanges"),
        quotas=if_allowed(f"/api/v1/{inside}/resourcequotas", "ResourceQuotas"),
        autoscalers=autoscalers,
    )
    task, more = task_of(listed, where, env_id, api.address)
    return task, said + unseen + more


def task_of(listed: Listed, where: KubernetesSpec, env_id: EnvId, source: str) -> tuple[TaskSpec, list[str]]:
    """A task of what is listed, and a line on all that was left out or assumed; load and distances are placeholders.

    Each Deployment is at home where most of its pods run. Raises `InvalidInput` as `discover`; `source` is what it
    calls the cluster.
    """
    found = Findings()
    _take_nodes(found, listed.nodes)
    _take_pods(found, listed.pods)
    _take_ranges(found, listed.limit_ranges)
    _take_quotas(found, listed.quotas)
    _take_deployments(found, listed)
    n, d = len(found.specs), len(found.deployments)
    if not n or not d:
        matching = f" matching {where.label_selector!r}" if where.label_selector else ""
        counts = f"{n} Ready nodes, {d} Deployments in {where.namespace!r}{matching}"
        raise InvalidInput(source, [Violation(".", reason) for reason in (counts, *found.said)])
    rtt_ms = tuple(tuple(0.0 if i == j else RTT_MS for j in range(n)) for i in range(n))
    given = {
        "name": where.namespace,
        "env_id": env_id,
        "deployments": tuple(found.deployments),
        "cluster": ClusterSpec(nodes=tuple(found.specs), rtt_ms=rtt_ms),
        "workload": WorkloadSpec(base_users=(USERS,) * n, share=((1.0 / d,) * d,) * n),
        "kubernetes": where,
    }
    task: TaskSpec = parse(TaskSpec, given, source)
    return task, found.said


def node_spec(raw: Json) -> NodeSpec:
    """A node with what pods may request of it; raises `InvalidInput` where that is nothing."""
    node, name = node_of(raw), raw["metadata"]["name"]
    given = {"name": name, "cpu_millicores": node.cpu_millicores, "ram_mib": node.ram_mib}
    spec: NodeSpec = parse(NodeSpec, given, f"node {name}")
    return spec


def _take_nodes(found: Findings, nodes: Sequence[Json]) -> None:
    """The Ready ones by name."""
    for raw in sorted(nodes, key=_name):
        try:
            node = node_of(raw)
            if node.ready:
                found.specs.append(node_spec(raw))
                found.nodes[_name(raw)] = node
            else:
                found.said.append(f"node {_name(raw)} left out: not Ready")
        except ODD as error:
            found.said.append(_left_out("node", raw, error))


def _take_pods(found: Findings, pods: Sequence[Json]) -> None:
    """Those that are neither ended nor ending."""
    for raw in pods:
        try:
            pod = pod_of(raw)
        except ODD as error:
            found.said.append(_left_out("pod", raw, error))
            continue
        if not pod.gone:
            found.pods.setdefault(pod.deployment, []).append(pod)


def _take_ranges(found: Findings, ranges: Sequence[Json]) -> None:
    """LimitRanges that can be read: all that they may say is asked of a pod that says nothing."""
    for raw in ranges:
        try:
            refused_by([raw], {"containers": [{"name": "any"}]})
            found.ranges.append(raw)
        except ODD as error:
            found.said.append(_left_out("LimitRange", raw, error))


def _take_quotas(found: Findings, quotas: Sequence[Json]) -> None:
    for raw in quotas:
        try:
            found.quotas.append(quota_of(raw))
        except ODD as error:
            found.said.append(_left_out("ResourceQuota", raw, error))


def _take_deployments(found: Findings, listed: Listed) -> None:
    for raw in listed.deployments:
        try:
            if deployment_of(raw).managed:
                found.said.append(f"Deployment {_name(raw)} left out: a pool that lwmecps made, not a service")
            else:
                found.deployments.append(_deployment_spec(found, raw, listed))
        except ODD as error:
            found.said.append(_left_out("Deployment", raw, error))


def _deployment_spec(found: Findings, raw: Json, listed: Listed) -> DeploymentSpec:
    """A Deployment as it is deployed; raises `InvalidInput` saying why it can't be managed."""
    name, template, replicas = _name(raw), raw["spec"]["template"]["spec"], deployment_of(raw).replicas
    pods, ranges = found.pods.get(name, []), found.ranges
    if why := [f"{what}, which no task says" for what in unrepresented(template)] + refused_by(ranges, template):
        raise _refused("; ".join(why))
    cpu, ram, said = _kept(template, pods, defaults(ranges, "defaultRequest"))
    allowed = _allowed(found.nodes, template)
    at = Counter(pod.node for pod in pods if pod.node in allowed)
    home = at.most_common(1)[0][0] if at else allowed[len(found.deployments) % len(allowed)]
    given = {
        "name": name,
        "cpu_millicores": cpu,
        "ram_mib": ram,
        "initial_replicas": replicas,
        "max_replicas": _most_replicas(found.quotas, template, ranges, replicas, len(pods), said),
        "allowed_nodes": (home, *(node for node in allowed if node != home)),
    }
    spec: DeploymentSpec = parse(DeploymentSpec, given, name)
    if others := [*listed.autoscalers.get(name, ()), *written_by(raw)]:
        said.append(f"its replicas are also written by {', '.join(others)}: `manage` refuses that (`other_writers`)")
    found.said += [f"Deployment {name}: {line}" for line in said]
    return spec


def _most_replicas(
    quotas: Sequence[Quota], template: Json, ranges: Sequence[Json], replicas: int, pods: int, said: list[str]
) -> int:
    """How far a Deployment may grow: as its headroom and quotas allow, and no less than it has."""
    wish = min(max(2 * replicas, HEADROOM), MOST)
    most = room(quotas, [template], ranges, [pods]).most(0)
    if most is not None and most[0] < wish:
        said.append(f"at most {most[0]} replicas by {most[1]}, if the others don't grow")
        if not max(most[0], replicas):
            raise _refused(f"{most[1]} has no room for a pod of it")
        wish = most[0]
    return max(wish, replicas)


def _kept(template: Json, pods: Sequence[Pod], given: Mapping[str, str]) -> tuple[float, float, list[str]]:
    """Millicores and MiB that the scheduler keeps for a pod, and what was assumed.

    The newest pod says it if there is one: it has what admission adds (sidecars, a runtime class's overhead).
    """
    (cpu, ram), said = pod_requests(template, given), []
    if pods:
        newest = max(pods, key=lambda pod: pod.created_s)
        if (newest.cpu_millicores, newest.ram_mib) != (cpu, ram):
            template_says = f"by its template {cpu:g}m, {ram:g} MiB"
            said = [f"its newest pod has {newest.cpu_millicores:g}m, {newest.ram_mib:g} MiB; {template_says}"]
        cpu, ram = newest.cpu_millicores, newest.ram_mib
    elif "runtimeClassName" in template and "overhead" not in template:
        said = [f"the overhead of runtime class {template['runtimeClassName']} is not counted"]
    if missing := [kind for kind, amount in (("cpu", cpu), ("memory", ram)) if not amount]:
        raise _refused(f"requests no {' and no '.join(missing)}: give its containers requests")
    return cpu, ram, said


def _allowed(nodes: Mapping[str, Node], template: Json) -> list[str]:
    """Names of the nodes where a template lets its pods run; raises `InvalidInput` where there are none."""
    selected = [name for name, node in nodes.items() if selects(template, name, node.labels)]
    allowed = [name for name in selected if not untolerated(template, nodes[name].taints)]
    if not allowed:
        taints = sorted({key for name in selected for key in untolerated(template, nodes[name].taints)})
        why = f"that it selects has a taint: {', '.join(taints)}" if taints else "is one that it selects"
        raise _refused(f"{'every' if taints else 'no'} Ready node {why}")
    return allowed


def _refused(reason: str) -> InvalidInput:
    return InvalidInput("Deployment", [Violation(".", reason)])


def _name(raw: Json) -> str:
    return str(raw["metadata"]["name"])


def _left_out(kind: str, raw: Json, error: Exception) -> str:
    """A line on an object that is not used, with what is odd about it."""
    if isinstance(error, InvalidInput):
        why = "; ".join(map(str, error.violations))
    elif isinstance(error, ValueError):  # of a quantity or a time, which it shows
        why = f"can't be read: {error}"
    else:
        why = odd_field(kind, raw) or f"can't be read: {error!r}"
    return f"{kind} {_name(raw)} left out: {why}"
