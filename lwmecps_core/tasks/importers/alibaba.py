"""Load of Alibaba's microservices, 2022 (github.com/alibaba/clusterdata, cluster-trace-microservices-v2022).

Files `MSRTMCR_N.csv` (timestamp in ms, every 60,000; msname, msinstanceid, nodeid, and for each kind of call its rate
and its mean response time in ms: providerrpc_rt, providerrpc_mcr, …). Maps: rates of the calls that arrive at a
microservice (`calls`; summed over its instances) to requests; timestamps to steps of 60 s. Assumes: what a rate of 1
stands for, which is asked for, because rates are published max–min normalised, without calls per second; a rate of 0 is
no call; a request's CPU time is the mean response time of those calls, weighted by their rate (time spent waiting for
others is in it). Drops: calls of other kinds, bare-metal nodes, utilisation, call graphs. Microservices have no places.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lwmecps_core.tasks.importers.grid import Part
from lwmecps_core.tasks.importers.loads import Load, Series, gather, listed
from lwmecps_core.tasks.importers.options import AlibabaOptions, Steps
from lwmecps_core.tasks.importers.tables import Floats, Names, Rows, Table, refuse_twice, refused
from lwmecps_core.tasks.importers.times import LATEST_S

STEP_MS, STEP_S = 60_000.0, 60.0
LATEST_MS = 1e3 * LATEST_S


def read_alibaba(
    files: Sequence[Path], options: AlibabaOptions, top: int | None = None, stations: Sequence[str] = ()
) -> Load:
    """The load in tables of call rates; raises `InvalidInput` for columns that are missing and times between steps."""
    refuse_twice(files)
    reading = _AlibabaReading(files, options)
    rules = Steps(gaps=options.gaps, duplicates="sum")
    found = gather(
        reading.parts,
        reading.label,
        lambda step: f"{step * STEP_MS:.0f} ms",
        rules,
        files[0],
        top,
        stations,
        ordered=False,
    )
    series = [Series(node=name) for name in found.stations] or [
        Series(node=reading.label(int(m[0]))) for m in found.members
    ]
    work = reading.work
    pairs = [(work[m[m < len(work)], 0].sum(), work[m[m < len(work)], 1].sum()) for m in found.members]
    scale = options.calls_per_s
    notes = [
        f"calls that arrive by {', '.join(options.calls)}, a rate of 1 taken for {scale:g} calls per second",
        f"{len(reading.names.texts):,} microservices, without places: {listed([s.node for s in series])}",
        "CPU time of a request: the mean response time, waiting for other services in it",
        "left out: calls of other kinds, machines",
        *found.notes,
    ]
    return Load(
        source=files[0],
        series=tuple(series),
        rps=found.values * scale,
        step_s=STEP_S,
        requests=found.total * scale * STEP_S,
        places=False,
        cpu_time_ms=tuple(float(rt / rate) if rt > 0.0 else None for rt, rate in pairs),
        notes=tuple(notes),
    )


class _AlibabaReading:
    """Columns that are read, names of the microservices, and rate-weighted response times and rates of each so far."""

    def __init__(self, files: Sequence[Path], options: AlibabaOptions) -> None:
        self.files, self.options, self.names = files, options, Names()
        self.work: Floats = np.zeros((64, 2))

    def parts(self) -> Iterator[Part]:
        """All rates, read anew."""
        self.work[:] = 0.0
        for path in self.files:
            table = Table(path)
            header = [name.lower() for name in table.header()]
            rates = [table.column(header, f"{call}_mcr", "--calls") for call in self.options.calls]
            answers = [table.column(header, f"{call}_rt", "--calls") for call in self.options.calls]
            keys = [table.column(header, name, "Alibaba 2022") for name in ("timestamp", "msname")]
            for rows in table.rows(header, [*keys, *rates, *answers]):
                yield self._part(path, rows, len(rates))

    def label(self, series: int) -> str:
        """The microservice's name."""
        return self.names.texts[series][0]

    def _part(self, path: Path, rows: Rows, kinds: int) -> Part:
        time_ms = rows.numbers(0, 1, "a timestamp in ms")[:, 0]
        if (odd := np.flatnonzero(~(time_ms % STEP_MS == 0.0))).size:
            row = int(odd[0])
            raise refused(
                path, f"line {rows.lines[row]}, timestamp", f"{rows.text(row, 0)!r} is no multiple of 60,000 ms"
            )
        if (far := np.flatnonzero(time_ms > LATEST_MS)).size:
            row = int(far[0])
            raise refused(path, f"line {rows.lines[row]}, timestamp", f"{rows.text(row, 0)!r} is past the year 9999")
        rates = np.nan_to_num(rows.numbers(2, 2 + kinds, "a call rate, normalised"))
        answers = np.nan_to_num(rows.numbers(2 + kinds, 2 + 2 * kinds, "a response time in ms"))
        series = self.names.of(rows, [1])
        if (need := len(self.names.texts)) > len(self.work):
            self.work = np.concatenate([self.work, np.zeros((max(need, 2 * len(self.work)) - len(self.work), 2))])
        np.add.at(self.work, series, np.stack([(rates * answers).sum(axis=1), rates.sum(axis=1)], axis=1))
        steps = (time_ms / STEP_MS).astype(np.int64)
        return Part(path, rates.sum(axis=1)[:, None], series[:, None], steps[:, None], rows.lines)
