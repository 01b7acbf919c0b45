"""Recorded load of base stations: the test application's files, and synthetic load of the same statistics."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields as fields_of
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reading import read_mapping
from lwmecps_core.specs import NonNegative, Positive, TaskDistribution, TaskSpec
from lwmecps_core.tasks.homes import Order, at_homes, first_asked, home_node
from lwmecps_core.tasks.names import agree, canonical, joined, natural

Pad = Literal["zero", "last", "repeat"]
PADS: Mapping[str, Literal["constant", "edge", "wrap"]] = {"zero": "constant", "last": "edge", "repeat": "wrap"}
"""How a recording that is too short goes on → NumPy's name for that."""

SHOWN = 4
"""Lengths of steps that are listed where they differ."""

SYNTHETIC_STEPS = 8640
SYNTHETIC_STEP_S = 10.0
SYNTHETIC_MEAN_USERS = (13.0, 19.0)
SYNTHETIC_PEAK_HOUR, SYNTHETIC_TROUGH_HOUR = 21.0, 6.0
SYNTHETIC_TROUGH_SHARE = (0.1, 0.3)
"""Users at the trough, as a share of the mean."""


@config
class _Step:
    concurrent_users: NonNegative
    request_interval: Positive
    profile_duration: Positive


@config
class _Host:
    host: str
    port: int = 80


@config
class _Settings:
    hosts: tuple[_Host, ...]
    load_profiles: tuple[_Step, ...]
    port: int = 80


@config
class _Station:
    id: str
    settings: _Settings
    name: str = ""
    timeout: Positive = 1.0
    status: str = ""


@config
class RecordedLoad:
    """Load of several base stations: `users[step][station]`, steps of `step_s`, one request per `request_interval_s`.

    `failover[station]` are indices of stations in the order in which its clients try their servers, `hosts[station]`
    the names of these servers. `notes` say what was assumed when it was read.
    """

    stations: tuple[str, ...]
    users: tuple[tuple[NonNegative, ...], ...]
    step_s: Positive
    request_interval_s: Positive
    timeout_ms: Positive
    failover: tuple[tuple[int, ...], ...]
    hosts: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def load_profiles(directory: Path, pad: Pad | None = None) -> RecordedLoad:
    """Read every `*.json` of `directory`, one base station each, in the natural order of their ids.

    Recordings of different lengths are made equally long as `pad` says: nobody is there any more (`zero`), the last
    step's users stay (`last`), or it begins again (`repeat`). Raises `InvalidInput` that names the file and the path
    inside it; without `pad`, for recordings of different lengths, too.
    """
    files = sorted(Path(directory).glob("*.json"))
    if not files:
        raise InvalidInput(str(directory), [Violation(".", "no *.json load profile in this directory")])
    read = sorted(((_read(file), file) for file in files), key=lambda pair: natural(pair[0].id))
    stations = [station for station, _ in read]
    _refuse_ids_that_stand_twice([(station.id, file) for station, file in read])
    steps = {(s.profile_duration, s.request_interval) for station in stations for s in station.settings.load_profiles}
    if len(steps) != 1:
        of = {(p.profile_duration, p.request_interval): s.id for s in stations for p in s.settings.load_profiles}
        found = ", ".join(f"{step:g} and {interval:g} at {id_}" for (step, interval), id_ in sorted(of.items())[:SHOWN])
        reason = f"profile_duration and request_interval must be the same in all steps of all stations, not {found}"
        raise InvalidInput(str(directory), [Violation("settings.load_profiles", reason)])
    step_s, interval_s = steps.pop()
    users, notes = _equally_long(stations, pad, str(directory))
    timeouts = {station.id: station.timeout for station in stations}
    if len(set(timeouts.values())) > 1:
        shown = ", ".join(f"{name} {timeout:g} s" for name, timeout in timeouts.items())
        notes.append(f"stations differ in their timeout ({shown}): the least counts")
    return RecordedLoad(
        stations=tuple(station.id for station in stations),
        users=users,
        step_s=step_s,
        request_interval_s=interval_s,
        timeout_ms=1e3 * min(timeouts.values()),
        failover=_failover([file for _, file in read], stations),
        hosts=tuple(tuple(host.host for host in station.settings.hosts) for station in stations),
        notes=tuple(notes),
    )


def profile_distribution(load: RecordedLoad, base: TaskDistribution) -> TaskDistribution:
    """`base` with its generated load replaced by the recording: its users, how often they ask, and whom."""
    recorded = {
        "nodes": len(load.stations),
        "deployments": len(load.stations),
        "recorded_users": load.users,
        "recorded_step_s": load.step_s,
        "recorded_request_interval_s": load.request_interval_s,
        "recorded_failover": load.failover,
    }
    distribution: TaskDistribution = parse(TaskDistribution, _fields(base) | recorded, "recording")
    return distribution


def profile_task(load: RecordedLoad, task: TaskSpec) -> TaskSpec:
    """`task` under exactly the recorded load: its users, bursts and order of servers.

    Raises `InvalidInput` when the task's nodes or deployments don't fit the recording's stations and servers.
    """
    return with_load(load, task, task.name, ())[0]


def with_load(
    load: RecordedLoad, task: TaskSpec, source: str, kept: Collection[str]
) -> tuple[TaskSpec, tuple[str, ...]]:
    """`task` under a recorded load, and what had to be assumed; fields of the workload that are in `kept` stay.

    Stations and nodes are joined by name, and so are servers and deployments; where no name is in both, stations follow
    the nodes in their natural order, and a server is the deployments at the node of its station. Raises `InvalidInput`
    with `source` and both lists where only some names are in both.
    """
    nodes = [node.name for node in task.cluster.nodes]
    columns, notes = joined(load.stations, nodes, "stations", "nodes", source)
    node_at = np.argsort(columns)  # station -> node
    deployments = [deployment.name for deployment in task.deployments]
    homes = [home_node(task, d) for d in range(len(deployments))]
    hosts = {host for row in load.hosts for host in row}
    if agree(hosts, deployments, "hosts", "deployments", source):
        at = {canonical(name): d for d, name in enumerate(deployments)}
        order: Order = tuple(tuple(at[canonical(host)] for host in load.hosts[station]) for station in columns)
        share = tuple(tuple(float(d == row[0]) for d in range(len(deployments))) for row in order)
    else:
        asked = [[int(node_at[i]) for i in load.failover[station]] for station in columns]
        order = at_homes(asked, homes, np.array(task.cluster.rtt_ms))
        share = first_asked(order, homes)
        for m, row in enumerate(asked):
            if not any(home in row for home in homes):
                where, nearest = ", ".join(nodes[i] for i in row), deployments[order[m][0]]
                notes.append(f"no deployment lives at {where}, whose servers users at {nodes[m]} ask: {nearest} serves")
    fields = {
        "pattern": "recorded",
        "base_users": (),
        "phase": (),
        "recorded_users": tuple(tuple(row[station] for station in columns) for row in load.users),
        "recorded_step_s": load.step_s,
        "request_interval_s": load.request_interval_s,
        "arrivals": "burst",
        "noise": 0.0,
        "share": share,
        "failover": order,
    }
    workload = _fields(task.workload) | {key: value for key, value in fields.items() if key not in kept}
    return parse(TaskSpec, _fields(task) | {"workload": workload}, source), (*load.notes, *notes)


def synthetic(rng: np.random.Generator, stations: int) -> NDArray[np.float64]:
    """Users `[8640, stations]` of a day in steps of 10 s, with the recordings' statistics.

    Poisson around a day that is lowest at 06 h and highest at 21 h.
    """
    hour = np.arange(SYNTHETIC_STEPS) * SYNTHETIC_STEP_S / 3600.0
    rise = (SYNTHETIC_PEAK_HOUR - SYNTHETIC_TROUGH_HOUR) % 24.0
    since_trough = (hour - SYNTHETIC_TROUGH_HOUR) % 24.0
    angle = np.where(since_trough < rise, since_trough / rise, 1.0 + (since_trough - rise) / (24.0 - rise))
    level = (1.0 - np.cos(np.pi * angle)) / 2.0
    mean = rng.uniform(*SYNTHETIC_MEAN_USERS, stations)
    trough = rng.uniform(*SYNTHETIC_TROUGH_SHARE, stations)
    day = mean * (trough + (1.0 - trough) * level[:, None] / level.mean())
    users: NDArray[np.float64] = rng.poisson(day).astype(np.float64)
    return users


def _read(file: Path) -> _Station:
    station: _Station = parse(_Station, read_mapping(file), str(file))
    if not station.settings.load_profiles:
        raise InvalidInput(str(file), [Violation("settings.load_profiles", "must not be empty")])
    return station


def _refuse_ids_that_stand_twice(ids: Sequence[tuple[str, Path]]) -> None:
    for (a, first), (b, second) in pairwise(ids):
        if a == b:
            raise InvalidInput(str(second), [Violation("id", f"{b!r} is also the id in {first.name}")])


def _equally_long(
    stations: Sequence[_Station], pad: Pad | None, source: str
) -> tuple[tuple[tuple[float, ...], ...], list[str]]:
    """Users `[step][station]`, and what was done to make recordings equally long."""
    columns = [np.array([s.concurrent_users for s in station.settings.load_profiles]) for station in stations]
    longest = max(map(len, columns))
    lengths = ", ".join(f"{station.id} {len(column)}" for station, column in zip(stations, columns, strict=True))
    short = [station.id for station, column in zip(stations, columns, strict=True) if len(column) < longest]
    if short and pad is None:
        advice = f"record all of them equally long, or say pad: {' | '.join(PADS)}"
        reason = f"stations differ in how many steps they have ({lengths}): {advice}"
        raise InvalidInput(source, [Violation("settings.load_profiles", reason)])
    how = PADS[pad or "zero"]
    users = np.array([np.pad(column, (0, longest - len(column)), how) for column in columns])
    note = f"{', '.join(short)} padded to {longest} steps (pad: {pad}; recorded steps: {lengths})"
    return _rows(users.T), [note] if short else []


def _failover(files: Sequence[Path], stations: Sequence[_Station]) -> tuple[tuple[int, ...], ...]:
    """Indices of stations for every station's hosts.

    A host belongs to the station whose id it is, else to the first station whose first choice it is.
    """
    homes = {station.id: i for i, station in enumerate(stations)}
    for i, (file, station) in enumerate(zip(files, stations, strict=True)):
        if not station.settings.hosts:
            raise InvalidInput(str(file), [Violation("settings.hosts", "must not be empty")])
        homes.setdefault(station.settings.hosts[0].host, i)
    order = []
    for file, station in zip(files, stations, strict=True):
        for k, host in enumerate(station.settings.hosts):
            if host.host not in homes:
                reason = f"{host.host!r} is no station's first host, so nothing is known about where it is"
                raise InvalidInput(str(file), [Violation(f"settings.hosts[{k}].host", reason)])
        order.append(tuple(dict.fromkeys(homes[h.host] for h in station.settings.hosts)))
    return tuple(order)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields_of(value)}


def _rows(matrix: NDArray[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
