import numpy as np
import pytest

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.vector import BatchEnv
from tests.sim.random_tasks import random_placements, random_task, with_applications
from tests.sim.reference import ReferenceCluster

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
STEPS = 12


def compare(task, seed):
    """Run both models through the same random placements, comparing everything after every interval."""
    cluster, reference, batch = SimulatedCluster(task), ReferenceCluster(task), BatchEnv([task], [0])
    state, expected = cluster.reset(seed), reference.begin(seed)
    batch.reset([seed])
    for step, placement in enumerate([None, *random_placements(task, seed, STEPS)]):
        if placement is not None:
            cluster.apply(placement)
            state, expected = cluster.advance(), reference.advance(placement)
            _, _, reward, *_ = batch.step(placement.reshape(1, -1))
            terms = sum(value for key, value in expected.items() if key.startswith("reward_"))
            np.testing.assert_allclose(reward[0], terms, **CLOSE)
        for name, value in reference.shown.items():
            np.testing.assert_allclose(getattr(state, name), value, **CLOSE, err_msg=f"{task.name} {step} {name}")
        for key in INFO_KEYS:
            np.testing.assert_allclose(
                batch.info()[key][0], expected[key], **CLOSE, err_msg=f"{task.name} step {step} {key}"
            )


@pytest.mark.parametrize("seed", range(60))
def test_kernel_agrees_with_the_reference_on_random_tasks(seed):
    compare(random_task(seed), seed=seed * 7919 + 1)


@pytest.mark.parametrize("seed", range(60))
def test_kernel_agrees_with_the_reference_on_random_applications(seed):
    compare(with_applications(random_task(seed), seed), seed=seed * 104729 + 1)


@pytest.mark.parametrize("routing", ["cluster", "least_connections", "local_first"])
@pytest.mark.parametrize("model", ["queue", "testapp"])
@pytest.mark.parametrize("seed", range(3))
def test_kernel_agrees_with_the_reference_for_every_routing_and_model(routing, model, seed):
    compare(random_task(1000 + seed, nodes=4, deployments=3, routing=routing, latency_model=model), seed=2**63 + seed)
