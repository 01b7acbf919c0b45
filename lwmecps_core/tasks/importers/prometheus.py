"""Load from the answers of Prometheus to range queries (`/api/v1/query_range`,
prometheus.io/docs/prometheus/latest/querying/api).

Maps: each series of the matrix, by the labels that are named, to users at a node and the deployment that they ask;
values as `unit` says; times, which are UTC. Assumes: a sample holds for one step. Drops: other labels (series that
differ in them only are duplicates, summed if told so), warnings (which are said). One series is read after the other;
files of several queries may follow each other.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers import json_lists, scan, times
from lwmecps_core.tasks.importers.grid import Clock, Part
from lwmecps_core.tasks.importers.loads import Load, Series, gather, interval_of, listed, per_second, requests_of
from lwmecps_core.tasks.importers.options import LOAD_UNITS, PrometheusOptions, seconds
from lwmecps_core.tasks.importers.tables import Floats, refuse_twice, refused

SERIES = ("result", 2)
"""Where the series stand: the key of their list, and the brackets around it."""
LEAST_SAMPLE = len('[0,"0"],')
VALUES = re.compile(rb'"values"\s*:\s*(\[)')
COUNTERS = ("_total", "_count", "_sum", "_bucket")


def read_prometheus(
    files: Sequence[Path], options: PrometheusOptions, top: int | None = None, stations: Sequence[str] = ()
) -> Load:
    """The load in answers to range queries.

    Raises `InvalidInput` for answers of other kinds, raw counters, series without the label, and values below 0 or NaN.
    """
    refuse_twice(files)
    step_s = seconds(options.step, "--step")
    interval_s, assumed = interval_of(options.unit, options.request_interval)
    clock = Clock(step_s, options, times.shown, times.LATEST_S)
    known: dict[Series, int] = {}
    named: list[Series] = []
    warnings = [text for path in files for text in _warnings(path)]

    def parts() -> Iterator[Part]:
        clock.first = None
        for path in files:
            for i, text in enumerate(json_lists.elements(path, *SERIES)):
                yield _part(path, i, text, options, clock, known)

    def name(series: int) -> Series:
        if series >= len(named):
            named.extend(islice(known, len(named), None))
        return named[series]

    found = gather(parts, lambda series: name(series).label, clock.at, options, files[0], top, stations)
    series = [Series(node=station) for station in found.stations] or [name(int(m[0])) for m in found.members]
    labels = [
        f"{what} is label {label!r}"
        for what, label in (("node", options.node), ("deployment", options.deployment))
        if label
    ]
    notes = [
        f"read as {LOAD_UNITS[options.unit]}: {listed([s.label for s in series])}",
        ", ".join(labels) or "no label is named: one load of all series",
        f"{len(found.values):,} steps of {step_s:g} s from {clock.at(found.base)}",
        *assumed,
        *(f"Prometheus warned: {text}" for text in dict.fromkeys(warnings)),
        *found.notes,
    ]
    return Load(
        source=files[0],
        series=tuple(series),
        rps=found.values * per_second(options.unit, step_s, interval_s),
        step_s=step_s,
        requests=requests_of(found.total, options.unit, step_s, interval_s),
        request_interval_s=interval_s,
        places=bool(options.node),
        notes=tuple(notes),
    )


def _warnings(path: Path) -> list[str]:
    """What an answer warns of; raises `InvalidInput` where it is none to a range query."""
    answer = json_lists.around(path, *SERIES)
    if not isinstance(answer, Mapping):
        raise refused(path, ".", "is no answer of Prometheus: it has no status and no data")
    if answer.get("status") == "error":
        raise refused(path, "status", f"the query failed: {answer.get('errorType')}: {answer.get('error')}")
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, Mapping) else None
    if kind != "matrix" or not isinstance(data, Mapping):
        raise refused(path, "data.resultType", f"is {kind!r}, not 'matrix': ask /api/v1/query_range, not /api/v1/query")
    if not isinstance(data.get("result"), list):
        raise refused(path, "data.result", "is no list of series")
    warnings = answer.get("warnings") or []
    return [str(text) for text in (warnings if isinstance(warnings, list) else [warnings])]


def _read(path: Path, where: str, text: bytes) -> tuple[Any, Floats | None]:
    """A series, and its times and values `[S, 2]` where they are plain numbers, which are read many times faster."""
    if found := VALUES.search(text):
        out = np.empty((len(text) // LEAST_SAMPLE + 1, 2))
        count, end = scan.samples(np.frombuffer(text, np.uint8), found.start(1), out)
        if count > 0:
            one = json_lists.parsed(path, where, text[: found.start(1)] + b"[0]" + text[end:])
            if isinstance(one, dict) and one.get("values") == [0]:
                return one, out[:count]
    return json_lists.parsed(path, where, text), None


def _part(path: Path, i: int, text: bytes, options: PrometheusOptions, clock: Clock, known: dict[Series, int]) -> Part:
    where = f"data.result[{i}]"
    one, numbers = _read(path, where, text)
    metric = one.get("metric") if isinstance(one, Mapping) else None
    samples = one.get("values") if isinstance(one, Mapping) else None
    if not isinstance(metric, Mapping) or not isinstance(samples, list) or not samples:
        kind = "histograms are no load: query their rate" if isinstance(one, Mapping) and "histograms" in one else ""
        raise refused(path, where, kind or "has no metric and values")
    if (name := str(metric.get("__name__", ""))).endswith(COUNTERS):
        raise refused(path, f"{where}.metric", f"{name} is a counter, which only grows: query rate({name}[…])")
    texts = []
    for option, label in (("--node", options.node), ("--deployment", options.deployment)):
        if label and not metric.get(label):
            raise refused(
                path, f"{where}.metric", f"{option}: no label {label!r} among {listed(sorted(metric)) or 'none'}"
            )
        texts.append(str(metric[label]) if label else "")
    if numbers is None:
        numbers = _numbers(path, where, samples, LOAD_UNITS[options.unit])
    series = known.setdefault(Series(*texts), len(known))
    lines, place = np.arange(len(numbers)), f"{where}.values[{{}}]"
    steps = clock.steps(path, numbers[:, 0], lines, place)[:, None]
    return Part(path, numbers[:, 1:], np.full((1, 1), series), steps, lines, place)


def _numbers(path: Path, where: str, samples: Sequence[Any], what: str) -> Floats:
    numbers = np.empty((len(samples), 2))
    for k, sample in enumerate(samples):
        try:
            if any(isinstance(one, bool) or "_" in str(one) for one in sample[:2]):  # Python takes 1_000 for a number
                raise ValueError
            numbers[k] = float(sample[0]), float(sample[1])
        except (TypeError, ValueError, IndexError, KeyError, OverflowError):
            raise refused(path, f"{where}.values[{k}]", f"{sample!r} is no time with a value") from None
        if not isfinite(numbers[k, 1]) or numbers[k, 1] < 0.0 or not isfinite(numbers[k, 0]):
            raise refused(path, f"{where}.values[{k}]", f"{sample[1]!r} is no {what}")
    return numbers


def refuse_nothing_named(options: PrometheusOptions) -> None:
    """Raise `InvalidInput` where neither a node nor a deployment is named and series would be mixed in silence."""
    if not options.node and not options.deployment and options.duplicates == "refuse":
        reason = (
            "which label names the node (--node) or the deployment (--deployment)? Or --duplicates sum: one load of all"
        )
        raise InvalidInput("command line", [Violation("--node", reason)])
