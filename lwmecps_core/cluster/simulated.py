"""The simulator as a cluster backend."""

import numpy as np

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.cluster.base import ClusterState, Counts, allowed_placement
from lwmecps_core.errors import WrongState
from lwmecps_core.sim.simulator import Simulator
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.workload import turn_per_interval


class SimulatedCluster:
    """One simulated cluster (see `ClusterBackend`); an episode is a function of (task, seed, placements)."""

    def __init__(self, task: TaskSpec) -> None:
        self.task = task
        self.simulator = Simulator([task], [0])
        self._begun = self._closed = False

    def reset(self, seed: int) -> ClusterState:
        if self._closed:
            raise WrongState("the cluster is closed")
        self.simulator.begin([seed])
        self._begun = True
        return self.observe()

    def apply(self, placement: Counts) -> None:
        self.check_open()
        params = self.simulator.params
        self.simulator.state.pools["desired"][0] = allowed_placement(
            placement, params.limit[0], params.deployments["max_replicas"][0]
        )

    def advance(self) -> ClusterState:
        self.check_open()
        self.simulator.advance(self.simulator.state.pools["desired"])
        return self.observe()

    def observe(self) -> ClusterState:
        self.check_open()
        return simulated_state(self.task, self.simulator)

    def close(self) -> None:
        self._closed = True

    def check_open(self) -> None:
        """Raise `WrongState` before the first reset and after `close`."""
        if self._closed or not self._begun:
            raise WrongState("the cluster is closed" if self._closed else "the cluster was not reset yet")


def simulated_state(task: TaskSpec, sim: Simulator) -> ClusterState:
    """What the first cluster of `sim`, that of `task`, shows."""
    env, pools, deps, nodes = (records[0] for records in sim.state[:4])
    spec = sim.params.nodes[0]
    info = dict(zip(INFO_KEYS, sim.info[:, 0].astype(np.float64).tolist(), strict=True))
    length = int(sim.params.tasks["table_length"][0])
    return ClusterState(
        ready=pools["ready"].copy(),
        starting=pools["starting"].copy(),
        pending=pools["pending"].copy(),
        utilisation=pools["utilisation"].copy(),
        request_rate=deps["rate"].copy(),
        latency_ms=deps["latency_ms"].copy(),
        failed_share=deps["failed_share"].copy(),
        users_rate=nodes["rate"].copy(),
        cpu_used=nodes["cpu_used"].copy(),
        cpu_requested=nodes["cpu_requested"] / spec["cpu"],
        ram_requested=nodes["ram_requested"] / spec["ram"],
        network=np.maximum(nodes["tx_used"], nodes["rx_used"]),
        latency_ms_mean=float(env["latency_ms"]),
        latency_ms_p95=info["latency_p95_ms"],
        failed_share_total=float(env["failed_share"]),
        users=info["users"],
        moves=info["moves"],
        p95_ms=deps["p95_ms"].copy(),
        turn=int(env["start"] + env["t"]) % length * turn_per_interval(task) % 1.0,
    )
