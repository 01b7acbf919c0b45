"""Distances on the globe, and round trips over a network's links."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import Distance
from lwmecps_core.tasks.importers.tables import Floats, refused

EARTH_KM = 6371.0
MOST_POINTS = 2000
"""Between which ways are looked for: many times those of a task."""
NO_TIME_MS = 1e-12
"""A delay of 0: sparse matrices take 0 for no link."""


def great_circle_km(here: Floats, there: Floats) -> Floats:
    """Distances `[A, B]` between places `[A, 2]` and `[B, 2]`: latitude, longitude in degrees (haversine)."""
    a, b = np.radians(here)[:, None, :], np.radians(there)[None, :, :]
    half = np.sin((b - a) / 2.0) ** 2
    inner = half[..., 0] + np.cos(a[..., 0]) * np.cos(b[..., 0]) * half[..., 1]
    found: Floats = 2.0 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(inner, 1.0)))
    return found


def one_way_ms(km: Floats, distance: Distance) -> Floats:
    """How long light takes."""
    return km * distance.detour / distance.km_per_ms


def with_base(rtt_ms: Floats, distance: Distance) -> Floats:
    """Round trips with what any two nodes have besides, 0 on the diagonal."""
    found: Floats = rtt_ms + distance.base_ms * (1.0 - np.eye(len(rtt_ms)))
    return found


def said_of(distance: Distance) -> str:
    """The assumption in words."""
    return f"round trips: {distance.base_ms:g} ms and twice the way at {distance.km_per_ms:g} km/ms" + (
        f", {distance.detour:g} times as long as the crow flies" if distance.detour != 1.0 else ""
    )


def round_trips(
    count: int, delays_ms: Mapping[tuple[int, int], float], source: Path
) -> tuple[Floats, NDArray[np.int64]]:
    """Round trips `[N, N]` in ms over the links with least delay (one way, both ways alike), inf where there is no way;
    and the component of every node.

    Raises `InvalidInput` naming `source` for more than `MOST_POINTS` nodes.
    """
    refuse_many(count, source)
    ends = np.array(list(delays_ms)).reshape(-1, 2)
    weights = np.maximum(np.array(list(delays_ms.values()), np.float64), NO_TIME_MS)
    graph = csr_array((weights, (ends[:, 0], ends[:, 1])), shape=(count, count))
    ways: Floats = dijkstra(graph, directed=False)
    _, component = connected_components(graph, directed=False)
    return np.where(ways < 1e-6, 0.0, 2.0 * ways), component.astype(np.int64)


def refuse_many(count: int, source: Path) -> None:
    """Raise `InvalidInput` for more than `MOST_POINTS` nodes."""
    if count > MOST_POINTS:
        raise refused(
            source, ".", f"{count:,} nodes are too many to look for ways between them (at most {MOST_POINTS:,})"
        )


def shortest(delays_ms: dict[tuple[int, int], float], a: int, b: int, delay_ms: float) -> None:
    """Put a link among others; of parallel ones the shortest counts."""
    pair = (min(a, b), max(a, b))
    if a != b:
        delays_ms[pair] = min(delay_ms, delays_ms.get(pair, np.inf))


def reachable(component: NDArray[np.int64], names: Sequence[str], source: Path) -> tuple[list[int], list[str]]:
    """The nodes of the largest component, and what is said of others; raises `InvalidInput` where nothing is linked."""
    most = int(np.bincount(component).argmax())
    kept = np.flatnonzero(component == most).tolist()
    lost = [name for i, name in enumerate(names) if i not in set(kept)]
    if len(kept) == 1 and lost:
        raise refused(source, ".", f"has no link between any two of its nodes: {listed(names)}")
    return kept, [f"left out, as no link leads there: {listed(lost)}"] if lost else []
