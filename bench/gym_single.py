"""One environment as Gymnasium makes it, against the compiled loop over a batch of one."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium

import lwmecps_core.envs  # noqa: F401 - registers the environments
from bench.cases import SEED, square_task
from bench.report import BenchRow
from bench.simulator import ROUND_S, actions, episode
from bench.timing import Paired, interleave, rate
from lwmecps_core.specs import TaskSpec

FLOOR = 0.3


def run() -> BenchRow:
    return of_both("gym_single", _measure, "the same episodes in a batch of one", FLOOR)


def of_both(name: str, measure: Callable[[TaskSpec], Paired], against: str, floor: float) -> BenchRow:
    """What `measure` finds of a task of v3 and of one of v4; the worse ratio counts."""
    pairs = {env_id: measure(square_task(4, env_id)) for env_id in ("lwmecps-v3", "lwmecps-v4")}
    worst = min(pair.ratio for pair in pairs.values())
    return BenchRow(
        name=name,
        value=pairs["lwmecps-v3"].measured,
        unit="environment steps/s",
        ratio=worst,
        against=f"{against}, the worse of v3 and v4",
        floor=f">= {floor:g} times",
        met=worst >= floor,
        detail={env_id: pair.detail() | {"measured": pair.measured} for env_id, pair in pairs.items()},
    )


def _measure(task: TaskSpec) -> Paired:
    single, batch = gym_episode(task), episode(task, 1)
    return interleave(lambda: rate(single, ROUND_S), lambda: rate(batch, ROUND_S), rounds=5)


def gym_episode(task: TaskSpec) -> Callable[[], int]:
    """A function that runs one episode through `gymnasium.make` and returns the number of steps."""
    return stepped(gymnasium.make(task.env_id, task=task), task, [action[0] for action in actions(task, 1)])


def stepped(env: Any, task: TaskSpec, drawn: Sequence[Any], size: int = 1) -> Callable[[], int]:
    """A function that runs an episode of `size` environments, which step as one, and returns the number of steps."""

    def run() -> int:
        env.reset(seed=SEED)
        for t in range(task.horizon):
            env.step(drawn[t % len(drawn)])
        return task.horizon * size

    return run
