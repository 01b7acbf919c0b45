"""Means over training seeds and tasks, and how sure they are."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.statistics import Bootstrap, Estimate, interval

Floats = NDArray[np.float64]


def estimate(values: Floats, counted: NDArray[np.bool_] | None = None) -> Estimate:
    """The mean of values by training seed and task `[S, T]` (of those that are `counted`) and half its 95 % interval.

    With one seed that is Student's over tasks, else `Bootstrap`'s over both.
    """
    kept = np.ones(values.shape, bool) if counted is None else counted
    if len(values) < 2 or kept.sum() < 2:
        return interval(values[kept])
    draws = _bootstrap(values.shape[1])
    drawn, weight = draws.means(np.where(kept, values, 0.0)), draws.means(kept.astype(np.float64))
    low, high = np.quantile(drawn[weight > 0] / weight[weight > 0], (0.025, 0.975))
    return Estimate(float(values[kept].mean()), float(high - low) / 2)


@cache
def _bootstrap(tasks: int) -> Bootstrap:
    return Bootstrap(tasks)
