"""Result rows as people and their tools take them: tables, and the demo's files."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from lwmecps_core.reporting.streams import MEANING, clusters_of, stream_table
from lwmecps_core.reporting.texts import COLUMNS, cells, signed
from lwmecps_core.results import Row
from lwmecps_core.statistics import Key, Summary, paired_difference, share_of_gap, summarise

SIGNED_COLUMNS = ("cost/h", "violations", "moves/h", "µs", "W")
"""Of tasks that have prices, bounds or nodes with a power."""
FLAGSHIP = ("context", 0, 1)
"""What the demo's table compares everything with: a policy in its first episode on a cluster."""


def gap_closed(summaries: Sequence[Summary], method: Key, low: Key) -> float:
    """Share of the gap from `low` to `oracle` that a method closes."""
    reward = {key: s.reward_mean for s in summaries for key in ((s.method, s.inner_steps), key_of(s))}
    return share_of_gap(reward[method], low=reward[low], high=reward["oracle", 0])


def worst_task(rows: Sequence[Row]) -> str:
    """The task on which `FLAGSHIP` earns least beside the calibrated autoscaler."""
    rule = {row.task: row.reward for row in rows if row.method == "hpa_calibrated"}
    own = {row.task: row.reward for row in rows if (row.method, row.inner_steps, row.episode) == FLAGSHIP}
    return min(own, key=lambda task: own[task] - rule[task])


def key_of(s: Summary) -> Key:
    """What tells a summary from all others."""
    return s.method, s.inner_steps, s.episode


def comparison_table(rows: Sequence[Row], summaries: Sequence[Summary]) -> Group:
    """The table that the demo prints; the fifth column is the paired advantage of `FLAGSHIP`."""
    table = _table(_title("held-out tasks", rows), (*COLUMNS[:3], "context(1) −", *COLUMNS[3:]))
    for s in summaries:
        line = cells(s)
        style = "bold green" if key_of(s) == FLAGSHIP else ""
        table.add_row(*line[:4], _advantage(rows, s), *line[4:], style=style)
    return Group(table, *_signed_table(summaries))


def summary_table(rows: Sequence[Row]) -> Group:
    """Means over the tasks of a run, one line per method and number of inner steps."""
    summaries = summarise(rows)
    table = _table(_title("tasks", rows), COLUMNS)
    for s in summaries:
        table.add_row(*cells(s))
    return Group(table, *_signed_table(summaries))


def matrix_table(rows: Sequence[Row]) -> Group:
    """Of a run that met clusters one after another: the reward on each after every one, and what that says."""
    header, lines = stream_table(rows)
    table = Table(title=MEANING, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in header:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return Group(table, clusters_of(rows))


def write_results(out: Path, seed: int, rows: Sequence[Row], summaries: Sequence[Summary]) -> None:
    """Write `results.json` and `results.csv` with one entry per summary."""
    entries = [asdict(s) for s in summaries]
    tasks = len({row.task for row in rows})
    (out / "results.json").write_text(json.dumps({"seed": seed, "tasks": tasks, "rows": entries}, indent=1) + "\n")
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(entries[0]))
        writer.writeheader()
        writer.writerows(entries)


def _title(what: str, rows: Sequence[Row]) -> str:
    return f"{len({row.task for row in rows})} {what}, mean ± 95 % interval"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _signed_table(summaries: Sequence[Summary]) -> list[Table]:
    """What operators sign, and power, where any summary has it."""
    lines = [(_signed_cells(s, ""), _signed_cells(s, "_steady")) for s in summaries]
    if not any(any(whole) for whole, _ in lines):
        return []
    columns = (*COLUMNS[:2], *SIGNED_COLUMNS, *(f"steady {name}" for name in SIGNED_COLUMNS))
    table = _table("what running it takes; steady: without the first sixth of each episode", columns)
    for s, (whole, steady) in zip(summaries, lines, strict=True):
        table.add_row(*cells(s)[:3], *whole, *steady)
    return [table]


def _signed_cells(s: Summary, kind: str) -> tuple[str, ...]:
    """A cell for each of `SIGNED_COLUMNS`."""
    names = ("cost_per_hour", "violation_share", "moves_per_hour", "decision_us", "power_w")
    cost, missed, moves, us, power = (getattr(s, name + kind) for name in names)
    return (
        "" if cost is None else f"{cost:.3g}",
        "" if missed is None else f"{100 * missed:.1f} %",
        "" if moves is None else f"{moves:.0f}",
        "" if us is None else f"{us:.0f}",
        "" if power is None else f"{power:.0f}",
    )


def _advantage(rows: Sequence[Row], s: Summary) -> str:
    if key_of(s) == FLAGSHIP:
        return ""
    return signed(paired_difference(rows, FLAGSHIP, key_of(s)))
