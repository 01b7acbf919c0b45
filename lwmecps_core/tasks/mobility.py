"""Users who move between stations: where those are whom the workload has at a station."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import MobilitySpec

Floats = NDArray[np.float64]
BURN_IN = 200
"""Intervals of the same load before the first, so that a load that begins again goes on as it ended."""
NEAR_MS = 1.0
"""A neighbour is chosen as its nearness says: 1 / (this + the round trip)."""


def moved(users: Floats, rtt_ms: Floats, mobility: MobilitySpec) -> Floats:
    """Users `[L, N]` whom a load has at stations, as they have moved: in every interval as many in all.

    What is drawn for an interval (Philox of the seed): from each station, up to twice the share that leaves on average,
    and how those divide among its neighbours, exponential weights times nearness. Users of a station move alike.
    """
    length, n = users.shape
    count = min(mobility.neighbours, n - 1)
    if count == 0:
        return users
    rng = np.random.Generator(np.random.Philox(mobility.seed))
    far = rtt_ms + np.diag(np.full(n, np.inf))
    near = np.argsort(far, axis=1, kind="stable")[:, :count]
    weights = rng.exponential(size=(length, n, count)) / (NEAR_MS + np.take_along_axis(far, near, axis=1))
    leaving = np.minimum(1.0, 2.0 * mobility.leave * rng.random((length, n)))
    onward = weights / weights.sum(-1, keepdims=True) * leaving[..., None]
    at, found = np.eye(n), np.empty_like(users)  # which part of the users of a station (row) is at which (column)
    begin = -min(length, BURN_IN)
    for t in range(begin, length):
        step = np.diag(1.0 - leaving[t])
        np.put_along_axis(step, near, onward[t], axis=1)
        at = (at + mobility.come_back * (np.eye(n) - at)) @ step
        found[t] = users[t] @ at
    return found
