"""Load patterns: how many users are at each node over time."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import TaskSpec, WorkloadSpec

DAY_S = 86_400.0
BURSTS_PER_PERIOD = 6
BURST_SHARE = 0.25
"""Part of the time that a burst lasts."""


def pattern_length(task: TaskSpec) -> int:
    """Number of control intervals in one period of the pattern, or in the recording."""
    w = task.workload
    total_s = len(w.recorded_users) * w.recorded_step_s if w.pattern == "recorded" else w.period_s
    return max(1, ceil(total_s / (task.interval_s * w.speedup) - 1e-9))


def users_table(task: TaskSpec) -> NDArray[np.float32]:
    """Mean users in every control interval and at every node, over one period: float32 `[L, N]`.

    A recording is sampled (the step at that moment), not averaged.
    """
    w = task.workload
    moments_s = np.arange(pattern_length(task)) * task.interval_s * w.speedup
    if w.pattern == "recorded":
        recorded: NDArray[np.float32] = np.asarray(w.recorded_users, np.float32)
        rows = np.floor(moments_s / w.recorded_step_s + 1e-9).astype(np.int64)
        sampled: NDArray[np.float32] = recorded[np.minimum(rows, len(recorded) - 1)]
        return sampled
    base = np.asarray(w.base_users, np.float64)
    phase = np.asarray(w.phase or (0.0,) * len(base), np.float64)
    turn = moments_s[:, None] / w.period_s - phase[None, :]
    return np.asarray(base * (1.0 + w.amplitude * _wave(w, turn)), np.float32)


def clock_table(task: TaskSpec) -> NDArray[np.float32]:
    """Sine and cosine of the time within the pattern's period (recorded: within the day): float32 `[L, 2]`."""
    angle = 2.0 * np.pi * np.array([turn_of(task, row) for row in range(pattern_length(task))])
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def turn_of(task: TaskSpec, row: int) -> float:
    """The time of a row of the table as a share, in [0, 1), of the pattern's period (recorded: of the day)."""
    w = task.workload
    return row * task.interval_s * w.speedup / (DAY_S if w.pattern == "recorded" else w.period_s) % 1.0


def _wave(workload: WorkloadSpec, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pattern's deviation from its base as a share of the amplitude, in [-1, 1]; `turn` counts periods."""
    match workload.pattern:
        case "diurnal":
            return np.sin(2.0 * np.pi * turn)
        case "burst":
            return np.where(np.mod(turn * BURSTS_PER_PERIOD, 1.0) < BURST_SHARE, 1.0, 0.0)
        case "gradual":
            return 1.0 - 4.0 * np.abs(np.mod(turn, 1.0) - 0.5)
        case _:
            return np.zeros_like(turn)
