"""Where deployments live, and which of them the users of a station ask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.specs import TaskSpec

Shares = tuple[tuple[float, ...], ...]
Order = tuple[tuple[int, ...], ...]


def home_node(task: TaskSpec, d: int) -> int:
    """The node where deployment `d` lives in v1 and v3: its first allowed node, else node d modulo N."""
    names = [node.name for node in task.cluster.nodes]
    allowed = task.deployments[d].allowed_nodes
    return names.index(allowed[0]) if allowed else d % len(names)


def at_homes(stations: Sequence[Sequence[int]], homes: Sequence[int], rtt_ms: NDArray[np.float64]) -> Order:
    """Deployments in the order in which each station's users ask them, from the stations whose servers they ask.

    `stations[m]` are nodes in order of preference, `homes[d]` is the node of deployment d. Users whose stations have no
    deployment ask the nearest one by round trip, `[N, N]` in ms.
    """
    nearest = np.argsort(rtt_ms[:, list(homes)], axis=1, kind="stable")
    return tuple(
        tuple(d for station in row for d, home in enumerate(homes) if home == station) or (int(nearest[m, 0]),)
        for m, row in enumerate(stations)
    )


def first_asked(order: Order, homes: Sequence[int]) -> Shares:
    """`[N, D]`: users ask the deployments that come first, those of one station alike."""
    rows = np.zeros((len(order), len(homes)))
    for m, row in enumerate(order):
        beside = [d for d in row if homes[d] == homes[row[0]]]
        rows[m, beside] = np.floor(1e6 / len(beside)) / 1e6
    return tuple(tuple(row) for row in rows.tolist())
