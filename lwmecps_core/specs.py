"""What a placement problem is: cluster, deployments, workload, objective, task; and what an agent sees of it.

Units are in the names. All classes are frozen, compare by value, and refuse unknown keys and impossible values
(`lwmecps_core.config`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from lwmecps_core.config import NonNegative as NonNegative
from lwmecps_core.config import Positive as Positive
from lwmecps_core.config import Share as Share
from lwmecps_core.config import config
from lwmecps_core.env_ids import ALL_ENV_IDS as ALL_ENV_IDS
from lwmecps_core.env_ids import CONTINUOUS_SUFFIX as CONTINUOUS_SUFFIX
from lwmecps_core.env_ids import ENV_IDS as ENV_IDS
from lwmecps_core.env_ids import EnvId as EnvId
from lwmecps_core.objective import ObjectiveSpec as ObjectiveSpec
from lwmecps_core.objective import PricesSpec as PricesSpec
from lwmecps_core.objective import SloSpec as SloSpec
from lwmecps_core.parts import CallSpec as CallSpec
from lwmecps_core.parts import ClusterSpec as ClusterSpec
from lwmecps_core.parts import DeploymentSpec as DeploymentSpec
from lwmecps_core.parts import Name as Name
from lwmecps_core.parts import NodeSpec as NodeSpec
from lwmecps_core.parts import in_calling_order
from lwmecps_core.sizes import MAX_NUMBERS, refuse_too_large

FAMILIES = ("kubernetes_scaling", "load_balancing", "resource_optimization", "mec_city", "load_profile")
FAMILY_PARAMETERS = {
    "kubernetes_scaling": ("max_pods", "cpu_requirement", "memory_requirement"),
    "load_balancing": ("traffic_pattern", "latency_threshold"),
    "resource_optimization": ("optimization_target", "constraint_weight"),
}
"""What a family's tasks may fix; what is not fixed is drawn."""
Resample = Literal["mean", "max", "sample"]
"""What a control interval takes of the recorded steps that it covers: mean, largest, or the one at its start."""


@config
class MobilitySpec:
    """How users move between stations: they leave the one where the workload has them for near ones, and come back.

    In every control interval a part of those at their own station leaves for one of the nearest by round trip, those
    away move on as often, and a part of those away comes home. Whereto, and how many, is drawn for every interval and
    station from `seed`, so that crowds move together.
    """

    leave: Share = 0.05
    """Part of the users at a station that leaves it in a control interval, on average."""
    come_back: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Part of those away that is back home after a control interval."""
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 2
    """Stations that users go on to from one: the nearest by round trip, nearer ones more often."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """What the moves are drawn from: the same in every episode."""


@config
class WorkloadSpec:
    """Users at each node over time, and what they request.

    `recorded` replays `recorded_users[step][node]`, each step lasting `recorded_step_s`, again and again, a control
    interval taking what `resample` says of the steps that it covers; the other patterns are made from `base_users` (per
    node), `amplitude` (share of the base that varies), `period_s` and `phase` (per node, in periods). Every user sends
    one request per `request_interval_s`. `share[node][deployment]` is the part of a node's users that requests each
    deployment first; when that deployment has no ready replica, requests go on to the next one in `failover[node]`
    (deployment indices in order of preference; empty: they fail).
    """

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
    """Relative standard deviation of the users in one control interval around the pattern."""
    share: tuple[tuple[Share, ...], ...]
    failover: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()
    speedup: Positive = 1.0
    """How many seconds of the pattern pass in one second of the environment."""
    random_start: bool = True
    """Whether an episode starts at a random moment of the pattern (drawn from its seed) or at its beginning."""
    mobility: MobilitySpec | None = None
    """How users move between stations; none: they stay where the pattern has them."""


DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+([/?#]\S*)?$", max_length=2000)]
"""No user and password: tasks are shown to everybody."""
Query = Annotated[str, Field(max_length=4000)]


@config
class PrometheusSpec:
    """Where a Prometheus server measures the requests of a cluster's deployments, and with which queries.

    A query gives one sample per deployment, told apart by the label `label`; `$namespace` and `$interval` (such as
    `10s`) are put in. An empty query leaves its quantity to the simulator.
    """

    base_url: HttpUrl
    label: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")] = "deployment"
    rate_query: Query = ""
    """Requests per second."""
    latency_ms_query: Query = ""
    """Mean latency."""
    latency_p95_ms_query: Query = ""
    """95th percentile of the latency over all deployments: one sample, its labels ignored."""
    failed_share_query: Query = ""
    """Share of the requests that failed."""


@config
class ApplicationSpec:
    """A MEC test application that drives the load and measures it: statistics of one group of its experiments."""

    base_url: HttpUrl
    group_id: Annotated[str, Field(min_length=1, max_length=253)]


@config
class KubernetesSpec:
    """How a task's deployments are found, driven and measured on a real cluster (`lwmecps_core.cluster.kubernetes`).

    Names of the task's nodes and deployments are those of the cluster's nodes and of Deployments in `namespace` that
    match `label_selector`. Nothing else is touched, and nothing at all without `manage`.
    """

    namespace: DnsLabel = "default"
    label_selector: Annotated[str, Field(max_length=1000)] = ""
    manage: bool = False
    """Whether placements are carried out; false: it is only said what would be done."""
    rollback: bool = False
    """Whether closing restores the placement that the first reset found."""
    ready_deadline_s: Positive = 60.0
    """How long pods may take to become ready; later they count as pending."""
    unreachable_deadline_s: Positive = 30.0
    """How long the API server may stay away before that is an error."""
    usage: Literal["metrics_server", "simulated"] = "metrics_server"
    """Where the use of CPU comes from: `metrics.k8s.io`, or the simulator fed with the ready replicas."""
    prometheus: PrometheusSpec | None = None
    test_application: ApplicationSpec | None = None
    """Where request rate, latency and failures come from; neither: the simulator fed with the ready replicas."""
    fallback: Literal["none", "simulated"] = "none"
    """What stands in for a source that does not answer; none: that is an error."""
    max_moves_per_interval: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most pods created and removed in one control interval."""
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """The `min_replicas` of every deployment whose own is smaller, as far as its limits allow; on the cluster they are
    counted over all nodes."""
    latency_ceiling_ms: Positive | None = None
    """Mean latency beyond which the last placement that kept below it is restored for one interval."""
    other_writers: Literal["refuse", "override"] = "refuse"
    """What becomes of `manage` where an autoscaler, a GitOps tool or an operator writes a Deployment's replicas too."""
    pace: Annotated[float, Field(ge=1.0, le=10_000.0)] = 1.0
    """Seconds of the task's time that pass in one second; above 1 where the simulator stands in for all measurement."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.prometheus and self.test_application:
            raise ValueError("prometheus and test_application exclude each other")
        if self.pace > 1.0 and (self.prometheus or self.test_application or self.usage != "simulated"):
            raise ValueError("pace: what is measured takes its time; above 1 only where everything is simulated")
        return self


@config
class TaskSpec:
    """One decision problem: cluster + deployments + workload + objective + environment version + horizon."""

    name: Name
    env_id: EnvId = "lwmecps-v3"
    cluster: ClusterSpec
    deployments: Annotated[tuple[DeploymentSpec, ...], Field(min_length=1)]
    workload: WorkloadSpec
    objective: ObjectiveSpec = ObjectiveSpec()
    prices: PricesSpec | None = None
    """What running costs; with it, or with `objective.slo`, results say so."""
    horizon: Annotated[int, Field(ge=1, le=100_000)] = 120
    interval_s: Positive = 10.0
    episodes: Annotated[int, Field(ge=1)] | None = None
    """Episodes that a run which says nothing about its length trains for on this task."""
    routing: Literal["cluster", "least_connections", "local_first"] = "cluster"
    latency_model: Literal["queue", "testapp"] = "queue"
    family: str = ""
    kubernetes: KubernetesSpec | None = None
    """The real cluster behind the task, for backends that need one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        nodes = [node.name for node in self.cluster.nodes]
        names = [d.name for d in self.deployments]
        if len(set(names)) != len(names):
            raise ValueError("deployment names must be unique")
        for d in self.deployments:
            for name in d.allowed_nodes:
                if name not in nodes:
                    raise ValueError(f"deployment {d.name!r}: allowed_nodes names an unknown node {name!r}")
        in_calling_order(self.deployments)
        powered = any(node.busy_watts > 0.0 for node in self.cluster.nodes)
        if not powered and (self.objective.energy > 0.0 or (self.prices and self.prices.kwh > 0.0)):
            raise ValueError("objective.energy and prices.kwh are for nodes with busy_watts, and there are none")
        w, n = self.workload, len(nodes)
        if w.pattern == "recorded":
            if not w.recorded_users:
                raise ValueError("workload.recorded_users must not be empty for pattern 'recorded'")
            if any(len(row) != n for row in w.recorded_users):
                raise ValueError(f"workload.recorded_users must have one column per node ({n})")
        elif len(w.base_users) != n:
            raise ValueError(f"workload.base_users must have one entry per node ({n}), not {len(w.base_users)}")
        if w.phase and len(w.phase) != n:
            raise ValueError(f"workload.phase must have one entry per node ({n}) or be empty")
        if len(w.share) != n or any(len(row) != len(names) for row in w.share):
            raise ValueError(f"workload.share must be {n} x {len(names)}: one row per node, one column per deployment")
        if any(sum(row) > 1 + 1e-6 for row in w.share):
            raise ValueError("workload.share: a row must not sum to more than 1")
        if w.failover and (len(w.failover) != n or any(i >= len(names) for row in w.failover for i in row)):
            raise ValueError("workload.failover must have one row per node, with indices of deployments")
        refuse_too_large(self)
        return self


@config
class TaskDistribution:
    """A way to draw tasks: a family and what all of its tasks share (see `lwmecps_core.tasks.families`).

    `recorded_users` (`[step][node]`, steps of `recorded_step_s`), when given, replaces the family's generated load by
    recorded load; it has `nodes` columns. `resample` is the workload's. Its users send one request per
    `recorded_request_interval_s` (None: the family's), to the stations in `recorded_failover[node]` in order of
    preference (empty: the nearest first). Parameters of one family that are None are drawn for every task.
    """

    family: Literal["kubernetes_scaling", "load_balancing", "resource_optimization", "mec_city", "load_profile"] = (
        "mec_city"
    )
    env_id: EnvId = "lwmecps-v3"
    nodes: Annotated[int, Field(ge=1, le=1000)] = 4
    deployments: Annotated[int, Field(ge=1, le=1000)] = 4
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 8
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    horizon: Annotated[int, Field(ge=1, le=100_000)] = 120
    recorded_users: tuple[tuple[NonNegative, ...], ...] = ()
    recorded_step_s: Positive = 10.0
    resample: Resample = "mean"
    recorded_request_interval_s: Positive | None = None
    recorded_failover: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()

    max_pods: Annotated[int, Field(ge=1, le=1000)] | None = None
    """kubernetes_scaling: pods that a node has room for."""
    cpu_requirement: Positive | None = None
    """kubernetes_scaling: millicores per pod."""
    memory_requirement: Positive | None = None
    """kubernetes_scaling: MiB per pod."""
    traffic_pattern: Literal["uniform", "burst", "gradual", "diurnal"] | None = None
    """load_balancing: how users vary over time."""
    latency_threshold: Positive | None = None
    """load_balancing: the target latency (ms)."""
    optimization_target: Literal["cpu", "memory", "latency"] | None = None
    """resource_optimization: what is scarce or dear."""
    constraint_weight: NonNegative | None = None
    """resource_optimization: weight of missed timeouts against the other terms (which sum to 1)."""
    slo: SloSpec | None = None
    """Bounds of every task, in place of the weights that the family draws."""
    prices: PricesSpec | None = None
    """What running costs, on every task."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(len(row) != self.nodes for row in self.recorded_users):
            raise ValueError(f"recorded_users must have one column per node ({self.nodes})")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} must not exceed max_replicas {self.max_replicas}")
        order = self.recorded_failover
        if order and (len(order) != self.nodes or any(i >= self.nodes for row in order for i in row)):
            raise ValueError(f"recorded_failover must have one row per node ({self.nodes}), with indices of nodes")
        for name in ("recorded_failover", "recorded_request_interval_s"):
            if getattr(self, name) and not self.recorded_users:
                raise ValueError(f"{name} says how recorded users send requests, but there are no recorded_users")
        if self.prices and self.prices.kwh > 0.0:
            raise ValueError("prices.kwh is for nodes with busy_watts, which families don't draw")
        if (numbers := self.nodes * self.deployments * (self.max_replicas + 1)) > MAX_NUMBERS:
            raise ValueError(f"nodes x deployments x (max_replicas + 1) is {numbers}, at most {MAX_NUMBERS}")
        for family, names in FAMILY_PARAMETERS.items():
            for name in names:
                if family != self.family and getattr(self, name) is not None:
                    raise ValueError(f"{name} is a parameter of {family}, not of {self.family}")
        return self


@dataclass(frozen=True)
class EnvSpec:
    """What an algorithm must know about an environment; equal for all tasks that one batch may hold.

    An observation is one float32 vector: the `blocks` in order, each flattened in C order. What a block describes is
    its entity (`entity_of`): all of it `[F]`, each deployment `[D, F]`, node `[N, F]` or pair `[D, N, F]`. An action is
    `action_size` integers, the i-th in `[0, nvec[i])`, or, if `nvec` is empty, `action_size` floats in `[0, 1]`. A mask
    has `sum(nvec)` booleans: those of the first action component, then those of the second…; true means allowed.
    """

    env_id: str
    blocks: tuple[tuple[str, tuple[int, ...]], ...]
    nvec: tuple[int, ...]
    action_size: int
    horizon: int
    action_entity: Literal["global", "deployment", "pair"] = "global"
    """Which block's rows the action components belong to, in order: v3 `deployment`, v4 `pair`, else `global`."""

    @cached_property
    def obs_size(self) -> int:
        """Length of the observation vector."""
        return sum(prod(shape) for _, shape in self.blocks)

    def without(self, names: Sequence[str]) -> "EnvSpec":
        """The same environment, where the blocks of these names are not shown."""
        return replace(self, blocks=tuple(block for block in self.blocks if block[0] not in names))

    def rows_of(self, entity: str) -> int:
        """How many rows the blocks of an entity have (`deployment`, `node`; of pairs: deployments); 0 without one."""
        return next((shape[0] for name, shape in self.blocks if entity_of(name) == entity), 0)

    @property
    def mask_size(self) -> int:
        """Length of the action mask: 0 when actions are continuous."""
        return sum(self.nvec)

    @property
    def discrete(self) -> bool:
        """Whether actions are integers."""
        return bool(self.nvec)


Entity = Literal["global", "deployment", "node", "pair"]
_ENTITIES: dict[str, Entity] = {
    "objective": "global",
    "limits": "deployment",
    "expense": "global",
    "tariff": "node",
    "home_tariff": "deployment",
    "calls": "deployment",
}


CONTEXT = "_context"
"""How the names of a context's blocks end: `<entity>_context`."""


def entity_of(block: str) -> Entity:
    """What the rows of a block are about."""
    return _ENTITIES.get(block) or cast(Entity, block.removesuffix(CONTEXT))


def unlike(one: EnvSpec, other: EnvSpec) -> str:
    """What two environments show differently, of whatever size they are; empty if nothing."""
    shown = [{name: shape[-1] for name, shape in spec.blocks if name != "global"} for spec in (one, other)]
    if not (differ := sorted({name for name, _ in shown[0].items() ^ shown[1].items()})):
        return ""
    bounds = "; bounds (objective.slo) are observed where tasks have them" if "objective" in differ else ""
    return f"other quantities ({', '.join(differ)}{bounds})"


WRITTEN: tuple[Literal["objective", "limits"], ...] = ("objective", "limits")
"""The blocks that say what the operator wrote."""
