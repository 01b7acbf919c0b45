"""The demo's two pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from lwmecps_core.reporting import pictures
from lwmecps_core.reporting.pictures import Trace
from lwmecps_core.results import Row
from lwmecps_core.specs import TaskSpec
from lwmecps_core.statistics import Summary, paired_difference

LINES = ("context", "context_adapted", "adapted", "multi_task_fine_tuned")
SINGLE = ("rate_rule_adapted", "hpa_tuned", "scratch_100_episodes")
REFERENCES = ("oracle", "privileged", "hpa_calibrated", "hpa", "rate_rule", "blind")
TICKS = (1, 2, 5, 10, 25, 100)
BASE = ("multi_task", 0)
"""Whom everybody is compared with, task by task."""


def plot_adaptation(rows: Sequence[Row], summaries: Sequence[Summary], path: Path) -> None:
    """What every method gains on multi-task, paired over the clusters, against the episodes that a cluster has had; and
    the rewards themselves. Written as PNG, and as SVG beside it.
    """
    figure, (gains, rewards) = plt.subplots(1, 2, figsize=(14, 5.5), layout="constrained")
    _gains(gains, rows, summaries)
    _rewards(rewards, summaries)
    _save(figure, path)


def _gains(axes: Axes, rows: Sequence[Row], summaries: Sequence[Summary]) -> None:
    for i, method in enumerate((*LINES, *SINGLE)):
        points = sorted((s for s in summaries if _line(s) == method), key=lambda s: s.episode)
        found = [paired_difference(rows, (s.method, s.inner_steps, s.episode), BASE) for s in points]
        axes.errorbar(
            [s.episode for s in points],
            [e.mean for e in found],
            [e.ci95 for e in found],
            label=method,
            marker="o",
            capsize=3,
            color=f"C{i}",
            linestyle="-" if method in LINES else "none",
        )
        for s, gain in zip(points, found, strict=True):
            if s.inner_steps:
                at = (s.episode, gain.mean)
                axes.annotate(str(s.inner_steps), at, (3, 4), textcoords="offset points", fontsize=7, color=f"C{i}")
    for i, s in enumerate(s for s in summaries if s.method in REFERENCES):
        gain = paired_difference(rows, (s.method, s.inner_steps), BASE)
        axes.axhline(gain.mean, linestyle="--", alpha=0.7, color=plt.get_cmap("Dark2")(i), label=s.method)
    axes.axhline(0.0, color="black", linewidth=1, label="multi_task")
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="episode on the held-out cluster (small numbers: inner steps before it)")
    axes.set(ylabel="reward per episode − multi_task's")
    axes.set_title("Gain on multi_task (mean, 95 % interval, paired over clusters)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _rewards(axes: Axes, summaries: Sequence[Summary]) -> None:
    """The last of every method, best at the top."""
    last = {_line(s): s for s in sorted(summaries, key=lambda s: (s.inner_steps, s.episode))}
    ordered = sorted(last.values(), key=lambda s: s.reward_mean)
    for i, s in enumerate(ordered):
        colour = "C0" if _line(s) in ("context", "context_adapted") else "0.4"
        axes.errorbar(s.reward_mean, i, xerr=s.reward_ci95, marker="o", color=colour, capsize=3)
    axes.set_yticks(range(len(ordered)), [_line(s) for s in ordered], fontsize="small")
    axes.set(xlabel="reward per episode")
    axes.set_title("Rewards (mean, 95 % interval over clusters)")
    axes.grid(alpha=0.3)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    figure.savefig(path.with_suffix(".svg"))
    plt.close(figure)


def plot_placement(title: str, task: TaskSpec, days: Mapping[str, Trace], path: Path) -> None:
    """See `pictures.day`; written as PNG, and as SVG beside it."""
    pictures.day(title, task, days).save(path.with_suffix(""))


def _line(s: Summary) -> str:
    return "adapted" if s.method == "unadapted" else s.method
