"""Result rows as people and their tools take them: tables, and the demo's files."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lwmecps_core.reporting.texts import COLUMNS, cells, signed
from lwmecps_core.results import Row
from lwmecps_core.statistics import Key, Summary, paired_difference, share_of_gap, summarise

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


def comparison_table(rows: Sequence[Row], summaries: Sequence[Summary]) -> Table:
    """The table that the demo prints; the fifth column is the paired advantage of `FLAGSHIP`."""
    table = _table("held-out tasks", rows, (*COLUMNS[:3], "context(1) −", *COLUMNS[3:]))
    for s in summaries:
        line = cells(s)
        style = "bold green" if key_of(s) == FLAGSHIP else ""
        table.add_row(*line[:4], _advantage(rows, s), *line[4:], style=style)
    return table


def summary_table(rows: Sequence[Row]) -> Table:
    """Means over the tasks of a run, one line per method and number of inner steps."""
    table = _table("tasks", rows, COLUMNS)
    for s in summarise(rows):
        table.add_row(*cells(s))
    return table


def write_results(out: Path, seed: int, rows: Sequence[Row], summaries: Sequence[Summary]) -> None:
    """Write `results.json` and `results.csv` with one entry per summary."""
    entries = [asdict(s) for s in summaries]
    tasks = len({row.task for row in rows})
    (out / "results.json").write_text(json.dumps({"seed": seed, "tasks": tasks, "rows": entries}, indent=1) + "\n")
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(entries[0]))
        writer.writeheader()
        writer.writerows(entries)


def _table(what: str, rows: Sequence[Row], columns: Sequence[str]) -> Table:
    tasks = len({row.task for row in rows})
    title = f"{tasks} {what}, mean ± 95 % interval"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _advantage(rows: Sequence[Row], s: Summary) -> str:
    if key_of(s) == FLAGSHIP:
        return ""
    return signed(paired_difference(rows, FLAGSHIP, key_of(s)))
