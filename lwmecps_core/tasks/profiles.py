"""Recorded load of base stations: the test application's files, and synthetic load of the same statistics."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import NonNegative, Positive, TaskDistribution, TaskSpec

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

    `failover[station]` are indices of stations in the order in which its clients try their servers.
    """

    stations: tuple[str, ...]
    users: tuple[tuple[NonNegative, ...], ...]
    step_s: Positive
    request_interval_s: Positive
    timeout_ms: Positive
    failover: tuple[tuple[int, ...], ...]


def load_profiles(directory: Path) -> RecordedLoad:
    """Read every `*.json` of `directory`, one base station each, in the order of their names.

    Raises `InvalidInput` that names the file and the path inside it. Stations may differ in the length of their
    recording only if the steps agree; the shortest decides.
    """
    files = sorted(Path(directory).glob("*.json"))
    if not files:
        raise InvalidInput(str(directory), [Violation(".", "no *.json load profile in this directory")])
    stations = [_read(file) for file in files]
    steps = {(s.profile_duration, s.request_interval) for station in stations for s in station.settings.load_profiles}
    if len(steps) != 1:
        reason = "profile_duration and request_interval must be the same in all steps of all stations"
        raise InvalidInput(str(directory), [Violation("settings.load_profiles", reason)])
    step_s, interval_s = steps.pop()
    length = min(len(station.settings.load_profiles) for station in stations)
    users = np.array([[s.concurrent_users for s in station.settings.load_profiles[:length]] for station in stations])
    return RecordedLoad(
        stations=tuple(station.id for station in stations),
        users=_rows(users.T),
        step_s=step_s,
        request_interval_s=interval_s,
        timeout_ms=1e3 * min(station.timeout for station in stations),
        failover=_failover(files, stations),
    )


def profile_distribution(load: RecordedLoad, base: TaskDistribution) -> TaskDistribution:
    """`base` with its generated load replaced by the recording."""
    n = len(load.stations)
    return replace(base, nodes=n, deployments=n, recorded_users=load.users, recorded_step_s=load.step_s)


def profile_task(load: RecordedLoad, task: TaskSpec) -> TaskSpec:
    """`task` under exactly the recorded load: its users, bursts and order of servers.

    Raises `InvalidInput` when the task's nodes or deployments don't fit the recording's stations.
    """
    n = len(load.stations)
    for field, count in (("cluster.nodes", len(task.cluster.nodes)), ("deployments", len(task.deployments))):
        if count != n:
            raise InvalidInput(task.name, [Violation(field, f"{count}, but the recorded load has {n} stations")])
    workload = replace(
        task.workload,
        pattern="recorded",
        base_users=(),
        phase=(),
        recorded_users=load.users,
        recorded_step_s=load.step_s,
        request_interval_s=load.request_interval_s,
        arrivals="burst",
        noise=0.0,
        share=_rows(np.eye(n)),
        failover=load.failover,
    )
    return replace(task, workload=workload)


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
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(str(file), [Violation(".", f"not readable JSON: {error}")]) from None
    station: _Station = parse(_Station, data, str(file))
    if not station.settings.load_profiles:
        raise InvalidInput(str(file), [Violation("settings.load_profiles", "must not be empty")])
    return station


def _failover(files: Sequence[Path], stations: Sequence[_Station]) -> tuple[tuple[int, ...], ...]:
    """Indices of stations for every station's hosts; a host belongs to the station whose first choice it is."""
    homes: dict[str, int] = {}
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


def _rows(matrix: NDArray[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
