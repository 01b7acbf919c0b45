"""Result rows as people and their tools take them: tables, and the demo's files."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lwmecps_core.reporting.texts import COLUMNS, cells, signed
from lwmecps_core.results import Row
from lwmecps_core.statistics import Key, Summary, paired_difference, share_of_gap, summarise

SIGNED_COLUMNS = ("cost/h", "violations", "moves/h", "µs", "steady: cost/h", "violations", "moves/h", "µs")
"""Of tasks that have prices or bounds; steady: without the first sixth of each episode."""
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
    columns, cells_of = _shown(summaries)
    table = _table("held-out tasks", rows, (*columns[:3], "context(1) −", *columns[3:]))
    for s in summaries:
        line = cells_of(s)
        style = "bold green" if key_of(s) == FLAGSHIP else ""
        table.add_row(*line[:4], _advantage(rows, s), *line[4:], style=style)
    return table


def summary_table(rows: Sequence[Row]) -> Table:
    """Means over the tasks of a run, one line per method and number of inner steps."""
    summaries = summarise(rows)
    columns, cells_of = _shown(summaries)
    table = _table("tasks", rows, columns)
    for s in summaries:
        table.add_row(*cells_of(s))
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


def _shown(summaries: Sequence[Summary]) -> tuple[tuple[str, ...], Callable[[Summary], tuple[str, ...]]]:
    """The columns of a table, and what makes a summary's cells: with what operators sign where any summary has it."""
    if not any(s.moves_per_hour is not None for s in summaries):
        return COLUMNS, cells
    return (*COLUMNS[:4], *SIGNED_COLUMNS, *COLUMNS[4:]), _signed_cells


def _signed_cells(s: Summary) -> tuple[str, ...]:
    """`cells`, with a cell for each of `SIGNED_COLUMNS` behind those of rewards."""
    line = cells(s)
    found = []
    for kind in ("", "_steady"):
        cost, missed, moves, us = (
            getattr(s, f"{name}{kind}")
            for name in ("cost_per_hour", "violation_share", "moves_per_hour", "decision_us")
        )
        found += [
            "" if cost is None else f"{cost:.3g}",
            "" if missed is None else f"{100 * missed:.1f} %",
            "" if moves is None else f"{moves:.0f}",
            "" if us is None else f"{us:.0f}",
        ]
    return (*line[:5], *found, *line[5:])


def _advantage(rows: Sequence[Row], s: Summary) -> str:
    if key_of(s) == FLAGSHIP:
        return ""
    return signed(paired_difference(rows, FLAGSHIP, key_of(s)))
