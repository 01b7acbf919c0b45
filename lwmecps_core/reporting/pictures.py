"""Pictures of results: curves of metrics, rewards with intervals, adaptation step by step, one day on a cluster."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator, PercentFormatter

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.forgetting import matrix
from lwmecps_core.results import Row
from lwmecps_core.sim.state import home_node
from lwmecps_core.specs import TaskSpec
from lwmecps_core.statistics import Summary, summarise

Trace = Mapping[str, Sequence[float]]
"""Name → one value per control interval."""
Metrics = Mapping[str, Sequence[tuple[int, float]]]
"""Name of a metric → (step, value), in order."""
SHOWN = ("total_reward", "test_avg_reward", "meta_loss", "policy_loss", "value_loss", "latency", "pod_count")
"""Metrics that are drawn first."""
PANELS = 6
"""Metrics that are drawn at most."""
PIXELS_PER_INCH = 120
MOST_CELLS = 12
"""Clusters of a stream beyond which its rewards are no longer written into their cells."""
LEAST_SHARE = 0.01
"""Top of the axis of failures where hardly any fails."""
PNG, SVG = ".png", ".svg"


class Picture:
    """A figure that notebooks show and that is saved as PNG and SVG; `figure` is Matplotlib's own."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def save(self, path: str | Path) -> Path:
        """Write the file, and folders that are missing; the ending says which kind, none means a PNG and an SVG.

        Raises `InvalidInput` for an ending that Matplotlib knows no kind of picture for.
        """
        path = Path(path)
        kinds = (PNG, SVG) if not path.suffix else (path.suffix,)
        known = self.figure.canvas.get_supported_filetypes()
        if wrong := [kind for kind in kinds if kind[1:].lower() not in known]:
            raise InvalidInput(str(path), [Violation(".", f"{wrong[0]} is none of {', '.join(sorted(known))}")])
        path.parent.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            with matplotlib.rc_context({"svg.hashsalt": "lwmecps"}):  # the same results, the same file
                metadata = {"Date": None} if kind == SVG else None
                self.figure.savefig(path.with_suffix(kind), dpi=PIXELS_PER_INCH, metadata=metadata)
        return path

    def svg(self) -> str:
        """The picture as an `svg` element, for a page."""
        data = BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "lwmecps"}):
            self.figure.savefig(data, format="svg", metadata={"Date": None})
        text = data.getvalue().decode()
        return text[text.index("<svg") :]

    def _repr_png_(self) -> bytes:
        data = BytesIO()
        self.figure.savefig(data, format="png", dpi=96)
        return data.getvalue()


def curves(runs: Mapping[str, Metrics]) -> Picture:
    """Metrics by step, one panel each, one line per run (label → its metrics)."""
    names = sorted(_names(runs), key=_turn)[:PANELS]
    columns = min(len(names), 3) or 1
    figure = Figure(figsize=(4.6 * columns, 3.2 * max(1, ceil(len(names) / columns))), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(ceil(len(names) / columns), columns, i + 1)
        for k, (label, metrics) in enumerate(runs.items()):
            points = [
                (step, value) for full, series in metrics.items() if _short(full) == name for step, value in series
            ]
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, label=label, color=f"C{k % 10}", marker="o" if len(points) < 3 else None)
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
        if len(runs) > 1 and i == 0:
            axes.legend(fontsize="small")
    return Picture(figure)


def rewards(rows: Sequence[Row]) -> Picture:
    """Rewards per episode with 95 % intervals over tasks, best at the top."""
    ordered = sorted(summarise(rows), key=lambda s: s.reward_mean)
    several = len({(s.method, s.inner_steps) for s in ordered}) < len(ordered)
    figure = Figure(figsize=(8, 1.2 + 0.38 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    for i, s in enumerate(ordered):
        error = s.reward_ci95 if np.isfinite(s.reward_ci95) else 0.0
        axes.errorbar(s.reward_mean, i, xerr=error, marker="o", capsize=3, color="C0")
    axes.set_yticks(range(len(ordered)), [_named(s, several) for s in ordered], fontsize="small")
    axes.set(xlabel="reward per episode", ylim=(-0.6, len(ordered) - 0.4))
    axes.set_title(f"Rewards (mean, 95 % interval over {len({r.task for r in rows})} tasks)")
    axes.grid(alpha=0.3)
    return Picture(figure)


def adaptation(rows: Sequence[Row]) -> Picture:
    """Rewards by inner steps, one line per method, its episodes on the cluster in the labels of its points."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    methods: dict[str, list[Summary]] = {}
    for s in summarise(rows):
        methods.setdefault(s.method, []).append(s)
    for k, (method, found) in enumerate(methods.items()):
        found = sorted(found, key=lambda s: (s.inner_steps, s.episode))
        errors = [s.reward_ci95 if np.isfinite(s.reward_ci95) else 0.0 for s in found]
        steps, means = [s.inner_steps for s in found], [s.reward_mean for s in found]
        axes.errorbar(steps, means, errors, label=method, marker="o", capsize=3, color=f"C{k % 10}")
    axes.set(xlabel="inner steps on the task", ylabel="reward per episode")
    axes.set_title(f"Adaptation (mean, 95 % interval over {len({r.task for r in rows})} tasks)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return Picture(figure)


def stream(runs: Mapping[str, Sequence[Row]]) -> Picture:
    """Of runs that met clusters one after another (label → rows) the matrices R side by side; colours are what has
    changed on a cluster since the start, which rewards of different clusters share.
    """
    found = {label: matrix(rows) for label, rows in runs.items()}
    tallest = max(len(r) for _, r in found.values())
    width = sum(2.0 + 0.6 * len(tasks) for tasks, _ in found.values())
    figure = Figure(figsize=(width, 1.6 + 0.35 * tallest), layout="constrained")
    grid = figure.subplots(1, len(found), squeeze=False)
    most = max(float(np.abs(r - r[:1]).max()) for _, r in found.values()) or 1.0
    for axes, (label, (tasks, r)) in zip(np.asarray(grid)[0], found.items(), strict=True):
        drawn = axes.imshow(r - r[:1], cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        for i, j in np.ndindex(r.shape) if len(tasks) <= MOST_CELLS else ():
            shade = "white" if abs(r[i, j] - r[0, j]) > 0.6 * most else "black"
            axes.text(j, i, f"{r[i, j]:.1f}", ha="center", va="center", fontsize="x-small", color=shade)
        for j in range(len(r) - 1):  # what stands below this line was met
            axes.plot([j - 0.5, j + 0.5], [j + 0.5, j + 0.5], color="black", linewidth=1.5)
        axes.set(title=label, xlabel="cluster (above the line: not met yet)", ylabel="clusters met")
        axes.set_xticks(range(len(tasks)), [str(j + 1) for j in range(len(tasks))], fontsize="small")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(drawn, ax=grid, label="reward minus that at the start")
    return Picture(figure)


def day(title: str, task: TaskSpec, days: Mapping[str, Trace]) -> Picture:
    """One day on one cluster under each method of `days` (name → its trace), side by side: load, replicas, latency with
    its target, and failures, each by deployment and the node where it lives.
    """
    panels = (
        ("rate", "requests/s"),
        ("ready", "ready replicas"),
        ("latency_ms", "latency (ms)"),
        ("failed_share", "failed share"),
    )
    figure = Figure(figsize=(6.5 * len(days), 10), layout="constrained")
    grid = figure.subplots(len(panels), len(days), sharex=True, sharey="row", squeeze=False)
    hours_per_step = task.interval_s * task.workload.speedup / 3600
    for column, (method, trace) in zip(np.asarray(grid).T, days.items(), strict=True):
        column[0].set_title(f"{method}: reward {sum(trace['reward']):.1f}")
        for axes, (name, label) in zip(column, panels, strict=True):
            _deployments(axes, task, trace, name, hours_per_step)
            axes.set_ylabel(label)
            axes.grid(alpha=0.3)
        column[2].axhline(task.objective.target_latency_ms, color="black", linestyle="--", linewidth=1, label="target")
        column[2].set_yscale("log")
        for which in (column[2].yaxis.set_major_formatter, column[2].yaxis.set_minor_formatter):
            which(LogFormatter(minor_thresholds=(2, 0.5)))  # 200 and 400 in place of powers of ten
        column[1].yaxis.set_major_locator(MaxNLocator(integer=True))
        column[3].yaxis.set_major_formatter(PercentFormatter(1.0))
        column[-1].set_xlabel("hours since the episode began")
    grid[3][0].set_ylim(0.0, max(LEAST_SHARE, grid[3][0].get_ylim()[1]))
    grid[0][0].legend(fontsize="small")
    grid[2][0].legend(handles=grid[2][0].lines[-1:], fontsize="small")
    figure.suptitle(title)
    return Picture(figure)


def _deployments(axes: Axes, task: TaskSpec, trace: Trace, name: str, hours_per_step: float) -> None:
    for d, deployment in enumerate(task.deployments):
        values = np.asarray(trace.get(f"{deployment.name}/{name}", ()))
        if name == "latency_ms":
            values = np.where(values > 0.0, values, np.nan)  # no requests, no latency
        node = task.cluster.nodes[home_node(task, d)].name
        drawn: Literal["steps-post", "default"] = "steps-post" if name == "ready" else "default"
        hours = np.arange(values.size) * hours_per_step
        # Counts are often equal: the first lines are broad, so that they show beside those that lie on them.
        width = 1.2 + max(0, 3 - d) if name == "ready" else 1.2
        axes.plot(hours, values, label=f"{deployment.name} at {node}", linewidth=width, drawstyle=drawn)


def _named(s: Summary, episodes: bool) -> str:
    steps = f", {s.inner_steps} steps" if s.inner_steps else ""
    return f"{s.method}{steps}{f', episode {s.episode}' if episodes else ''}"


def _short(name: str) -> str:
    """A metric's name without what it is filed under."""
    return name.rsplit("/", 1)[-1]


def _turn(name: str) -> tuple[int, str]:
    return (SHOWN.index(name) if name in SHOWN else len(SHOWN)), name


def _names(runs: Mapping[str, Metrics]) -> set[str]:
    """The metrics of all runs, without what only counts steps and rollouts."""
    names = {_short(name) for metrics in runs.values() for name in metrics}
    return {name for name in names if name != "steps" and not name.startswith("rollouts_")}
