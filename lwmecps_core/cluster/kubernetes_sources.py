"""Where what can't be seen in Kubernetes' objects comes from: the digital twin, metrics-server, Prometheus, or a
MEC test application.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Protocol

import numpy as np

from lwmecps_core.cluster.base import ClusterState, Counts, Floats
from lwmecps_core.cluster.kubernetes_api import Api, ApiFailure, Json
from lwmecps_core.cluster.kubernetes_objects import Node, Place, Pod, quantity
from lwmecps_core.cluster.simulated import simulated_state
from lwmecps_core.errors import AccessDenied, SourceUnavailable
from lwmecps_core.sim.simulator import Simulator
from lwmecps_core.specs import ApplicationSpec, KubernetesSpec, PrometheusSpec, TaskSpec

SOURCE_TIMEOUT_S = 5.0
METRICS = "/apis/metrics.k8s.io/v1beta1"


class Twin:
    """The simulator beside the cluster: the task's load on the replicas that are really ready."""

    def __init__(self, task: TaskSpec) -> None:
        self._task = task
        self._simulator = Simulator([task], [0])

    def begin(self, seed: int) -> ClusterState:
        """Begin the load of an episode; what its first interval shows, at the initial placement."""
        self._simulator.begin([seed])
        return simulated_state(self._task, self._simulator)

    def advance(self, ready: Counts) -> ClusterState:
        """What the next interval shows with `ready` replicas `[D, N]`."""
        state = self._simulator.state
        pools = state.pools[0]
        pools["ready"], pools["starting"], state.ring[0] = ready, 0, 0
        self._simulator.advance(ready[None])
        return simulated_state(self._task, self._simulator)


@dataclass(frozen=True)
class Requests:
    """What was measured about the interval's requests; None where the source does not say.

    `[D]`: request_rate (1/s), latency_ms (mean), failed_share; over all: latency_p95_ms. rate_split_by_twin: only the
    deployments' total rate was measured.
    """

    request_rate: Floats | None = None
    latency_ms: Floats | None = None
    failed_share: Floats | None = None
    latency_p95_ms: float | None = None
    rate_split_by_twin: bool = False


class RequestSource(Protocol):
    """Measures requests; raises `SourceUnavailable`."""

    def read(self, interval_s: float, shares: Floats) -> Requests:
        """The interval that just passed; `shares` `[D]` are the deployments' parts of all requests, by the twin."""
        ...


class Prometheus:
    """Instant queries, one per quantity for all deployments."""

    def __init__(self, spec: PrometheusSpec, task: TaskSpec, namespace: str) -> None:
        self._spec, self._namespace = spec, namespace
        self._rows = {deployment.name: d for d, deployment in enumerate(task.deployments)}

    def read(self, interval_s: float, shares: Floats) -> Requests:
        spec = self._spec
        tail = self._samples(spec.latency_p95_ms_query, interval_s)
        return Requests(
            self._per_deployment(spec.rate_query, interval_s),
            self._per_deployment(spec.latency_ms_query, interval_s),
            self._per_deployment(spec.failed_share_query, interval_s),
            None if tail is None else max((value for _, value in tail), default=0.0),
        )

    def _per_deployment(self, query: str, interval_s: float) -> Floats | None:
        samples = self._samples(query, interval_s)
        if samples is None:
            return None
        out = np.zeros(len(self._rows))
        for labels, value in samples:
            if (d := self._rows.get(labels.get(self._spec.label, ""))) is not None:
                out[d] = value
        return out

    def _samples(self, query: str, interval_s: float) -> list[tuple[Mapping[str, str], float]] | None:
        if not query:
            return None
        text = Template(query).safe_substitute(namespace=self._namespace, interval=f"{max(1, round(interval_s))}s")
        answer = _get(f"{self._spec.base_url.rstrip('/')}/api/v1/query", {"query": text}, "Prometheus")
        try:
            values = [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SourceUnavailable(f"Prometheus at {self._spec.base_url}: no vector for {text!r}: {error!r}") from None
        # A rate of nothing divided by nothing: there were no requests.
        return [(labels, value if np.isfinite(value) and value > 0.0 else 0.0) for labels, value in values]


class ExperimentGroup:
    """The MEC test application: differences between two readings of a group's totals, which only grow.

    The group tells its deployments not apart: all have its latency and failures, and parts of its rate by the twin.
    A request that failed counts there with a latency of -1 ms.
    """

    def __init__(self, spec: ApplicationSpec) -> None:
        self._spec = spec
        self._last: tuple[float, float, float, float] | None = None

    def read(self, interval_s: float, shares: Floats) -> Requests:
        answer = _get(
            f"{self._spec.base_url.rstrip('/')}/group_stats", {"group_id": self._spec.group_id}, "the test application"
        )
        try:
            count = float(answer["total_requests"])
            good, latency = count * float(answer["success_rate"]), count * float(answer["average_latency"])
        except (KeyError, TypeError, ValueError) as error:
            raise SourceUnavailable(f"the test application at {self._spec.base_url}: no totals: {error!r}") from None
        now = time.monotonic()
        last, self._last = self._last, (now, count, good, latency)
        if last is None or count <= last[1]:
            nothing = np.zeros(len(shares))
            return Requests(nothing, nothing.copy(), nothing.copy(), rate_split_by_twin=True)
        came, served = count - last[1], min(count - last[1], max(0.0, good - last[2]))
        spent_ms = max(0.0, latency - last[3] + (came - served))
        mean_ms = spent_ms / served if served > 0.0 else 0.0
        return Requests(
            shares * came / max(now - last[0], 1e-3),
            np.full(len(shares), mean_ms),
            np.full(len(shares), 1.0 - served / came),
            rate_split_by_twin=True,
        )


@dataclass(frozen=True)
class Usage:
    """Busy share of the ready pods `[D, N]`, and of every node's CPU `[N]`."""

    utilisation: Floats
    cpu_used: Floats


def read_usage(
    api: Api,
    namespace: str,
    task: TaskSpec,
    pools: Mapping[str, Place],
    nodes: Mapping[str, Node],
    pods: Mapping[str, Pod],
) -> Usage:
    """What metrics-server saw last; raises `SourceUnavailable` where none is served, `AccessDenied`."""
    columns = {node.name: n for n, node in enumerate(task.cluster.nodes)}
    cpu_used = np.zeros(len(columns))
    for item in _metrics(api, f"{METRICS}/nodes"):
        n, node = columns.get(item["metadata"]["name"], -1), nodes.get(item["metadata"]["name"])
        if n >= 0 and node is not None and node.cpu_millicores > 0.0:
            cpu_used[n] = 1000.0 * quantity(item["usage"]["cpu"]) / node.cpu_millicores
    busy, asked = np.zeros((len(task.deployments), len(columns))), np.zeros((len(task.deployments), len(columns)))
    for item in _metrics(api, f"{METRICS}/namespaces/{namespace}/pods"):
        pod = pods.get(item["metadata"]["name"])
        place = pools.get(pod.deployment) if pod is not None and pod.ready and not pod.gone else None
        if pod is None or place is None or pod.node not in columns:
            continue
        at = place[0], columns[pod.node]
        busy[at] += 1000.0 * sum(quantity(c["usage"]["cpu"]) for c in item["containers"])
        asked[at] += pod.running_millicores or task.deployments[place[0]].cpu_millicores
    return Usage(np.clip(busy / np.maximum(asked, 1e-9), 0.0, 1.0), np.clip(cpu_used, 0.0, 1.0))


def request_source(spec: KubernetesSpec, task: TaskSpec) -> RequestSource | None:
    """The task's source of request rate and latency; None: the twin."""
    if spec.prometheus is not None:
        return Prometheus(spec.prometheus, task, spec.namespace)
    return ExperimentGroup(spec.test_application) if spec.test_application is not None else None


def _metrics(api: Api, path: str) -> list[Json]:
    try:
        return list(api.request("GET", path, timeout_s=SOURCE_TIMEOUT_S).get("items") or ())
    except ApiFailure as error:
        if error.status in (401, 403):
            raise AccessDenied(str(api.failure(error, "GET", path))) from None
        raise SourceUnavailable(f"metrics.k8s.io at {api.address}: {error.message}") from None


def _get(url: str, query: Mapping[str, str], name: str) -> Any:
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=SOURCE_TIMEOUT_S) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError) as error:
        detail = (
            f"{error} {error.read().decode(errors='replace')[:300]}"
            if isinstance(error, urllib.error.HTTPError)
            else error
        )
        raise SourceUnavailable(f"{name} at {url}: {detail}") from None
