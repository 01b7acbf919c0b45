"""Values of many series put on one grid of steps, piece by piece: gaps, duplicates and disorder are seen and said."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.tasks.importers import scan
from lwmecps_core.tasks.importers.options import Steps
from lwmecps_core.tasks.importers.tables import Floats, refused

MOST_CELLS = 3 * 2**20
"""Steps × series that are kept: a task of more takes over 500 MiB to make."""
NEVER = -(2**60)
LINE = "line {}"
MOST_VALUE = 1e15
"""Of one value: sums stay exact enough, and nobody has more requests."""
OFF = 1e-3
"""How far a time may be from a whole step, in steps."""
Cell = TypeVar("Cell", np.float64, np.int32)
HOW = {"refuse": scan.REFUSE, "sum": scan.SUM, "mean": scan.MEAN, "max": scan.MAX, "last": scan.LAST}


@dataclass(frozen=True)
class Part:
    """Some values `[R, C]` (NaN: none) of series at steps; `series` and `steps` broadcast to that shape."""

    path: Path
    values: Floats
    series: NDArray[np.int64]
    steps: NDArray[np.int64]
    lines: NDArray[np.int64]
    place: str = LINE
    """Where in the file a row is, `{}` standing for its line."""


@dataclass
class Clock:
    """Times as whole steps: since the first one that was seen, or, rounding down, since 1970."""

    step_s: float
    rules: Steps
    shown: Callable[[float], str]
    """A time for people."""
    latest: float = np.inf
    """No time is later: one that is has another unit."""
    first: float | None = None

    def steps(self, path: Path, times: Floats, lines: NDArray[np.int64], place: str = LINE) -> NDArray[np.int64]:
        """The step of each of `times` `[R]`; raises `InvalidInput` for one between two, unless told what to do."""
        if times.max() > self.latest:
            reason = f"{times.max():.16g} s since 1970 is past the year 9999: is its unit right (ms, us, ns)?"
            raise refused(path, place.format(lines[times.argmax()]), reason)
        if self.first is None:
            self.first = float(times[0])
            if self.rules.align == "floor":
                self.first = self.step_s * float(np.floor(self.first / self.step_s))
        since = (times - self.first) / self.step_s
        steps = np.floor(since + OFF) if self.rules.align == "floor" else np.rint(since)
        if not np.all(np.abs(since) < 2**40):
            reason = f"{abs(since).max():.3g} steps of {self.step_s:g} s away from the first time: is its unit right?"
            raise refused(path, place.format(lines[np.abs(since).argmax()]), reason)
        if self.rules.align == "refuse" and (off := np.flatnonzero(np.abs(since - steps) > OFF)).size:
            away = (
                f"{self.shown(float(times[off[0]]))} is no whole number of steps of {self.step_s:g} s after the first"
            )
            advice = "align nearest, or align floor with duplicates sum for single events"
            raise refused(path, place.format(lines[off[0]]), f"{away} ({self.shown(self.first)}): say {advice}")
        return steps.astype(np.int64)

    def at(self, step: int) -> str:
        """The time of a step, for people."""
        return self.shown((self.first or 0.0) + step * self.step_s)


@dataclass
class Grid:
    """Sums of values by step and column; `column_of[series]` is −1 for series that are left out.

    `shared` says that several series may have one column: their values are added up.
    """

    column_of: NDArray[np.int64] | None
    shared: bool
    rules: Steps
    describe: Callable[[int, int], str]
    """Step and series, for people."""
    told: bool = True
    """Whether disorder and several values in a step are worth a word."""
    base: int = 0
    used: int = 0
    columns: int = 0
    cells: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    counts: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 1), np.int32))
    newest: NDArray[np.int64] = field(default_factory=lambda: np.full(1, NEVER))
    total: float = 0.0
    """All values that came in, those of series that are left out among them."""
    early: int = 0
    first_early: str = ""

    def add(self, part: Part) -> None:
        """Raises `InvalidInput` for a second value in one step where that is refused, and for too large a grid."""
        if np.nanmax(part.values, initial=0.0) > MOST_VALUE:
            row = int(np.argmax(np.nan_to_num(part.values).max(axis=1)))
            reason = f"{np.nanmax(part.values):g} is over {MOST_VALUE:g}: is this the right column, and unit?"
            raise refused(part.path, part.place.format(part.lines[row]), reason)
        self._reach(part)
        shape, how = part.values.shape, HOW[self.rules.duplicates]
        series, steps = np.broadcast_to(part.series, shape), np.broadcast_to(part.steps - self.base, shape)
        columns = series if self.column_of is None else np.broadcast_to(self.column_of[part.series], shape)
        early, first, clash = scan.accumulate(
            part.values, steps, series, columns, self.shared, how, self.cells, self.counts, self.newest
        )
        if clash >= 0:
            row, column = divmod(clash, shape[1])
            what = self.describe(int(steps[row, column]) + self.base, int(series[row, column]))
            advice = (
                "duplicates sum, mean, max or last (clocks that go back an hour repeat it: give times with offsets)"
            )
            raise refused(part.path, part.place.format(part.lines[row]), f"{what} has a value already: say {advice}")
        if early and not self.early:
            self.first_early = f"{part.path.name}, {part.place.format(part.lines[first])}"
        self.early += early
        self.total += float(np.nansum(part.values))

    def result(
        self, where: Path, columns: int, names: Callable[[int], str], at: Callable[[int], str]
    ) -> tuple[Floats, list[str]]:
        """Values `[S, columns]` from the first step to the last, and what was done to them; `base` becomes that first.

        Raises `InvalidInput` for steps without a value, unless told what to do.
        """
        counts, cells = self.counts[: self.used, :columns], self.cells[: self.used, :columns]
        rows = np.flatnonzero(counts.any(axis=1))
        if not rows.size:
            raise refused(where, ".", "holds no value")
        first, last = int(rows[0]), int(rows[-1]) + 1
        counts, cells, said = counts[first:last], cells[first:last], []
        sizes = np.bincount(self.column_of[self.column_of >= 0]) if self.shared and self.column_of is not None else 1
        several = int(np.maximum(counts - sizes, 0).sum())
        if several and self.rules.duplicates == "refuse":
            raise refused(where, ".", f"{several:,} steps of series have several values: say duplicates sum")
        if several and self.told:
            said.append(f"{several:,} values are not the first of their step (duplicates: {self.rules.duplicates})")
        if self.rules.duplicates == "mean":
            cells = cells / np.maximum(counts, 1)
        if self.early and self.told:
            said.append(
                f"{self.early:,} values are older than one before ({self.first_early}): put where their time is"
            )
        self.base += first
        gaps = np.maximum(sizes - counts, 0)
        if gaps.any():
            cells = self._filled(cells, gaps, where, names, at)
            said.append(f"{int(gaps.sum()):,} steps of series had no value (gaps: {self.rules.gaps})")
        return cells, said

    def _filled(
        self, cells: Floats, gaps: NDArray[Any], where: Path, names: Callable[[int], str], at: Callable[[int], str]
    ) -> Floats:
        empty = gaps > 0
        step, column = (int(i[0]) for i in np.nonzero(empty))
        what = f"{names(column)} has no value at {at(step + self.base)}"
        if self.rules.gaps == "refuse":
            reason = f"{what}, one of {int(gaps.sum()):,} gaps in {len(cells):,} steps"
            raise refused(where, ".", f"{reason}: say gaps zero, last or linear, or another step")
        if self.rules.gaps == "zero":
            return cells
        if self.shared:
            raise refused(where, ".", f"{what}: gaps of series that are dealt to stations can be zero only")
        filled = cells.copy()
        for c in range(cells.shape[1]):
            known = np.flatnonzero(~empty[:, c])
            if not known.size or (self.rules.gaps == "last" and known[0] > 0):
                raise refused(
                    where, ".", f"{names(c)} has no value before {at(self.base + int(known[:1].sum()))}: gaps zero"
                )
            missing = np.flatnonzero(empty[:, c])
            if self.rules.gaps == "last":
                filled[missing, c] = cells[known[np.searchsorted(known, missing) - 1], c]
            else:
                filled[missing, c] = np.interp(missing, known, cells[known, c])
        return filled

    def _reach(self, part: Part) -> None:
        """Make room for a part's steps and series."""
        low, high = int(part.steps.min()), int(part.steps.max()) + 1
        if not self.used:
            self.base = low
        shift = max(0, self.base - low)
        used = max(self.used + shift, high - min(low, self.base))
        series = part.series if self.column_of is None else self.column_of[part.series]
        self.columns = max(self.columns, int(series.max()) + 1)
        if used * self.columns > MOST_CELLS:
            size = f"{used:,} steps x {self.columns:,} series are too many (at most {MOST_CELLS:,} together)"
            advice = "is the unit of times right? Else a longer step (align floor, duplicates), --top or --stations"
            raise refused(part.path, part.place.format(part.lines[-1]), f"{size}: {advice}")
        rows, wide = self.cells.shape
        if shift or used > rows or self.columns > wide:
            if self.columns > wide:
                wide = max(self.columns, min(2 * wide, MOST_CELLS // used))
            if used > rows:
                rows = max(used, min(2 * rows, MOST_CELLS // wide))
            self.cells = _grown(self.cells, rows, wide, shift, self.used)
            self.counts = _grown(self.counts, rows, wide, shift, self.used)
            self.newest += shift
        if (last := int(part.series.max())) >= len(self.newest):
            more = np.full(max(last + 1, 2 * len(self.newest)) - len(self.newest), NEVER)
            self.newest = np.concatenate([self.newest, more])
        self.base, self.used = self.base - shift, used


def _grown(old: NDArray[Cell], rows: int, columns: int, shift: int, used: int) -> NDArray[Cell]:
    made = np.zeros((rows, columns), old.dtype)
    made[shift : shift + used, : old.shape[1]] = old[:used]
    return made


def totals(parts: Iterable[Part]) -> Floats:
    """The sum of every series' values `[series]`."""
    sums, used = np.zeros(64), 0
    for part in parts:
        used = max(used, int(part.series.max()) + 1)
        if used > len(sums):
            sums = np.concatenate([sums, np.zeros(max(used, 2 * len(sums)) - len(sums))])
        scan.add_up(part.values, np.broadcast_to(part.series, part.values.shape), sums)
    return sums[:used]
