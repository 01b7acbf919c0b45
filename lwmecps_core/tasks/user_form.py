"""Tasks as users of the predecessor write them: `node_name`, `max_hardware`, `pod_usage`, `node_info`, `deployments`.

CPU is in cores, RAM in MiB, bandwidth in Mbit/s, latency in ms; `lwmecps_core.tasks.quantities` reads other units.
Disks (MB/s) are checked against `max_hardware`, and go no further: the model has none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.parts import Calls
from lwmecps_core.specs import (
    CONTINUOUS_SUFFIX,
    ClusterSpec,
    DeploymentSpec,
    EnvId,
    KubernetesSpec,
    MobilitySpec,
    Name,
    NodeSpec,
    NonNegative,
    ObjectiveSpec,
    Positive,
    PricesSpec,
    Resample,
    Share,
    TaskSpec,
)
from lwmecps_core.tasks.links import Link, Symmetrise, round_trips
from lwmecps_core.tasks.names import finder

BASE_USERS = 17.0
"""Users per node where the file says nothing about the workload."""
TIMEOUT_MS = 1000.0
"""Of a deployment that has none, where no recording says how long its clients wait."""


@config
class Hardware:
    """The most that any node has (`max_hardware`), and what nodes have that `node_info` does not mention."""

    cpu: Positive
    ram: Positive
    tx_bandwidth: Positive = 1000.0
    rx_bandwidth: Positive = 1000.0
    read_disks_bandwidth: Positive = 500.0
    write_disks_bandwidth: Positive = 500.0
    avg_latency: NonNegative = 2.0


@config
class NodeInfo:
    """What one node has, where it differs from `max_hardware`."""

    cpu: Positive | None = None
    ram: Positive | None = None
    tx_bandwidth: Positive | None = None
    rx_bandwidth: Positive | None = None
    read_disks_bandwidth: Positive | None = None
    write_disks_bandwidth: Positive | None = None
    avg_latency: NonNegative | None = None
    replica_hour: Positive | None = None
    idle_watts: NonNegative | None = None
    busy_watts: NonNegative | None = None


@config
class Tier(NodeInfo):
    """What nodes of one kind have, such as those of the cloud, where `node_info` says nothing else; `users` at each of
    them where no workload says how many.
    """

    nodes: Annotated[tuple[Name, ...], Field(min_length=1)]
    users: NonNegative | None = None


@config
class PodUsage:
    """What one pod uses."""

    cpu: Positive = 0.5
    ram: Positive = 256.0
    tx_bandwidth: NonNegative = 0.0
    rx_bandwidth: NonNegative = 0.0
    read_disks_bandwidth: NonNegative = 0.0
    write_disks_bandwidth: NonNegative = 0.0


@config
class UserDeployment:
    """A deployment with more than a name: where it runs, with how many replicas, and what a request costs."""

    name: Name
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    node: Name | None = None
    pod_usage: PodUsage | None = None
    cpu_time_ms: Positive = 50.0
    cpu_time_cv: NonNegative = 1.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    usable_cores: Annotated[float, Field(ge=0, le=1000)] = 0.0
    startup_s: Annotated[float, Field(ge=0, le=80)] = 5.0
    timeout_ms: Positive | None = None
    abandon: bool = False
    calls: Calls = ()


def _named(deployment: Any) -> Any:
    return {"name": deployment} if not isinstance(deployment, dict | UserDeployment) else deployment


NODE_KEYS = tuple(NodeInfo.__dataclass_fields__)
Deployment = Annotated[UserDeployment, BeforeValidator(_named)]
"""A deployment, or no more than its name."""


@config
class UserWorkload:
    """`WorkloadSpec` with everything optional: by default a diurnal load on the deployment at home."""

    pattern: Literal["uniform", "diurnal", "burst", "gradual", "recorded"] = "diurnal"
    base_users: tuple[NonNegative, ...] = ()
    amplitude: Share = 0.6
    period_s: Positive = 86_400.0
    phase: tuple[Share, ...] = ()
    recorded_users: tuple[tuple[NonNegative, ...], ...] = ()
    recorded_step_s: Positive = 10.0
    resample: Resample = "mean"
    request_interval_s: Positive = 10.0
    arrivals: Literal["poisson", "burst"] = "poisson"
    noise: Annotated[float, Field(ge=0, le=2)] = 0.1
    share: tuple[tuple[Share, ...], ...] | None = None
    failover: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] | None = None
    speedup: Positive = 1.0
    random_start: bool = True
    mobility: MobilitySpec | None = None


@config
class UserTask:
    """The whole file. `max_pods` is the most replicas of one deployment. A node's `avg_latency` is the latency between
    it and its users; a link not listed goes through the core: its round trip is the sum of both nodes' `avg_latency`.
    """

    node_name: Annotated[tuple[Name, ...], Field(min_length=1)]
    max_hardware: Hardware
    pod_usage: PodUsage = PodUsage()
    node_info: dict[Name, NodeInfo] = field(default_factory=dict)
    tiers: dict[Name, Tier] = field(default_factory=dict)
    num_nodes: int | None = None
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)] | None = None
    max_pods: Annotated[int, Field(ge=1, le=1000)] = 10
    episodes: Annotated[int, Field(ge=1)] | None = None
    links: tuple[Link, ...] = ()
    symmetrise: Symmetrise | None = None
    workload: UserWorkload = UserWorkload()
    objective: ObjectiveSpec = ObjectiveSpec()
    prices: PricesSpec | None = None
    env_id: EnvId = "lwmecps-v3"
    horizon: Annotated[int, Field(ge=1, le=100_000)] = 120
    interval_s: Positive = 10.0
    routing: Literal["cluster", "least_connections", "local_first"] = "cluster"
    latency_model: Literal["queue", "testapp"] = "queue"
    name: Name | None = None
    task_id: Name | None = None
    description: str = ""
    kubernetes: KubernetesSpec | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_nodes not in (None, len(self.node_name)):
            raise ValueError(f"num_nodes is {self.num_nodes}, but node_name has {len(self.node_name)} entries")
        return self


def to_task(data: dict[str, Any], source: str, timeout_ms: float = TIMEOUT_MS) -> tuple[TaskSpec, list[str]]:
    """The `TaskSpec` that the users' form means, and what it leaves to defaults; `timeout_ms` is that of a deployment.

    Raises `InvalidInput` with paths inside `source`.
    """
    user: UserTask = parse(UserTask, data, source)
    deployments, notes = user.deployments or tuple(UserDeployment(name=f"app-{name}") for name in user.node_name), []
    if user.deployments is None:
        names = ", ".join(d.name for d in deployments)
        each = f"{deployments[0].cpu_time_ms:g} ms of CPU time per request, {timeout_ms:g} ms timeout"
        notes.append(f"no deployments given: one for each node ({names}; {each}, at most {user.max_pods} replicas)")
    problems = _problems(user, deployments)
    if problems:
        raise InvalidInput(source, problems)
    nodes = tuple(_node(name, user, source) for name in user.node_name)
    access_ms = [node.access_latency_ms for node in nodes]
    rtt_ms, assumed = round_trips(user.node_name, access_ms, user.links, user.symmetrise, source)
    anywhere = user.env_id.removesuffix(CONTINUOUS_SUFFIX) in ("lwmecps-v2", "lwmecps-v4")
    homes, guessed = _homes(deployments, user.node_name)
    pinned = [d.node is not None or not anywhere for d in deployments]
    notes += assumed
    if not user.links and len(nodes) > 1:
        notes.append("no links given: the round trip between two nodes is the sum of their avg_latency")
    if guessed and user.deployments and not anywhere:
        notes.append(f"deployments without a node go to the nodes in turn: {guessed}")
    fields = {
        "name": user.name or user.task_id or "task",
        "env_id": user.env_id,
        "episodes": user.episodes,
        "horizon": user.horizon,
        "interval_s": user.interval_s,
        "routing": user.routing,
        "latency_model": user.latency_model,
        "objective": user.objective,
        "prices": user.prices,
        "kubernetes": user.kubernetes,
        "cluster": ClusterSpec(nodes=nodes, rtt_ms=tuple(tuple(row) for row in rtt_ms.tolist())),
        "deployments": tuple(
            _deployment(d, user, user.node_name[home] if pin else None, timeout_ms)
            for d, home, pin in zip(deployments, homes, pinned, strict=True)
        ),
        "workload": _workload(user, rtt_ms, homes, anywhere),
    }
    task: TaskSpec = parse(TaskSpec, fields, source)
    return task, notes


def _homes(deployments: Sequence[UserDeployment], nodes: Sequence[str]) -> tuple[list[int], str]:
    """The node of every deployment: the one it names, the one of its own name, or else its place in the file; and which
    those last ones are.
    """
    find = finder(nodes)
    homes, guessed = [], []
    for i, d in enumerate(deployments):
        named = find(d.node or d.name)
        homes.append(i % len(nodes) if named is None else named)
        if named is None:
            guessed.append(f"{d.name} to {nodes[homes[-1]]}")
    return homes, ", ".join(guessed)


def _problems(user: UserTask, deployments: Sequence[UserDeployment]) -> list[Violation]:
    found = _names_that_stand_twice(user.node_name, "node_name")
    found += _names_that_stand_twice([d.name for d in deployments], "deployments")
    found += _names_that_stand_twice([name for tier in user.tiers.values() for name in tier.nodes], "tiers")
    for where, info, names in _infos(user):
        found += [Violation(where, f"{name!r} is not in node_name") for name in names if name not in user.node_name]
        for key in user.max_hardware.__dataclass_fields__:
            value, limit = getattr(info, key), getattr(user.max_hardware, key)
            if value is not None and value > limit:
                found.append(Violation(f"{where}.{key}", f"{value:g} is more than max_hardware's {limit:g}"))
    for i, d in enumerate(deployments):
        if d.node is not None and d.node not in user.node_name:
            found.append(Violation(f"deployments[{i}].node", f"{d.node!r} is not in node_name"))
        if d.replicas > (most := d.max_replicas or user.max_pods):
            found.append(Violation(f"deployments[{i}].replicas", f"{d.replicas} is more than its maximum {most}"))
        usage, where = (d.pod_usage, f"deployments[{i}].pod_usage") if d.pod_usage else (user.pod_usage, "pod_usage")
        for key in usage.__dataclass_fields__:
            value, limit = getattr(usage, key), getattr(user.max_hardware, key)
            if value > limit:
                found.append(Violation(f"{where}.{key}", f"{value:g} is more than any node has ({limit:g})"))
    return list(dict.fromkeys(found))


def _infos(user: UserTask) -> list[tuple[str, NodeInfo, Sequence[str]]]:
    """Where something is said of nodes, what, and of which."""
    of_nodes = [(f"node_info.{name}", info, (name,)) for name, info in user.node_info.items()]
    of_tiers: list[tuple[str, NodeInfo, Sequence[str]]] = [
        (f"tiers.{name}", tier, tier.nodes) for name, tier in user.tiers.items()
    ]
    return [*of_tiers, *of_nodes]


def _names_that_stand_twice(names: Sequence[str], field: str) -> list[Violation]:
    return [Violation(field, f"{name!r} stands {count} times") for name, count in Counter(names).items() if count > 1]


def _node(name: str, user: UserTask, source: str) -> NodeSpec:
    has = {key: getattr(user.max_hardware, key) for key in user.max_hardware.__dataclass_fields__}
    for _, info, names in _infos(user):
        if name in names:
            has |= {key: v for key in NODE_KEYS if (v := getattr(info, key)) is not None}
    fields = {
        "name": name,
        "cpu_millicores": 1e3 * has["cpu"],
        "ram_mib": has["ram"],
        "tx_mbps": has["tx_bandwidth"],
        "rx_mbps": has["rx_bandwidth"],
        "access_latency_ms": has["avg_latency"],
    }
    same = {key: has[key] for key in ("replica_hour", "idle_watts", "busy_watts") if key in has}
    node: NodeSpec = parse(NodeSpec, fields | same, source)
    return node


def _deployment(d: UserDeployment, user: UserTask, home: str | None, timeout_ms: float) -> DeploymentSpec:
    usage = d.pod_usage or user.pod_usage
    return DeploymentSpec(
        name=d.name,
        cpu_millicores=1e3 * usage.cpu,
        ram_mib=usage.ram,
        tx_mbps=usage.tx_bandwidth,
        rx_mbps=usage.rx_bandwidth,
        cpu_time_ms=d.cpu_time_ms,
        cpu_time_cv=d.cpu_time_cv,
        concurrency=d.concurrency,
        usable_cores=d.usable_cores,
        startup_s=d.startup_s,
        timeout_ms=d.timeout_ms or timeout_ms,
        abandon=d.abandon,
        calls=d.calls,
        max_replicas=d.max_replicas or user.max_pods,
        initial_replicas=d.replicas,
        allowed_nodes=(home,) if home else (),
    )


def _workload(user: UserTask, rtt_ms: NDArray[np.float64], homes: list[int], anywhere: bool) -> dict[str, Any]:
    """The workload with its gaps filled: users ask the nearest deployment first, and then the next nearest.

    Where pods may run anywhere, deployments are different services: users ask all of them alike.
    """
    w, n, count = user.workload, len(rtt_ms), len(homes)
    nearest = np.argsort(rtt_ms[:, homes], axis=1, kind="stable")
    fields = {name: getattr(w, name) for name in w.__dataclass_fields__}
    if w.share is None:
        fields["share"] = np.full((n, count), np.floor(1e6 / count) / 1e6) if anywhere else np.eye(count)[nearest[:, 0]]
        fields["share"] = tuple(tuple(row) for row in fields["share"].tolist())
    if w.failover is None:
        fields["failover"] = () if anywhere else tuple(tuple(row) for row in nearest.tolist())
    if not w.base_users and w.pattern != "recorded":
        few = {name: tier.users for tier in user.tiers.values() for name in tier.nodes if tier.users is not None}
        fields["base_users"] = tuple(few.get(name, BASE_USERS) for name in user.node_name)
    return fields
