"""Load of Azure Functions, 2019 (github.com/Azure/AzurePublicDataset, AzureFunctionsDataset2019.md).

Files `invocations_per_function_md.anon.dNN.csv` (HashOwner, HashApp, HashFunction, Trigger, 1 … 1440: completions in
each minute of day NN) and `function_durations_percentiles.anon.dNN.csv` (… Average in ms without cold start, Count), in
any order. Maps: completions to requests; functions, or all of an application or owner, to series. Assumes: a function
that is not in a day's file ran not once on that day; completions are arrivals, which they follow; the CPU time of a
request is the average duration, weighted by Count (waiting inside the function is in it, so it is too much rather than
too little). Drops: percentiles, minima and maxima of durations; triggers (a choice of them may be kept); memory, which
is per application. The data has no places and no time zone.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers.grid import Part
from lwmecps_core.tasks.importers.loads import Gathered, Load, Series, gather, listed
from lwmecps_core.tasks.importers.options import AzureOptions, Steps
from lwmecps_core.tasks.importers.tables import Floats, Names, Table, refuse_twice, refused

KEYS = ("HashOwner", "HashApp", "HashFunction")
GROUPS = {"owner": 1, "app": 2, "function": 3}
"""What a series is → how many of the keys name it."""
MINUTES, STEP_S = 1440, 60.0
RULES = Steps(gaps="zero", duplicates="sum")
DAY = re.compile(r"\.d(\d+)\.")
SHORT = 8
"""Characters of a hash that are shown."""


def read_azure(
    files: Sequence[Path], options: AzureOptions, top: int | None = None, stations: Sequence[str] = ()
) -> Load:
    """The load in files of invocations, with what requests cost where files of durations are among them.

    Raises `InvalidInput` for files that are neither, and for days that are missing in between.
    """
    refuse_twice(files)
    reading = _AzureReading(files, options)
    label, at = reading.label, lambda step: f"minute {step % MINUTES + 1} of day {step // MINUTES}"
    found = gather(reading.parts, label, at, RULES, reading.invocations[0], top, stations, ordered=False)
    series = [Series(node=name) for name in found.stations or map(label, (int(m[0]) for m in found.members))]
    cpu_ms, priced = reading.cpu_time_ms(found)
    days = sorted(reading.days.values())
    notes = [
        f"completions per minute of day {', '.join(map(str, days))}, taken for arrivals: "
        f"{listed([s.node for s in series])}",
        f"{len(reading.names.texts):,} series, one per {options.group}; the data has no places and no time zone",
        *([f"invocations of other triggers are left out: {reading.dropped:,.10g}"] if options.trigger else []),
        *priced,
        "left out: percentiles of durations, memory",
        *found.notes,
    ]
    requests = found.total + (reading.dropped if options.trigger else 0.0)
    return Load(
        source=reading.invocations[0],
        series=tuple(series),
        rps=found.values / STEP_S,
        step_s=STEP_S,
        requests=requests,
        places=False,
        cpu_time_ms=tuple(cpu_ms),
        notes=tuple(notes),
    )


class _AzureReading:
    """Which file is what, and the names of the series so far."""

    def __init__(self, files: Sequence[Path], options: AzureOptions) -> None:
        self.options, self.names, self.dropped = options, Names(), 0.0
        self.headers = {path: Table(path).header() for path in files}
        minutes = [str(i + 1) for i in range(MINUTES)]
        self.invocations = [p for p, h in self.headers.items() if h == [*KEYS, "Trigger", *minutes]]
        self.durations = [p for p, h in self.headers.items() if h[:5] == [*KEYS, "Average", "Count"]]
        if odd := [p for p in files if p not in (*self.invocations, *self.durations)]:
            expected = "HashOwner, HashApp, HashFunction, then Trigger, 1, …, 1440, or Average, Count, …"
            raise refused(odd[0], "line 1", f"has columns {listed(self.headers[odd[0]])}, not {expected}")
        if not self.invocations:
            raise refused(files[0], ".", "holds durations: a file of invocations is needed beside it")
        self.days = _days(self.invocations)
        self.keys = GROUPS[options.group]
        self.labels: dict[str, int] = {}

    def parts(self) -> Iterator[Part]:
        """All counts, read anew."""
        self.dropped, others = 0.0, set[str]()
        for path, day in self.days.items():
            steps = day * MINUTES + np.arange(MINUTES)[None, :]
            for rows in Table(path).rows(self.headers[path], range(4 + MINUTES)):
                values = rows.numbers(4, 4 + MINUTES, "invocations in a minute")
                kept = np.arange(len(rows))
                if self.options.trigger:
                    triggers = [rows.text(row, 3) for row in range(len(rows))]
                    others.update(triggers)
                    wanted = np.array([trigger in self.options.trigger for trigger in triggers])
                    self.dropped += float(np.nansum(values[~wanted]))
                    kept = np.flatnonzero(wanted)
                if kept.size:
                    series = self.names.of(rows.take(kept), range(self.keys))
                    yield Part(path, values[kept], series[:, None], steps, rows.lines[kept])
        if others and not self.names.texts:
            reason = f"no function has trigger {listed(self.options.trigger)}; there are {listed(sorted(others))}"
            raise refused(self.invocations[0], "Trigger", reason)

    def label(self, series: int) -> str:
        """The last hash of a series' name, short; with the series' number where another one has that name."""
        short = f"{self.options.group}-{self.names.texts[series][-1][:SHORT]}"
        return short if self.labels.setdefault(short, series) == series else f"{short}-{series + 1}"

    def cpu_time_ms(self, found: Gathered) -> tuple[list[float | None], list[str]]:
        """Of every group the mean duration, weighted by its counts, None where it is in no file; what is said of it."""
        if not self.durations:
            return [], ["no file of durations: what a request costs is not known"]
        sums: dict[tuple[str, ...], Floats] = {}
        for path in self.durations:
            for rows in Table(path).rows(self.headers[path], range(5)):
                both = np.nan_to_num(rows.numbers(3, 5, "average and count"))
                names = Names()
                at = names.of(rows, range(self.keys))
                for name, one in zip((names.texts[i] for i in at), both, strict=True):
                    sums[name] = sums.get(name, np.zeros(2)) + np.array([one[0] * one[1], one[1]])
        costs: list[float | None] = []
        for group in found.members:
            known = sum((sums[self.names.texts[i]] for i in group if self.names.texts[i] in sums), np.zeros(2))
            costs.append(float(known[0] / known[1]) if known[0] > 0.0 else None)
        none = sum(cost is None for cost in costs)
        said = (
            f"CPU time of a request: the mean duration in {len(self.durations)} files, waiting inside functions in it"
        )
        return costs, [said + (f"; {none} series are in none of them" if none else ""), *self._other_days()]

    def _other_days(self) -> list[str]:
        """What is said of durations that are of other days than the invocations."""
        named = [match for path in self.durations if (match := DAY.search(path.name))]
        other = sorted({int(match[1]) for match in named} - set(self.days.values()))
        return [f"durations are of day {', '.join(map(str, other))} too, without invocations of it"] if other else []


def _days(files: Sequence[Path]) -> dict[Path, int]:
    """The day of every file, in their order; raises `InvalidInput` for a name without one, and for days left out."""
    found = {path: DAY.search(path.name) for path in files}
    if bad := [path for path, match in found.items() if match is None]:
        if len(files) == 1:
            return {files[0]: 1}
        raise refused(bad[0], ".", "which day is it? Names end with .d01.csv, .d02.csv …")
    days = sorted(((path, int(match[1])) for path, match in found.items() if match), key=lambda pair: pair[1])
    numbers = [day for _, day in days]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        reason = f"days {', '.join(map(str, numbers))} don't follow each other: give the files of all days in between"
        raise InvalidInput("command line", [Violation("files", reason)])
    return dict(days)
