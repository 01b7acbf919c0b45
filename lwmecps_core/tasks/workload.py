"""Load patterns: how many users are at each node over time."""

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import TaskSpec, WorkloadSpec

DAY_S = 86_400.0
BURSTS_PER_PERIOD = 6
BURST_SHARE = 0.25
"""Part of the time that a burst lasts."""


def users_table(task: TaskSpec) -> NDArray[np.float32]:
    """Mean users in every control interval and at every node, over one period: float32 `[L, N]`, read-only.

    A recording is sampled (the step at that moment), not averaged.
    """
    return _tables(task.workload, task.interval_s)[0]


def clock_table(task: TaskSpec) -> NDArray[np.float32]:
    """Sine and cosine of the time within the pattern's period (recorded: the day): f32 `[L, 2]`, read-only."""
    return _tables(task.workload, task.interval_s)[1]


def turn_per_interval(task: TaskSpec) -> float:
    """How far the clock turns in one control interval: the share of the pattern's period (recorded: of the day)."""
    return task.interval_s * task.workload.speedup / _cycle_s(task.workload)


def users_in_a_turn(task: TaskSpec, points: int) -> NDArray[np.float32]:
    """Mean users at each node at so many moments of one turn of the clock: float32 `[points, N]`."""
    w = task.workload
    moments_s: NDArray[np.float64] = np.arange(points) * np.float64(_cycle_s(w) / points)
    if w.pattern != "recorded":
        return _generated(w, moments_s)
    return _recorded(w, np.mod(moments_s, len(w.recorded_users) * w.recorded_step_s))


@lru_cache(maxsize=256)
def _tables(w: WorkloadSpec, interval_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    total_s = len(w.recorded_users) * w.recorded_step_s if w.pattern == "recorded" else w.period_s
    length = max(1, ceil(total_s / (interval_s * w.speedup) - 1e-9))
    moments_s: NDArray[np.float64] = np.arange(length) * np.float64(interval_s * w.speedup)
    users = _recorded(w, moments_s) if w.pattern == "recorded" else _generated(w, moments_s)
    angle = 2.0 * np.pi * moments_s / _cycle_s(w)
    clock = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    users.flags.writeable = clock.flags.writeable = False
    return users, clock


def _cycle_s(w: WorkloadSpec) -> float:
    return DAY_S if w.pattern == "recorded" else w.period_s


def _recorded(w: WorkloadSpec, moments_s: NDArray[np.float64]) -> NDArray[np.float32]:
    rows = np.floor(moments_s / w.recorded_step_s + 1e-9).astype(np.int64)
    recorded: NDArray[np.float32] = np.asarray(w.recorded_users, np.float32)[
        np.minimum(rows, len(w.recorded_users) - 1)
    ]
    return recorded


def _generated(w: WorkloadSpec, moments_s: NDArray[np.float64]) -> NDArray[np.float32]:
    phase = np.asarray(w.phase or (0.0,) * len(w.base_users), np.float64)
    wave = _wave(w.pattern, moments_s[:, None] / w.period_s - phase)
    return np.asarray(np.asarray(w.base_users) * (1.0 + w.amplitude * wave), np.float32)


def _wave(pattern: str, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pattern's deviation from its base as a share of the amplitude, in [-1, 1]; `turn` counts periods."""
    match pattern:
        case "diurnal":
            return np.sin(2.0 * np.pi * turn)
        case "burst":
            return np.where(np.mod(turn * BURSTS_PER_PERIOD, 1.0) < BURST_SHARE, 1.0, 0.0)
        case "gradual":
            return 1.0 - 4.0 * np.abs(np.mod(turn, 1.0) - 0.5)
        case _:
            return np.zeros_like(turn)
