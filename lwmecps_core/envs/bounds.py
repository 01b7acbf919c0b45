"""By how much a cluster's requests miss the bounds of an objective (the scalar twin of `sim.windows`)."""

from collections import deque
from math import log

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import ClusterState
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.windows import LEAST
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.calls import of_users

Floats = NDArray[np.float64]
MET = (log(LEAST), log(LEAST))
"""Where there are no bounds, they hold too."""


class Windows:
    """The latest window of a task's episode."""

    def __init__(self, task: TaskSpec) -> None:
        self._task = task
        slo = task.objective.slo
        shorter = slo is not None and 0 < slo.window < task.horizon
        self._seen: deque[Floats] = deque(maxlen=slo.window if slo and shorter else task.horizon)

    def forget(self) -> None:
        """An episode begins: what it begins with is nobody's doing."""
        self._seen.clear()

    def take_in(self, state: ClusterState) -> tuple[float, float]:
        """What the worst group's window has of the bounds on failures and on latency: logarithms of its shares, above 0
        where it misses them.

        Raises `InvalidInput` where a bound is for what the cluster doesn't measure.
        """
        slo = self._task.objective.slo
        if slo is None:
            return MET
        each = slo.scope == "each"
        requests = (
            state.request_rate
            if each
            else of_users(self._task, state.request_rate, state.users_rate).sum(keepdims=True)
        )
        failed = state.failed_share if each else np.array([state.failed_share_total])
        p95: Floats | None = state.p95_ms if each else np.array([state.latency_ms_p95])
        if p95 is None:
            if slo.latency_p95_ms is not None:
                reason = "this cluster measures the 95th percentile of all deployments together: use overall"
                raise InvalidInput(self._task.name, [Violation("objective.slo.scope", reason)])
            p95 = np.zeros_like(requests)
        self._seen.append(np.stack([requests, requests * failed, requests * p95]))
        total = np.sum(self._seen, axis=0)
        asked = total[:, total[0] > 0.0]
        return _excess(asked[1] / asked[0], slo.failed_share), _excess(asked[2] / asked[0], slo.latency_p95_ms)


def _excess(found: Floats, bound: float | None) -> float:
    return log(LEAST) if bound is None else log(max([LEAST, *(found / bound).tolist()]))
