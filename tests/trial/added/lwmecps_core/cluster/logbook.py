"""A simulated cluster that writes down what was asked of it."""

from lwmecps_core.cluster.base import ClusterState, Counts
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.specs import TaskSpec


class LogbookCluster:
    """See `ClusterBackend`; `asked` holds every placement that was accepted, oldest first."""

    def __init__(self, task: TaskSpec) -> None:
        self.task = task
        self.asked: list[Counts] = []
        self._cluster = SimulatedCluster(task)

    def reset(self, seed: int) -> ClusterState:
        return self._cluster.reset(seed)

    def observe(self) -> ClusterState:
        return self._cluster.observe()

    def apply(self, placement: Counts) -> None:
        self._cluster.apply(placement)
        self.asked.append(placement.copy())

    def advance(self) -> ClusterState:
        return self._cluster.advance()

    def close(self) -> None:
        self._cluster.close()
