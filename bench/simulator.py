"""What the three simulator benchmarks share: whole episodes, resets included, with actions drawn beforehand."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.cases import SEED, square_task
from lwmecps_core.envs.actions import discrete_nvec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import TaskSpec
from tests.sim.reference import ReferenceCluster

ROUND_S = 0.5


def actions(task: TaskSpec, size: int) -> list[NDArray[np.int32]]:
    """Eight actions `[size, A]`; few replicas, so that nodes have room: a policy that is not hopeless is like this."""
    rng = np.random.default_rng(SEED)
    nvec = discrete_nvec(task)
    return [rng.integers(0, np.minimum(nvec, 3), (size, len(nvec)), np.int32) for _ in range(8)]


def episode(task: TaskSpec, size: int) -> Callable[[], int]:
    """A function that runs one episode in each of `size` environments and returns the number of environment steps."""
    env = BatchEnv([task], np.zeros(size, np.int64))
    drawn = actions(task, size)
    seeds = np.arange(size, dtype=np.uint64) + SEED

    def run() -> int:
        env.reset(seeds)
        for t in range(task.horizon):
            env.step(drawn[t % len(drawn)])
        return task.horizon * size

    return run


def reference_episode(task: TaskSpec) -> Callable[[], int]:
    """The same episode in the NumPy reference, one environment."""
    cluster = ReferenceCluster(task)
    shape = (len(task.deployments), len(task.cluster.nodes))
    placements = [action.reshape(shape) for action in actions(task, 1)]

    def run() -> int:
        cluster.begin(SEED)
        for t in range(task.horizon):
            cluster.advance(placements[t % len(placements)])
        return task.horizon

    return run


def v4(size: int) -> TaskSpec:
    """The benchmarks' task with `size` nodes and `size` deployments."""
    return square_task(size, "lwmecps-v4")
