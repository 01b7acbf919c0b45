"""What a placement problem is made of: nodes and links, deployments and whom they call."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from lwmecps_core.config import NonNegative, Positive, config

Name = Annotated[str, Field(min_length=1, max_length=253)]


@config
class NodeSpec:
    """A worker node next to a base station."""

    name: Name
    cpu_millicores: Positive
    ram_mib: Positive
    tx_mbps: Positive = 1000.0
    rx_mbps: Positive = 1000.0
    access_latency_ms: NonNegative = 2.0
    replica_hour: Positive | None = None
    """Price of a replica for an hour here, as in a tier of its own; none: the task's (`prices.replica_hour`)."""
    idle_watts: NonNegative = 0.0
    """Power that the node draws while any pod is on it; without one it sleeps and draws none."""
    busy_watts: NonNegative = 0.0
    """Power that it draws with all of its CPU in use; in between it goes with the CPU."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.idle_watts > self.busy_watts:
            watts = f"idle_watts {self.idle_watts:g} must not exceed busy_watts {self.busy_watts:g}"
            raise ValueError(f"node {self.name!r}: {watts}")
        return self


@config
class ClusterSpec:
    """Nodes and the round-trip latency between them: `rtt_ms[n][m]`, symmetric, zero diagonal."""

    nodes: Annotated[tuple[NodeSpec, ...], Field(min_length=1)]
    rtt_ms: tuple[tuple[NonNegative, ...], ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.nodes)
        if len({node.name for node in self.nodes}) != n:
            raise ValueError("node names must be unique")
        if len(self.rtt_ms) != n or any(len(row) != n for row in self.rtt_ms):
            raise ValueError(f"rtt_ms must be {n} x {n}, one row and column per node")
        for i in range(n):
            if self.rtt_ms[i][i] != 0:
                raise ValueError(f"rtt_ms[{i}][{i}] must be 0")
            for j in range(i):
                if abs(self.rtt_ms[i][j] - self.rtt_ms[j][i]) > 1e-6:
                    pair = f"[{i}][{j}] is {self.rtt_ms[i][j]:g}, [{j}][{i}] is {self.rtt_ms[j][i]:g}"
                    raise ValueError(f"rtt_ms must be symmetric: {pair} (files: symmetrise: mean or max, beside it)")
        return self


@config
class CallSpec:
    """That requests to one deployment make requests to another, one after the other, and wait for the answers."""

    deployment: Name
    """Which deployment is called."""
    times: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How often a request calls it, on average."""


def _listed(calls: Any) -> Any:
    """Calls as people write them: names, or a mapping of names to how often."""
    if isinstance(calls, Mapping):
        return [{"deployment": name, "times": times} for name, times in calls.items()]
    if isinstance(calls, list | tuple):
        return [{"deployment": call} if isinstance(call, str) else call for call in calls]
    return calls


Calls = Annotated[tuple[CallSpec, ...], BeforeValidator(_listed)]


@config
class DeploymentSpec:
    """A Kubernetes Deployment: what one pod uses, what one request costs, and where pods may run."""

    name: Name
    cpu_millicores: Positive = 500.0
    ram_mib: Positive = 256.0
    tx_mbps: NonNegative = 0.0
    rx_mbps: NonNegative = 0.0
    cpu_time_ms: Positive = 50.0
    cpu_time_cv: NonNegative = 1.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Requests that a pod serves at once; they share its CPU, and the others wait in order."""
    usable_cores: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """CPUs that a pod's process can keep busy (1: an interpreter with a global lock); 0: one for every request."""
    startup_s: Annotated[float, Field(ge=0, le=80)] = 5.0
    timeout_ms: Positive = 1000.0
    abandon: bool = False
    """Whether requests whose clients have stopped waiting leave the queue; else they are served for nobody."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 8
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Fewest replicas that a policy may ask for, for safety's sake; they stand at home where it has room."""
    initial_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    allowed_nodes: tuple[Name, ...] = ()
    """Names of the nodes where pods may run, the first being home (v1, v3); empty: everywhere."""
    calls: Calls = ()
    """What a request calls while it is served; the calls of all deployments must not come back to their beginning."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.initial_replicas > self.max_replicas:
            raise ValueError("initial_replicas must not exceed max_replicas")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} must not exceed max_replicas {self.max_replicas}")
        return self


def in_calling_order(deployments: Sequence[DeploymentSpec]) -> tuple[int, ...]:
    """Indices of deployments, callers before those they call; as they stand where nobody calls.

    Raises `ValueError` for calls of unknown deployments, of one twice, or in a circle.
    """
    at = {d.name: i for i, d in enumerate(deployments)}
    callers: dict[int, list[int]] = {i: [] for i in range(len(deployments))}
    for i, d in enumerate(deployments):
        called = [call.deployment for call in d.calls]
        for name in called:
            if name not in at:
                raise ValueError(f"deployment {d.name!r}: calls names an unknown deployment {name!r}")
            if called.count(name) > 1:
                raise ValueError(f"deployment {d.name!r}: calls names {name!r} more than once")
            callers[at[name]].append(i)
    if not any(callers.values()):
        return tuple(callers)
    try:
        return tuple(TopologicalSorter(callers).static_order())
    except CycleError as error:
        circle = " -> ".join(deployments[i].name for i in error.args[1])
        raise ValueError(f"calls go in a circle: {circle}") from None
