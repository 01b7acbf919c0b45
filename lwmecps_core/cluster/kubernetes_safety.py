"""What a policy may not do to a real cluster: pure functions over placements `[D, N]`."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.cluster.base import Counts, Floats

KEPT_UTILISATION = 0.6
"""How busy replicas may be that are kept against the policy's wish: they are there for safety."""


def fewest_replicas(wanted: Counts, ready: Counts, utilisation: Floats, min_replicas: int) -> NDArray[np.int64]:
    """Fewest replicas `[D]`: `min_replicas`, and where the policy wants fewer, as many as take the load that comes.

    A replica that is kept against the policy's wish draws all requests that others would have served without it.
    `ready` and `utilisation` `[D, N]` are of the interval before; a utilisation that is not known is taken for none.
    """
    busy = np.nansum(ready * utilisation, axis=1)
    kept = wanted.sum(axis=1) < min_replicas
    needed = np.ceil(busy / KEPT_UTILISATION - 1e-9).astype(np.int64)
    return np.maximum(min_replicas, np.where(kept, needed, 0))


def with_min_replicas(
    current: Counts, wanted: Counts, limit: Counts, most: NDArray[np.int64], homes: Counts, least: NDArray[np.int64]
) -> Counts:
    """`wanted` with at least `least` `[D]` (at most `most` `[D]`) of each deployment.

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
