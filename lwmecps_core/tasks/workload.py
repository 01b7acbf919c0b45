"""Load patterns: how many users are at each node over time."""

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import Resample, TaskSpec, WorkloadSpec
from lwmecps_core.tasks.mobility import moved

Links = tuple[tuple[float, ...], ...]

DAY_S = 86_400.0
BURSTS_PER_PERIOD = 6
BURST_SHARE = 0.25
"""Part of the time that a burst lasts."""


def users_table(task: TaskSpec) -> NDArray[np.float32]:
    """Mean users in every control interval and at every node, over one period: float32 `[L, N]`, read-only.

    What an interval takes of the recorded steps that it covers is the workload's `resample`.
    """
    return _tables(task.workload, task.interval_s, _links(task))[0]


def clock_table(task: TaskSpec) -> NDArray[np.float32]:
    """Sine and cosine of the time within the pattern's period (recorded: the day): f32 `[L, 2]`, read-only."""
    return _tables(task.workload, task.interval_s, _links(task))[1]


def turn_per_interval(task: TaskSpec) -> float:
    """How far the clock turns in one control interval: the share of the pattern's period (recorded: of the day)."""
    return task.interval_s * task.workload.speedup / _cycle_s(task.workload)


def users_in_a_turn(task: TaskSpec, points: int) -> NDArray[np.float32]:
    """Mean users at each node at so many moments of one turn of the clock: float32 `[points, N]`."""
    w = task.workload
    every_s = _cycle_s(w) / points
    if w.mobility is not None:
        table = users_table(task)
        moments = np.arange(points) * every_s / (task.interval_s * w.speedup)
        found: NDArray[np.float32] = table[moments.astype(np.int64) % len(table)]
        return found
    if w.pattern != "recorded":
        return _generated(w, np.arange(points) * np.float64(every_s))
    windows = resampled(np.asarray(w.recorded_users, np.float64), w.recorded_step_s, every_s, w.resample)
    return windows[np.arange(points) % len(windows)].astype(np.float32)


def _links(task: TaskSpec) -> Links:
    """What users move along; none where they stay."""
    return task.cluster.rtt_ms if task.workload.mobility else ()


@lru_cache(maxsize=256)
def _tables(w: WorkloadSpec, interval_s: float, rtt_ms: Links) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    total_s = len(w.recorded_users) * w.recorded_step_s if w.pattern == "recorded" else w.period_s
    length = max(1, ceil(total_s / (interval_s * w.speedup) - 1e-9))
    moments_s: NDArray[np.float64] = np.arange(length) * np.float64(interval_s * w.speedup)
    if w.pattern == "recorded":
        recorded = np.asarray(w.recorded_users, np.float64)
        users = resampled(recorded, w.recorded_step_s, interval_s * w.speedup, w.resample).astype(np.float32)
    else:
        users = _generated(w, moments_s)
    if w.mobility is not None:
        users = moved(users.astype(np.float64), np.array(rtt_ms), w.mobility).astype(np.float32)
    angle = 2.0 * np.pi * moments_s / _cycle_s(w)
    clock = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    users.flags.writeable = clock.flags.writeable = False
    return users, clock


def _cycle_s(w: WorkloadSpec) -> float:
    return DAY_S if w.pattern == "recorded" else w.period_s


def resampled(users: NDArray[np.float64], step_s: float, every_s: float, how: Resample) -> NDArray[np.float64]:
    """Recorded users `[S, N]` in steps of `step_s` as users in windows of `every_s`: `[ceil(S step_s / every_s), N]`.

    `mean` weighs steps by the time that the window covers of them, so that users times seconds stay; a last window that
    goes beyond the recording has the mean of what there is.
    """
    steps = len(users)
    starts = np.arange(max(1, ceil(steps * step_s / every_s - 1e-9))) * np.float64(every_s) / step_s
    first = np.minimum(np.floor(starts + 1e-9).astype(np.int64), steps - 1)
    if how == "sample" or every_s == step_s:
        return users[first]
    ends = np.minimum(starts + every_s / step_s, steps)
    if how == "max":
        last = np.maximum(np.ceil(ends - 1e-9).astype(np.int64), first + 1)
        beyond = np.concatenate([users, users[-1:]])  # so that a window may end where the recording does
        most: NDArray[np.float64] = np.maximum.reduceat(beyond, np.stack([first, last], axis=1).ravel(), axis=0)[::2]
        return most
    sums = np.concatenate([np.zeros_like(users[:1]), np.cumsum(users, axis=0, dtype=np.float64)])
    share: NDArray[np.float64] = (_between(sums, ends) - _between(sums, starts)) / (ends - starts)[:, None]
    return np.maximum(share, 0.0)


def _between(sums: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of `sums` `[S + 1, N]` at fractions of steps."""
    row = np.minimum(at.astype(np.int64), len(sums) - 2)
    part = (at - row)[:, None]
    found: NDArray[np.float64] = sums[row] * (1.0 - part) + sums[row + 1] * part
    return found


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
