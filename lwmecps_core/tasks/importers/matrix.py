"""Round trips from a latency matrix, square or long, in CSV or TSV.

Maps: names (of a square table's header, or first column; node-1, node-2 … where it has none) to nodes, numbers to round
trips. Assumes: nothing about units and directions, which are asked for; of two round trips measured from both ends the
mean, unless told max. Drops: other columns of long tables, and what nodes measured to themselves. Square tables without
names are taken for such where every field of the first row is a number.
"""

import csv
from collections.abc import Sequence
from itertools import combinations
from math import isfinite
from pathlib import Path

import numpy as np

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import MS, MatrixOptions, delimiter
from lwmecps_core.tasks.importers.places import Places
from lwmecps_core.tasks.importers.scenario import MOST
from lwmecps_core.tasks.importers.tables import MIB, Floats, Names, Table, refused, whole

MOST_SQUARE = 16 * MIB
"""Of a square table: a thousand nodes and more, of which a task takes 200."""
MOST_NAMES = 2000


def read_matrix(file: Path, options: MatrixOptions) -> Places:
    """Nodes and round trips of a table; raises `InvalidInput` with line and value, and for pairs that are missing."""
    tabs = ".tsv" in map(str.lower, file.suffixes)  # .tsv.gz
    between = delimiter(options.delimiter or ("\\t" if tabs else ","))
    long = [options.source, options.target, options.value]
    if any(long) and not all(long):
        reason = "a long table needs all three: --source, --target and --value"
        raise InvalidInput("command line", [Violation("--value", reason)])
    names, measured = _long(file, between, options) if all(long) else _square(file, between)
    if options.only:
        if unknown := [name for name in options.only if name not in names]:
            raise refused(file, ".", f"--only: {listed(unknown)} is none of {listed(names)}")
        only = list(dict.fromkeys(options.only))
        keep = [names.index(name) for name in only]
        names, measured = only, measured[np.ix_(keep, keep)]
    if (most := float(np.nanmax(measured, initial=0.0))) > MOST:
        raise refused(file, ".", f"a latency is {most:g} {options.unit}: is its unit right?")
    rtt_ms, said = _both_ways(file, names, MS[options.unit] * measured, options)
    notes = (f"{len(names)} nodes ({listed(names)}), numbers in {options.unit}, {options.direction}", *said)
    return Places(file, tuple(names), rtt_ms, notes)


def _both_ways(file: Path, names: Sequence[str], ms: Floats, options: MatrixOptions) -> tuple[Floats, list[str]]:
    """Symmetric round trips of what was measured (NaN: not), and what was assumed."""
    own = int((np.diagonal(ms) > 0.0).sum())
    np.fill_diagonal(ms, 0.0)
    if options.direction == "one-way":
        rtt_ms = ms + ms.T
        said = ["round trips are the sums of both ways"]
    else:
        two = np.where(np.isnan(ms), ms.T, ms)
        other = np.where(np.isnan(ms.T), ms, ms.T)
        rtt_ms = np.maximum(two, other) if options.symmetrise == "max" else (two + other) / 2.0
        differ = int((np.abs(two - other) > 1e-9)[np.triu_indices(len(ms), 1)].sum())
        said = (
            [f"{differ} pairs were measured differently from both ends: the {options.symmetrise} counts"]
            if differ
            else []
        )
    if own:
        said.append(f"left out: what {own} nodes measured to themselves")
    missing = [f"{names[i]} to {names[j]}" for i, j in combinations(range(len(names)), 2) if np.isnan(rtt_ms[i, j])]
    if missing:
        back = ", both ways" if options.direction == "one-way" else ""
        raise refused(file, ".", f"no latency{back} of {len(missing)} pairs ({listed(missing)}): keep others by --only")
    return rtt_ms, said


def _long(file: Path, delimiter: str, options: MatrixOptions) -> tuple[list[str], Floats]:
    table = Table(file, delimiter)
    header = table.header()
    keys = ((options.source, "--source"), (options.target, "--target"), (options.value, "--value"))
    columns = [table.column(header, name, option) for name, option in keys]
    names, measured = Names(), np.full((64, 64), np.nan)
    for rows in table.rows(header, columns):
        values = rows.numbers(2, 3, "a latency")[:, 0]
        a, b = (names.of(rows, [k]) for k in (0, 1))
        if (count := len(names.texts)) > MOST_NAMES:
            raise refused(file, f"line {rows.lines[-1]}", f"more than {MOST_NAMES:,} nodes: is this the right column?")
        if count > len(measured):
            wider = np.full((min(2 * count, MOST_NAMES),) * 2, np.nan)
            wider[: len(measured), : len(measured)] = measured
            measured = wider
        filled = np.flatnonzero(~np.isnan(values))
        pairs, first = np.unique(a[filled] * MOST_NAMES + b[filled], return_index=True)
        known = ~np.isnan(measured[pairs // MOST_NAMES, pairs % MOST_NAMES])
        again = np.concatenate([filled[first[known]], np.delete(filled, first)])
        if again.size:
            row = int(again.min())
            raise rows.refused(row, 2, f"{rows.text(row, 0)} to {rows.text(row, 1)} has a latency already")
        measured[a[filled], b[filled]] = values[filled]
    if not names.texts:
        raise refused(file, ".", "holds no value")
    return [name for (name,) in names.texts], measured[: len(names.texts), : len(names.texts)]


def _square(file: Path, delimiter: str) -> tuple[list[str], Floats]:
    try:
        reader = csv.reader(whole(file, MOST_SQUARE).splitlines(), delimiter=delimiter)
        rows = [(reader.line_num, [f.strip() for f in row]) for row in reader if any(f.strip() for f in row)]
    except csv.Error as error:
        raise refused(file, ".", f"not readable: {error}") from None
    if not rows:
        raise refused(file, ".", "is empty")
    if len(rows[0][1]) == len(rows) + 1 and not any(row[-1] for _, row in rows):  # lines that end with a delimiter
        rows = [(line, row[:-1]) for line, row in rows]
    corner = not rows[0][1][0] and len(rows[0][1]) == len(rows)  # names may be numbers
    named = corner or any(_value(text) is None and text for text in rows[0][1])
    header, body = (rows[0][1], rows[1:]) if named else ([], rows)
    first = named and (not header[0] or all(len(r) == len(body) + 1 and _value(r[0]) is None for _, r in body))
    names = [row[0] for _, row in body] if first else header or [f"node-{i + 1}" for i in range(len(body))]
    if first and header[-len(body) :] != names:
        raise refused(file, "line 1", f"names columns {listed(header[-len(body) :])}, but rows are {listed(names)}")
    if len(set(names)) != len(names) or "" in names:
        raise refused(file, "line 1", f"names must be different, and not empty: {listed(names)}")
    measured = np.full((len(names), len(names)), np.nan)
    if len(body) != len(names):
        raise refused(
            file, ".", f"has {len(body)} rows of {len(names)} nodes: a square table, or --source, --target, --value"
        )
    for i, (line, row) in enumerate(body):
        fields = row[1:] if first else row
        if len(fields) != len(names):
            raise refused(file, f"line {line}", f"has {len(fields)} numbers, but there are {len(names)} nodes")
        for j, text in enumerate(fields):
            value = _value(text)
            if text and (value is None or not isfinite(value) or value < 0.0):
                raise refused(file, f"line {line}, {names[j]}", f"{text!r} is no latency")
            measured[i, j] = np.nan if value is None else value
    return names, measured


def _value(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None  # Python takes 1_000 for a number
    except ValueError:
        return None
