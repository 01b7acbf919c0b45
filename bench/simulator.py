"""What the three simulator benchmarks share: whole episodes, resets included, with actions drawn beforehand."""

from collections.abc import Callable

import numpy as np

from bench.cases import SEED, square_task
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import TaskSpec

ROUND_S = 0.5


def episode(task: TaskSpec, size: int) -> Callable[[], int]:
    """A function that runs one episode in each of `size` environments and returns the number of environment steps."""
    env = BatchEnv([task], np.zeros(size, np.int64))
    rng = np.random.default_rng(SEED)
    nvec = np.asarray(env.spec.nvec)
    # Few replicas, so that all nodes have room for what is asked: a policy that is not hopeless looks like this.
    actions = [rng.integers(0, np.minimum(nvec, 3), (size, len(nvec)), np.int32) for _ in range(8)]
    seeds = np.arange(size, dtype=np.uint64) + SEED

    def run() -> int:
        env.reset(seeds)
        for t in range(task.horizon):
            env.step(actions[t % len(actions)])
        return task.horizon * size

    return run


def v4(size: int) -> TaskSpec:
    """The benchmarks' task with `size` nodes and `size` deployments."""
    return square_task(size, "lwmecps-v4")
