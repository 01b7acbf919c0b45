"""Load of several series, whatever format it comes from, and how it is made less: the busiest, or dealt to stations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers.grid import Grid, Part, totals
from lwmecps_core.tasks.importers.options import LOAD_UNITS, LoadOptions, LoadUnit, Steps, seconds
from lwmecps_core.tasks.importers.tables import Floats, refused

SHOWN = 12
"""Names that are listed."""
REQUEST_INTERVAL_S = 1.0
"""Of users who stand for requests: as many users as requests per second."""


@dataclass(frozen=True)
class Series:
    """Whose load it is: of users at a node, of requests to a deployment, or both; empty: the source doesn't say."""

    node: str = ""
    deployment: str = ""

    @property
    def label(self) -> str:
        """The series' name for people."""
        return " / ".join(name for name in (self.node, self.deployment) if name) or "all"


@dataclass(frozen=True)
class Load:
    """Requests per second `[step][series]` in steps of `step_s`; `requests` are those of the source, dropped ones too.

    `places` says whether series of the source have places; `cpu_time_ms` is that of one request of each series, None
    where the source doesn't say. `notes` are what was assumed, done and dropped.
    """

    source: Path
    series: tuple[Series, ...]
    rps: Floats
    step_s: float
    requests: float
    request_interval_s: float = REQUEST_INTERVAL_S
    places: bool = True
    cpu_time_ms: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """Values `[S, K]` of groups of series, the first step, which series each group has, and the sum of all values."""

    values: Floats
    base: int
    members: tuple[NDArray[np.int64], ...]
    total: float
    notes: tuple[str, ...]
    weights: Floats
    """The sum of every series' values where that was asked for, else empty."""
    stations: tuple[str, ...] = ()
    """Names of the groups where series were dealt to stations."""


def gather(
    read: Callable[[], Iterator[Part]],
    label: Callable[[int], str],
    at: Callable[[int], str],
    rules: Steps,
    source: Path,
    top: int | None = None,
    stations: Sequence[str] = (),
    ordered: bool = True,
) -> Gathered:
    """All values that `read` gives, on one grid: one column per series, or per station that series are dealt to.

    The source is read twice where `top` or `stations` ask for less than all series; unless `ordered`, disorder and
    several values in a step are its format, and nothing to speak of. Raises `InvalidInput` as `Grid`.
    """
    column_of, said, weights = None, list[str](), np.zeros(0)
    if top or stations:
        weights = totals(read())
        column_of, said = _chosen(weights, label, top, stations, source)
    if stations and rules.duplicates not in ("refuse", "sum"):
        reason = f"{rules.duplicates} of series that are dealt to stations is not known: say sum"
        raise InvalidInput("command line", [Violation("--duplicates", reason)])
    grid = Grid(column_of, bool(stations), rules, lambda step, series: f"{label(series)} at {at(step)}", told=ordered)
    for part in read():
        grid.add(part)
    if column_of is None:
        count = grid.columns
        members = [np.array([i]) for i in range(count)]
    else:
        count = int(column_of.max()) + 1
        members = [np.flatnonzero(column_of == i) for i in range(count)]
    names = list(stations) or [label(int(group[0])) for group in members]
    values, more = grid.result(source, count, lambda i: names[i], at)
    return Gathered(values, grid.base, tuple(members), grid.total, (*said, *more), weights, tuple(stations))


def _chosen(
    weights: Floats, label: Callable[[int], str], top: int | None, stations: Sequence[str], source: Path
) -> tuple[NDArray[np.int64], list[str]]:
    """The column of every series (−1: left out): the busiest first, or the station that has least so far."""
    found = np.flatnonzero(weights >= 0.0)
    if not found.size:
        raise refused(source, ".", "holds no value")
    order = sorted(found.tolist(), key=lambda i: (-weights[i], label(i)))
    kept, said = order[:top] if top else order, []
    column_of = np.full(len(weights), -1, np.int64)
    if len(kept) < len(order):
        part = weights[kept].sum() / weights.sum() if weights.sum() else 1.0
        said.append(
            f"top {top} of {len(order):,} series: {part:.2%} of the load is kept, {1.0 - part:.2%} is dropped "
            f"({weights.sum() - weights[kept].sum():,.10g} of {weights.sum():,.10g})"
        )
    if not stations:
        column_of[kept] = np.arange(len(kept))
        return column_of, said
    have = np.zeros(len(stations))
    for i in kept:
        column_of[i] = have.argmin()
        have[column_of[i]] += weights[i] + 1e-9 * (weights.sum() + 1.0)
    if len(kept) < len(stations):
        reason = f"{len(kept)} series can't be dealt to {len(stations)} stations: fewer stations, or idle nodes"
        raise InvalidInput("command line", [Violation("--stations", reason)])
    said.append(f"the data has no places: {len(kept):,} series are dealt to {len(stations)} stations, evenly by load")
    return column_of, said


def station_names(count: int) -> list[str]:
    """Names of stations that nobody named."""
    return [f"station-{i + 1}" for i in range(count)]


def stations_wanted(options: LoadOptions, nodes: Sequence[str] | None, places: bool) -> Sequence[str]:
    """The stations that series are dealt to: as many as asked for; of a source without places, a cluster's nodes."""
    if options.stations:
        if nodes is not None and options.stations > len(nodes):
            reason = f"{options.stations} stations are more than the {len(nodes)} nodes of the cluster"
            raise InvalidInput("command line", [Violation("--stations", reason)])
        return list(nodes or station_names(options.stations))[: options.stations]
    return list(nodes) if nodes is not None and not places and not options.at else ()


def per_second(unit: LoadUnit, step_s: float, request_interval_s: float) -> float:
    """Requests per second that a value of 1 in `unit` stands for."""
    return 1.0 / {"rps": 1.0, "requests": step_s, "users": request_interval_s}[unit]


def requests_of(total: float, unit: LoadUnit, step_s: float, request_interval_s: float) -> float:
    """How many requests the sum of all values stands for."""
    return total * {"rps": step_s, "requests": 1.0, "users": step_s / request_interval_s}[unit]


def interval_of(unit: LoadUnit, given: str | None) -> tuple[float, list[str]]:
    """How often a user asks, and what was assumed; raises `InvalidInput` where users don't say it."""
    if given is not None:
        return seconds(given, "--request-interval"), []
    if unit == "users":
        reason = "how often does a user ask? Write, for example, --request-interval 10s"
        raise InvalidInput("command line", [Violation("--request-interval", reason)])
    return REQUEST_INTERVAL_S, [f"{LOAD_UNITS[unit]}: as many users, each of whom sends one request per second"]


def listed(names: Sequence[str]) -> str:
    """Names for people."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
