import numpy as np
import pytest

from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.testing.backends import BackendConformance, conformance_task


class TestSimulatedCluster(BackendConformance):
    @pytest.fixture
    def backend(self):
        return SimulatedCluster(conformance_task())


def test_the_same_seed_gives_the_same_interval():
    one, two = SimulatedCluster(conformance_task()), SimulatedCluster(conformance_task())
    placement = np.array([[2, 1], [1, 0]], np.int32)
    rates = []
    for cluster, seed in ((one, 5), (two, 5), (two, 6)):
        cluster.reset(seed)
        cluster.apply(placement)
        rates.append(cluster.advance().users_rate.tolist())
    assert rates[0] == rates[1] != rates[2]
