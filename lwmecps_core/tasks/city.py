"""A city's base stations: where they stand, how far apart they are in ms, and how many users each one serves."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import config
from lwmecps_core.specs import NonNegative, Positive

Floats = NDArray[np.float64]


@config
class CityRanges:
    """What `stations`, `round_trips` and `users` draw from: `(low, high)` each."""

    area_km2_per_station: tuple[Positive, Positive] = (1.0, 6.0)
    min_distance_share: Positive = 0.6
    """Hard-core distance, as a share of the side of the square that each station has for itself."""
    ms_per_km: tuple[Positive, Positive] = (0.5, 5.0)
    switching_ms: tuple[Positive, Positive] = (0.3, 5.0)
    rtt_ms: tuple[NonNegative, NonNegative] = (1.0, 40.0)
    mean_users: tuple[Positive, Positive] = (10.0, 28.0)
    station_users: tuple[Positive, Positive] = (5.0, 40.0)
    hot_spot_spread: Positive = 0.6
    """Standard deviation of a user's distance from its hot spot, in hard-core distances."""


def stations(rng: np.random.Generator, count: int, ranges: CityRanges) -> tuple[Floats, float]:
    """Positions `[count, 2]` (km) by a hard-core point process (dart throwing), and the distance it kept (km).

    Where no room is left for another station the distance shrinks by 10 %.
    """
    area = rng.uniform(*ranges.area_km2_per_station)
    side, distance = float(np.sqrt(count * area)), float(ranges.min_distance_share * np.sqrt(area))
    points = np.empty((count, 2))
    placed = failures = 0
    while placed < count:
        point = rng.uniform(0.0, side, 2)
        if np.all(np.hypot(*(points[:placed] - point).T) >= distance):
            points[placed] = point
            placed += 1
        elif (failures := failures + 1) % 100 == 0:
            distance *= 0.9
    return points, distance


def round_trips(rng: np.random.Generator, points: Floats, ranges: CityRanges) -> Floats:
    """Round-trip latency `[N, N]` (ms): distance plus both ends' switching, symmetric, zero diagonal."""
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    switching = rng.uniform(*ranges.switching_ms, len(points))
    rtt = np.clip(distance * rng.uniform(*ranges.ms_per_km) + switching + switching[:, None], *ranges.rtt_ms)
    np.fill_diagonal(rtt, 0.0)
    symmetric: Floats = np.round((rtt + rtt.T) / 2, 3)
    return symmetric


def users(rng: np.random.Generator, points: Floats, distance_km: float, ranges: CityRanges) -> Floats:
    """Mean users `[N]` of every station: users gather at hot spots (Thomas process), each uses the nearest station."""
    count = len(points)
    hot_spots = points + rng.normal(0.0, distance_km / 2, points.shape)
    total = round(count * rng.uniform(*ranges.mean_users))
    spot = rng.choice(count, total, p=rng.dirichlet(np.full(count, 3.0)))
    where = hot_spots[spot] + rng.normal(0.0, distance_km * ranges.hot_spot_spread, (total, 2))
    nearest = np.argmin(((where[:, None] - points[None]) ** 2).sum(-1), axis=1)
    served: Floats = np.clip(np.bincount(nearest, minlength=count).astype(float), *ranges.station_users)
    return served
