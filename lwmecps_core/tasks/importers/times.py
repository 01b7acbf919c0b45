"""Times of tables as seconds since 1970 (UTC), or as numbers of steps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers import scan
from lwmecps_core.tasks.importers.tables import Floats, Names, Rows

UNIX = {"unix-s": 1.0, "unix-ms": 1e-3, "unix-us": 1e-6, "unix-ns": 1e-9}
"""Format → seconds in one."""
QUARTER_S = 900
"""No clock is put on within one: zones' offsets change at its ends."""
EPOCH = datetime(1970, 1, 1)
LATEST_S = 253_402_300_800.0
"""The year 10000."""

Reader = Callable[[Rows, int], Floats]
"""Rows and the column of the time → times `[R]`."""


def reader(how: str, timezone: str) -> Reader:
    """What reads times of the format `how`; raises `InvalidInput` for one that is none, and for an unknown zone."""
    zone = _zone(timezone)
    if how == "steps":
        return lambda rows, column: _filled(rows, column, "a number of steps")
    if how in UNIX:
        return lambda rows, column: (
            UNIX[how] * _filled(rows, column, f"a time in {how.removeprefix('unix-')} since 1970")
        )
    if how == "iso":
        shifts: dict[int, float] = {}
        return lambda rows, column: _iso(rows, column, zone, shifts)
    if "%" in how:
        names, known = Names(), list[float]()
        return lambda rows, column: _by_format(rows, column, how, zone, names, known)
    formats = f"{', '.join(UNIX)}, iso, steps, or a format of strptime such as %d/%m/%Y %H:%M"
    reason = f"{how!r} is none of {formats}" if how else f"say how times are written: {formats}"
    raise InvalidInput("command line", [Violation("--time-format", reason)])


def _zone(timezone: str) -> ZoneInfo | None:
    if not timezone:
        return None
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reason = f"{timezone!r} is no time zone: write UTC, or one such as Europe/Berlin"
        raise InvalidInput("command line", [Violation("--timezone", reason)]) from None


def _filled(rows: Rows, column: int, what: str) -> Floats:
    found = rows.numbers(column, column + 1, what, -np.inf)[:, 0]
    if (empty := np.flatnonzero(np.isnan(found))).size:
        raise rows.refused(int(empty[0]), column, f"is empty: {what} must stand here")
    return found


def _iso(rows: Rows, column: int, zone: ZoneInfo | None, shifts: dict[int, float]) -> Floats:
    found, zoned = np.empty(len(rows)), np.empty(len(rows), np.int8)
    at = scan.iso_times(rows.data, rows.starts[:, column], rows.ends[:, column], found, zoned)
    if at >= 0:
        reason = f"{rows.text(at, column)!r} is no date and time of ISO 8601, such as 2026-01-31T10:00:00Z"
        raise rows.refused(at, column, f"{reason} (--time-format)")
    naive = np.flatnonzero(zoned == 0)
    if naive.size:
        if zone is None:
            raise rows.refused(int(naive[0]), column, _zoneless(rows.text(int(naive[0]), column)))
        east = _offsets(found[naive], zone, shifts)
        if (skipped := np.flatnonzero(np.isnan(east))).size:
            row = int(naive[skipped[0]])
            raise rows.refused(row, column, _skipped(rows.text(row, column), zone))
        found[naive] -= east
    return found


def _offsets(local_s: Floats, zone: ZoneInfo, known: dict[int, float]) -> Floats:
    """How far east of Greenwich clocks of `zone` are at local times; of an hour that comes twice, the first time.

    NaN of a time that clocks never show there.
    """
    quarters, inverse = np.unique(np.floor_divide(local_s, QUARTER_S).astype(np.int64), return_inverse=True)
    for quarter in quarters.tolist():
        if quarter not in known:
            known[quarter] = _east_s(EPOCH + timedelta(seconds=quarter * QUARTER_S), zone)
    east: Floats = np.array([known[quarter] for quarter in quarters.tolist()])[inverse]
    return east


def _east_s(local: datetime, zone: ZoneInfo) -> float:
    here = local.replace(tzinfo=zone)
    offset = here.utcoffset()
    if offset is None or here.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        return np.nan
    return offset.total_seconds()


def _skipped(text: str, zone: ZoneInfo) -> str:
    reason = f"{text!r} is no time in {zone.key}, where clocks were put on past it"
    return f"{reason}: if these clocks are never put on, say --timezone UTC, or a fixed one such as Etc/GMT-1"


def _by_format(rows: Rows, column: int, how: str, zone: ZoneInfo | None, names: Names, known: list[float]) -> Floats:
    at: NDArray[np.int64] = names.of(rows, [column])
    for i in range(len(known), len(names.texts)):
        text, row = names.texts[i][0], int(np.flatnonzero(at == i)[0])
        try:
            read = datetime.strptime(text, how)
        except ValueError:
            raise rows.refused(row, column, f"{text!r} is no time of the format {how!r} (--time-format)") from None
        if read.tzinfo is None and zone is None:
            raise rows.refused(row, column, _zoneless(text))
        if read.tzinfo is None and zone is not None and np.isnan(_east_s(read, zone)):
            raise rows.refused(row, column, _skipped(text, zone))
        known.append((read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC).timestamp())
    return np.array(known)[at]


def _zoneless(text: str) -> str:
    return f"{text!r} names no time zone: say --timezone UTC, or one such as Europe/Berlin"


def shown(time_s: float) -> str:
    """A time for people."""
    try:
        moment = datetime.fromtimestamp(time_s, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_s:g} s since 1970"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
