"""The contract of a cluster that a policy can drive: simulated here, a real one elsewhere."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.simulator import limit_placement
from lwmecps_core.specs import TaskSpec

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class ClusterState:
    """What a cluster shows about the control interval that just passed.

    Pods `[D, N]` i32: ready; starting (scheduled, not yet ready); pending (wanted, but no room); their sum is desired.
    utilisation `[D, N]`: CPU that the ready pods use, of what they request. Deployments `[D]`: request_rate (1/s),
    latency_ms (mean over the requests that came; 0 without any), failed_share. Nodes `[N]`: users_rate (1/s, requests
    of the node's users), cpu_used, cpu_requested, ram_requested, network (shares of the node). Over all:
    latency_ms_mean, latency_ms_p95, failed_share_total, users, moves (pods created and removed), and turn, the time as
    a share of the daily cycle.
    p95_ms `[D]`, the deployments' own 95th percentiles, is there only where they are measured.
    `simulated` names the quantities that a real cluster's state takes from the simulator.
    """

    ready: Counts
    starting: Counts
    pending: Counts
    utilisation: Floats
    request_rate: Floats
    latency_ms: Floats
    failed_share: Floats
    users_rate: Floats
    cpu_used: Floats
    cpu_requested: Floats
    ram_requested: Floats
    network: Floats
    latency_ms_mean: float
    latency_ms_p95: float
    failed_share_total: float
    users: float
    moves: float
    turn: float
    simulated: tuple[str, ...] = ()
    p95_ms: Floats | None = None

    @property
    def desired(self) -> Counts:
        """Replicas asked for, `[D, N]`."""
        return self.ready + self.starting + self.pending

    @property
    def replicas(self) -> int:
        """Pods that were scheduled: ready or starting."""
        return int(self.ready.sum() + self.starting.sum())


class ClusterBackend(Protocol):
    """A cluster with the deployments of one task.

    Promises, checked for every backend by `lwmecps_core.testing.BackendConformance`:

    * `reset` brings the deployments to their initial replicas, each at its home node and ready, and lets one control
      interval pass; it may be called again at any time. Backends that can't choose their randomness ignore the seed.
    * `apply` only states what is desired; it takes effect in the next `advance`. Placing the same twice moves nothing.
      What a node's limit or max_replicas (counted in node order) does not allow is left out; a wrong shape, or a
      negative count, raises `InvalidInput` and changes nothing.
    * Pods that don't fit are pending and are tried again every interval; no node is filled beyond its CPU or RAM.
    * `advance` lets one control interval (`task.interval_s`) pass and returns what `observe` will show until the next.
    * `observe` changes nothing. `close` may be called twice. Before the first `reset` and after `close`, everything
      else raises `WrongState`.
    * A cluster that can't be reached raises `ClusterUnavailable`.
    """

    task: TaskSpec

    def reset(self, seed: int) -> ClusterState: ...

    def observe(self) -> ClusterState: ...

    def apply(self, placement: Counts) -> None: ...

    def advance(self) -> ClusterState: ...

    def close(self) -> None: ...


def allowed_placement(placement: Counts, limit: Counts, max_replicas: NDArray[np.int64]) -> Counts:
    """What of a placement `[D, N]` may be, by the contract of `ClusterBackend.apply`; raises `InvalidInput`."""
    wanted = np.asarray(placement)
    if wanted.shape != limit.shape or wanted.dtype.kind not in "iu":
        reason = f"must be whole numbers of shape {limit.shape}, not {wanted.dtype} of shape {wanted.shape}"
        raise InvalidInput("placement", [Violation("placement", reason)])
    if (wanted < 0).any():
        raise InvalidInput("placement", [Violation("placement", "must not be negative")])
    return limit_placement(wanted, limit, max_replicas)
