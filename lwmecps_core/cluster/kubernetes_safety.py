"""What a policy may not do to a real cluster: pure functions over placements `[D, N]`."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import Counts


def with_min_replicas(
    current: Counts, wanted: Counts, limit: Counts, most: NDArray[np.int64], homes: Counts, least: Counts
) -> Counts:
    """`wanted` with at least `least` `[D]` (at most `most` `[D]`) of each deployment.

    A policy knows the fewest by its mask; here they are kept against whoever asks without one, or where a node is away.
    Replicas that are there stay; the rest come at home, and where `limit` leaves no room there, in node order.
    """
    out = wanted.copy()
    for d in range(len(out)):
        fewest = min(int(least[d]), int(most[d]))
        for ceiling in (np.minimum(current[d], limit[d]), limit[d]):
            order = [int(homes[d]), *(n for n in range(out.shape[1]) if n != homes[d])]
            for n in order:
                lack = fewest - int(out[d].sum())
                out[d, n] += max(0, min(lack, int(ceiling[n] - out[d, n])))
    return out


def with_few_moves(current: Counts, wanted: Counts, most: int, *, removals_first: bool = False) -> Counts:
    """As much of the way from `current` to `wanted` as `most` pods created and removed allow, creations first.

    Creating first keeps what serves now until its successors are there; where both have no room, removals go first.
    """
    out, left = current.copy(), most
    change = wanted - current
    for sign in (-1, 1) if removals_first else (1, -1):
        part = np.maximum(sign * change, 0).reshape(-1)
        allowed = np.diff(np.minimum(np.cumsum(part), left), prepend=0)
        left -= int(allowed.sum())
        out += (sign * allowed).reshape(out.shape).astype(out.dtype)
    return out
