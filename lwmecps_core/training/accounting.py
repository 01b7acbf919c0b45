"""What an operator who signs bounds asks of a rollout: what it cost, how often bounds were missed, how much moved."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import OBJECTIVE_FEATURES, expense, split
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.money import HOUR_S, cost_per_hour, most_watts

Bools = NDArray[np.bool_]
SETTLING = 6
"""The first of so many parts of an episode is left out where things are to be steady."""


@dataclass(frozen=True)
class Bill:
    """Of one task: money per hour, share of the windows that missed a bound, moves per hour, and power in watts; a
    second time without the first sixth of each episode. None: the task has no prices, no bounds, or no power, or no
    interval is there to count (episodes that end before they are steady).
    """

    cost_per_hour: float | None
    cost_per_hour_steady: float | None
    violation_share: float | None
    violation_share_steady: float | None
    moves_per_hour: float | None
    moves_per_hour_steady: float | None
    power_w: float | None = None
    power_w_steady: float | None = None


def bill(batch: RolloutBatch, task: TaskSpec) -> Bill:
    """What the rollout of a task came to."""
    valid = batch.valid.astype(np.bool_)
    steady = valid & (_elapsed(batch) > max(1, task.horizon // SETTLING))
    replicas, watts = expense(task, batch.obs[1:], batch.info["replicas"].astype(np.float64))
    moves = batch.info["moves"].astype(np.float64)
    priced, powered = task.prices is not None or task.objective.slo is not None, most_watts(task) > 0.0
    moved = moves * (HOUR_S / task.interval_s)

    def mean(x: NDArray[np.float64], where: Bools) -> float | None:
        return float(x[where].mean()) if where.any() else None

    def cost(where: Bools) -> float | None:
        if not (priced and where.any()):
            return None
        return cost_per_hour(task, *(float(x[where].mean()) for x in (replicas, moves, watts)))

    return Bill(
        cost(valid),
        cost(steady),
        violation_share(batch, task, valid),
        violation_share(batch, task, steady),
        mean(moved, valid),
        mean(moved, steady),
        mean(watts, valid) if powered else None,
        mean(watts, steady) if powered else None,
    )


def violation_share(batch: RolloutBatch, task: TaskSpec, where: Bools, bounds: Sequence[int] = (0, 1)) -> float | None:
    """Share of the whole windows that end where `where` `[T, B]` is true, and missed one of the bounds (0: failures,
    1: latency); None where the task has no bounds, or no window ends there.
    """
    found = missed(batch, task, where, bounds)
    return None if found is None or not found[1] else found[0] / found[1]


def missed(batch: RolloutBatch, task: TaskSpec, where: Bools, bounds: Sequence[int]) -> tuple[int, int] | None:
    """How many of these windows missed, and how many there are; None where the task has no bounds."""
    slo = task.objective.slo
    if slo is None:
        return None
    # Observations show how much of its bounds the window that ends with an interval has: above 0 where it misses.
    shown = split(np.asarray(batch.obs[1:], np.float32)[..., : env_spec(task).obs_size], env_spec(task))["objective"]
    excess = shown[..., OBJECTIVE_FEATURES + 2 :][..., list(bounds)]
    whole = where & (_elapsed(batch) >= (min(slo.window, task.horizon) or task.horizon))
    return int(((excess > 0).any(-1) & whole).sum()), int(whole.sum())


def _elapsed(batch: RolloutBatch) -> NDArray[np.int64]:
    """Which interval of its episode each is `[T, B]`, from 1."""
    ends = batch.terminated.astype(np.bool_) | batch.truncated.astype(np.bool_) | ~batch.valid.astype(np.bool_)
    found = np.zeros(ends.shape, np.int64)
    since = np.zeros(ends.shape[1], np.int64)
    for t, end in enumerate(ends):
        since = since + 1
        found[t] = since
        since = np.where(end, 0, since)
    return found
