"""From what Kubernetes shows and what the sources measured to a state; the digital twin fills the gaps."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lwmecps_core.cluster.base import ClusterState, Counts, Floats
from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.cluster.kubernetes_objects import Node, Place, Pod, Whereabouts
from lwmecps_core.cluster.kubernetes_sources import Requests, Twin, Usage, read_usage, request_source
from lwmecps_core.errors import SourceUnavailable
from lwmecps_core.specs import KubernetesSpec, TaskSpec
from lwmecps_core.tasks.calls import of_users
from lwmecps_core.tasks.workload import DAY_S

_log = logging.getLogger(__name__)


class Measurement:
    """The states of a task's cluster, one per control interval."""

    def __init__(self, api: Api, task: TaskSpec, spec: KubernetesSpec) -> None:
        self._api, self._task, self._spec = api, task, spec
        self._twin = Twin(task)
        self._source = request_source(spec, task)
        self._first: tuple[Counts, ClusterState] | None = None

    def begin(self, seed: int, home: Counts) -> None:
        """Begin an episode; `home` is the placement of its first interval."""
        self._first = home, self._twin.begin(seed)

    def read(
        self, seen: Whereabouts, places: Mapping[str, Place], nodes: Mapping[str, Node], pods: Mapping[str, Pod]
    ) -> ClusterState:
        """The state after an interval, its moves left open.

        Raises `SourceUnavailable` for a source that does not answer and that the task lets nothing stand in for.
        """
        twin = self._simulate(seen.ready)
        state = replace(
            twin,
            ready=seen.ready,
            starting=seen.starting,
            pending=seen.pending,
            cpu_requested=seen.cpu_requested,
            ram_requested=seen.ram_requested,
        )
        simulated = {"network", "users", "users_rate"}
        usage = self._usage(places, nodes, pods)
        if usage is None:
            simulated |= {"cpu_used", "utilisation"}
        else:
            state = replace(state, utilisation=usage.utilisation, cpu_used=usage.cpu_used)
        measured = self._requests(twin)
        if measured is None:
            measured = Requests()
            simulated.add("turn")
        else:
            state = replace(state, turn=time.time() / DAY_S % 1.0)
        for name in ("request_rate", "latency_ms", "failed_share"):
            if (values := getattr(measured, name)) is None:
                simulated.add(name)
            else:
                state = replace(state, **{name: values})
        if measured.rate_split_by_twin:
            simulated.add("request_rate")
        if measured.latency_p95_ms is None:
            simulated.add("latency_ms_p95")
        else:
            state = replace(state, latency_ms_p95=measured.latency_p95_ms)
        return _totals(self._task, replace(state, simulated=tuple(sorted(simulated))))

    def _simulate(self, ready: Counts) -> ClusterState:
        first, self._first = self._first, None
        if first is not None and (first[0] == ready).all():
            return first[1]
        return self._twin.advance(ready)

    def _usage(self, places: Mapping[str, Place], nodes: Mapping[str, Node], pods: Mapping[str, Pod]) -> Usage | None:
        if self._spec.usage == "simulated":
            return None
        try:
            return read_usage(self._api, self._spec.namespace, self._task, places, nodes, pods)
        except SourceUnavailable as error:
            self._stand_in(error)
            return None

    def _requests(self, twin: ClusterState) -> Requests | None:
        if self._source is None:
            return None
        try:
            total = twin.request_rate.sum()
            shares = twin.request_rate / total if total > 0.0 else np.full(len(twin.request_rate), 0.0)
            return self._source.read(self._task.interval_s, shares)
        except SourceUnavailable as error:
            self._stand_in(error)
            return None

    def _stand_in(self, error: SourceUnavailable) -> None:
        if self._spec.fallback == "none":
            raise error
        _log.warning("simulated instead: %s", error)


def _totals(task: TaskSpec, state: ClusterState) -> ClusterState:
    """The state with pending pods counted as failures, and what follows for all requests of users."""
    wanted = np.maximum(state.desired.sum(axis=1), 1)
    failed: Floats = np.maximum(state.failed_share, state.pending.sum(axis=1) / wanted)
    rate = of_users(task, state.request_rate, state.users_rate)
    rate = rate if rate.any() else np.ones_like(rate)
    mean_ms = float(np.average(state.latency_ms, weights=rate))
    return replace(
        state,
        failed_share=failed,
        failed_share_total=float(np.average(failed, weights=rate)),
        latency_ms_mean=mean_ms,
        latency_ms_p95=max(state.latency_ms_p95, mean_ms),
    )
