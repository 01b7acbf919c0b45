"""64 environments as Gymnasium's `VectorEnv`, against the batch that it wraps."""

from collections.abc import Callable

from bench.cases import SEED, square_task
from bench.report import BenchRow
from bench.simulator import ROUND_S, actions, episode
from bench.timing import Paired, interleave, rate
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.specs import TaskSpec

ENVS = 64
FLOOR = 0.9


def run() -> BenchRow:
    pairs = {env_id: _measure(square_task(4, env_id)) for env_id in ("lwmecps-v3", "lwmecps-v4")}
    worst = min(pair.ratio for pair in pairs.values())
    return BenchRow(
        name="vec_env",
        value=pairs["lwmecps-v3"].measured,
        unit="environment steps/s",
        ratio=worst,
        against="the same episodes of the batch that it wraps, the worse of v3 and v4",
        floor=f">= {FLOOR:g} times",
        met=worst >= FLOOR,
        detail={"environments": ENVS} | {e: pair.detail() | {"measured": pair.measured} for e, pair in pairs.items()},
    )


def _measure(task: TaskSpec) -> Paired:
    wrapped, batch = wrapped_episode(task, ENVS), episode(task, ENVS)
    return interleave(lambda: rate(wrapped, ROUND_S), lambda: rate(batch, ROUND_S), rounds=9)


def wrapped_episode(task: TaskSpec, size: int) -> Callable[[], int]:
    """A function that runs an episode in each of `size` environments of a `VectorEnv`; returns the number of steps."""
    env = PlacementVectorEnv(size, [task], task.env_id)
    drawn = actions(task, size)

    def run() -> int:
        env.reset(seed=SEED)
        for t in range(task.horizon):
            env.step(drawn[t % len(drawn)])
        return task.horizon * size

    return run
