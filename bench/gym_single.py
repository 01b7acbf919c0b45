"""One environment as Gymnasium makes it, against the compiled loop over a batch of one."""

from collections.abc import Callable

import gymnasium

import lwmecps_core.envs  # noqa: F401 - registers the environments
from bench.cases import SEED, square_task
from bench.report import BenchRow
from bench.simulator import ROUND_S, actions, episode
from bench.timing import Paired, interleave, rate
from lwmecps_core.specs import TaskSpec

FLOOR = 0.3


def run() -> BenchRow:
    pairs = {env_id: _measure(square_task(4, env_id)) for env_id in ("lwmecps-v3", "lwmecps-v4")}
    worst = min(pair.ratio for pair in pairs.values())
    return BenchRow(
        name="gym_single",
        value=pairs["lwmecps-v3"].measured,
        unit="environment steps/s",
        ratio=worst,
        against="the same episodes in a batch of one, the worse of v3 and v4",
        floor=f">= {FLOOR:g} times",
        met=worst >= FLOOR,
        detail={env_id: pair.detail() | {"measured": pair.measured} for env_id, pair in pairs.items()},
    )


def _measure(task: TaskSpec) -> Paired:
    single, batch = gym_episode(task), episode(task, 1)
    return interleave(lambda: rate(single, ROUND_S), lambda: rate(batch, ROUND_S), rounds=5)


def gym_episode(task: TaskSpec) -> Callable[[], int]:
    """A function that runs one episode through `gymnasium.make` and returns the number of steps."""
    env = gymnasium.make(task.env_id, task=task)
    drawn = [action[0] for action in actions(task, 1)]

    def run() -> int:
        env.reset(seed=SEED)
        for t in range(task.horizon):
            env.step(drawn[t % len(drawn)])
        return task.horizon

    return run
