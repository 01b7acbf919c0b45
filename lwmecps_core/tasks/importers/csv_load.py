"""Load from CSV: long (one value per row) or wide (one column per node).

Maps: the numbers, whose meaning `unit` says, to users at nodes; the time to steps of `step`; in long tables `node` to
where the users are and `deployment` to what they ask. Assumes: nothing about units, time zones, gaps or duplicates,
which are refused until it is said what they mean; that every series goes from the file's first step to its last. Drops:
columns that are not named; how a node's requests are shared among deployments over time (the mean is kept).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers import times
from lwmecps_core.tasks.importers.grid import Clock, Part
from lwmecps_core.tasks.importers.loads import Load, Series, gather, interval_of, listed, per_second, requests_of
from lwmecps_core.tasks.importers.options import LOAD_UNITS, CsvOptions, delimiter, seconds
from lwmecps_core.tasks.importers.tables import Floats, Names, Rows, Table, refuse_twice, refused


def read_csv(files: Sequence[Path], options: CsvOptions, top: int | None = None, stations: Sequence[str] = ()) -> Load:
    """The load in one or several tables of the same columns, read one after the other.

    `top` keeps the busiest series only, `stations` are dealt all of them. Raises `InvalidInput` with file, line, column
    and value for everything that is not as `options` say.
    """
    refuse_twice(files)
    reading = _CsvReading(files, options)
    interval_s, assumed = interval_of(options.unit, options.request_interval)
    step_s = reading.step_s
    found = gather(reading.parts, reading.label, reading.at, options, files[0], top, stations)
    series = [Series(node=name) for name in found.stations] or [reading.series(int(m[0])) for m in found.members]
    rps = found.values * per_second(options.unit, step_s, interval_s)
    notes = [
        f"read as {LOAD_UNITS[options.unit]}: {listed([one.label for one in series])}",
        f"{len(rps):,} steps of {step_s:g} s from {reading.at(found.base)} to {reading.at(found.base + len(rps))}",
        *(["left out: columns " + listed(reading.unused)] if reading.unused else []),
        *assumed,
        *found.notes,
    ]
    return Load(
        source=files[0],
        series=tuple(series),
        rps=rps,
        step_s=step_s,
        requests=requests_of(found.total, options.unit, step_s, interval_s),
        request_interval_s=interval_s,
        places=bool(options.node) or not options.value,
        notes=tuple(notes),
    )


class _CsvReading:
    """Which columns are read, and the names of the series so far."""

    def __init__(self, files: Sequence[Path], options: CsvOptions) -> None:
        self.files, self.options = files, options
        self.table = Table(files[0], delimiter(options.delimiter))
        self.header = self.table.header()
        self.step_s = seconds(options.step, "--step")
        self.counted = options.time_format == "steps" or not options.time
        self.read_time = times.reader(options.time_format, options.timezone) if options.time else None
        self.clock = (
            Clock(1.0, options, _step_text)
            if self.counted
            else Clock(self.step_s, options, times.shown, times.LATEST_S)
        )
        self.names = Names()
        self.keys = [self._column(name, f"--{what}") for what, name in self._key_names()]
        self.time = self._column(options.time, "--time") if options.time else None
        self.wide = self._wide() if not options.value else []
        self.value = self._column(options.value, "--value") if options.value else None
        used = {*self.keys, self.time, self.value, *self.wide}
        self.unused = [name or f"{i + 1} (without a name)" for i, name in enumerate(self.header) if i not in used]
        if self.value is not None and self.time is None:
            reason = "a long table (--value) needs the column of its times: --time"
            raise InvalidInput("command line", [Violation("--time", reason)])

    def parts(self) -> Iterator[Part]:
        """All values, read anew."""
        self.clock.first, step = None, 0
        for path in self.files:
            table = Table(path, self.table.delimiter)
            if (header := table.header()) != self.header:
                raise refused(path, "line 1", f"has other columns than {self.files[0].name}: {listed(header)}")
            first = [] if self.time is None else [self.time]
            values = self.wide if self.value is None else [self.value]
            for rows in table.rows(self.header, [*first, *self.keys, *values]):
                yield self._part(path, rows, step)
                step += len(rows)

    def label(self, series: int) -> str:
        """A series' name for people."""
        return self.series(series).label

    def series(self, series: int) -> Series:
        """Whose load a series is."""
        if self.wide:
            return Series(node=self.header[self.wide[series]])
        texts = (
            dict(zip([what for what, _ in self._key_names()], self.names.texts[series], strict=True))
            if self.keys
            else {}
        )
        return Series(node=texts.get("node", ""), deployment=texts.get("deployment", ""))

    def at(self, step: int) -> str:
        """The time of a step, for people."""
        return self.clock.at(step)

    def _part(self, path: Path, rows: Rows, step: int) -> Part:
        options, keys, first = self.options, len(self.keys), int(self.time is not None)
        if self.time is not None and self.read_time is not None:
            steps: NDArray[np.int64] = self.clock.steps(path, self.read_time(rows, 0), rows.lines)
        else:
            steps = np.arange(step, step + len(rows))
        last = first + keys + (len(self.wide) or 1)
        values: Floats = rows.numbers(first + keys, last, LOAD_UNITS[options.unit])
        if self.wide:
            series = np.arange(len(self.wide))[None, :]
        elif keys:
            series = self.names.of(rows, range(first, first + keys))[:, None]
        else:
            series = np.zeros((1, 1), np.int64)
        return Part(path, values, series, steps[:, None], rows.lines)

    def _key_names(self) -> list[tuple[str, str]]:
        both = [("node", self.options.node), ("deployment", self.options.deployment)]
        return [(what, name) for what, name in both if name]

    def _column(self, name: str, option: str) -> int:
        return self.table.column(self.header, name, option)

    def _wide(self) -> list[int]:
        if self.keys:
            reason = "says of which node or deployment a row is, so --value must say where its number stands"
            raise InvalidInput("command line", [Violation(f"--{self._key_names()[0][0]}", reason)])
        named = [self._column(name, "--columns") for name in self.options.columns]
        # A column without a name is a table's index, or comes of a delimiter at the end of its lines.
        found = named or [i for i, name in enumerate(self.header) if i != self.time and name]
        if not found or self.time in found:
            raise refused(self.table.path, "line 1", "has no columns of nodes beside that of the time")
        return found


def _step_text(step: float) -> str:
    return f"step {step:g}"
