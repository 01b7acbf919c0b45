"""What result rows say: means over tasks with intervals, paired differences, and files of them."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.special import stdtrit

from lwmecps_core.results import Row

COLUMNS = ("steps", "reward", "latency ms", "p95 ms", "replicas", "SLA miss", "moves", "load corr.", "env steps", "s")


@dataclass(frozen=True)
class Interval:
    """A mean over tasks and the half-width of its 95 % interval (Student's t)."""

    mean: float
    ci95: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return abs(self.mean) > self.ci95


@dataclass(frozen=True)
class Summary:
    """One line of the result: a method after a number of inner steps, over all held-out tasks.

    `reward_*` is per episode; `env_steps` is the data that the method used per task; `wall_s` its time per task.
    """

    method: str
    inner_steps: int
    reward_mean: float
    reward_ci95: float
    latency_mean_ms: float
    latency_p95_ms: float
    replicas_mean: float
    sla_miss_share: float
    moves_mean: float
    load_correlation: float
    env_steps: int
    wall_s: float


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % half-width of independent values (infinite for fewer than two)."""
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return Interval(float(x.mean()), float("inf"))
    half = stdtrit(x.size - 1, 0.975) * x.std(ddof=1) / np.sqrt(x.size)
    return Interval(float(x.mean()), float(half))


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """One summary per method and number of inner steps, in order of first appearance."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.inner_steps), []).append(row)
    return [_summary(method, steps, group) for (method, steps), group in groups.items()]


def paired_difference(rows: Sequence[Row], method: tuple[str, int], other: tuple[str, int]) -> Interval:
    """Reward of `method` minus that of `other`, task by task; each is (name, inner steps)."""
    a, b = _rewards(rows, *method), _rewards(rows, *other)
    return interval([a[task] - b[task] for task in a if task in b])


def gap_closed(summaries: Sequence[Summary], steps: int) -> float:
    """Share of the gap from `scratch` to `oracle` that `adapted` closes after `steps` inner steps."""
    reward = {(s.method, s.inner_steps): s.reward_mean for s in summaries}
    scratch = reward["scratch", steps]
    return (reward["adapted", steps] - scratch) / (reward["oracle", 0] - scratch)


def comparison_table(rows: Sequence[Row], summaries: Sequence[Summary], steps: int) -> Table:
    """The table that the demo prints; the fourth column is the paired advantage of the adapted policy."""
    table = _table("held-out tasks", rows, (*COLUMNS[:2], f"adapted({steps}) −", *COLUMNS[2:]))
    for s in summaries:
        style = "bold green" if (s.method, s.inner_steps) == ("adapted", steps) else ""
        cells = _cells(s)
        table.add_row(*cells[:3], _advantage(rows, s, steps), *cells[3:], style=style)
    return table


def summary_table(rows: Sequence[Row]) -> Table:
    """Means over the tasks of a run, one line per method and number of inner steps."""
    table = _table("tasks", rows, COLUMNS)
    for s in summarise(rows):
        table.add_row(*_cells(s))
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


def _summary(method: str, steps: int, group: Sequence[Row]) -> Summary:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in group]))

    reward = interval([row.reward for row in group])
    return Summary(
        method=method,
        inner_steps=steps,
        reward_mean=reward.mean,
        reward_ci95=reward.ci95,
        latency_mean_ms=mean("latency_mean_ms"),
        latency_p95_ms=mean("latency_p95_ms"),
        replicas_mean=mean("replicas_mean"),
        sla_miss_share=mean("sla_miss_share"),
        moves_mean=mean("moves_mean"),
        load_correlation=mean("load_correlation"),
        env_steps=round(mean("env_steps")),
        wall_s=mean("wall_s"),
    )


def _table(what: str, rows: Sequence[Row], columns: Sequence[str]) -> Table:
    tasks = len({row.task for row in rows})
    title = f"{tasks} {what}, mean ± 95 % interval"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(s: Summary) -> tuple[str, ...]:
    """The method, then a cell for each of `COLUMNS`."""
    interval95 = f" ± {s.reward_ci95:.2f}" if isfinite(s.reward_ci95) else ""
    return (
        s.method,
        str(s.inner_steps),
        f"{s.reward_mean:.2f}{interval95}",
        f"{s.latency_mean_ms:.0f}",
        f"{s.latency_p95_ms:.0f}",
        f"{s.replicas_mean:.1f}",
        f"{100 * s.sla_miss_share:.1f} %",
        f"{s.moves_mean:.2f}",
        f"{s.load_correlation:.2f}",
        f"{s.env_steps:,}",
        f"{s.wall_s:.2f}",
    )


def _advantage(rows: Sequence[Row], s: Summary, steps: int) -> str:
    if (s.method, s.inner_steps) == ("adapted", steps):
        return ""
    difference = paired_difference(rows, ("adapted", steps), (s.method, s.inner_steps))
    star = "*" if difference.excludes_zero else " "
    return f"{difference.mean:+.2f} ± {difference.ci95:.2f}{star}"


def _rewards(rows: Sequence[Row], method: str, steps: int) -> dict[str, float]:
    return {row.task: row.reward for row in rows if (row.method, row.inner_steps) == (method, steps)}
