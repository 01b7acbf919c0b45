"""The demo's two pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lwmecps_core.statistics import Summary

LINES = ("adapted", "scratch")
REFERENCES = ("oracle", "hpa_calibrated", "multi_task", "scratch_100_episodes", "random")


def plot_adaptation(summaries: Sequence[Summary], path: Path) -> None:
    """Reward against inner steps between the controls: all of it, and the part where the good methods are."""
    figure, (whole, part) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for axes in (whole, part):
        _adaptation(axes, summaries)
    close = [s.reward_mean for s in summaries if s.method in ("oracle", "hpa_calibrated", *LINES[:1], "unadapted")]
    margin = 0.15 * (max(close) - min(close))
    part.set(ylim=(min(close) - margin, max(close) + margin), title="The same, enlarged", ylabel="")
    whole.set_title("Reward on held-out clusters (mean, 95 % interval over tasks)")
    whole.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _adaptation(axes: Axes, summaries: Sequence[Summary]) -> None:
    for method in LINES:
        points = sorted((s for s in summaries if _line(s) == method), key=lambda s: s.inner_steps)
        steps = np.array([s.inner_steps for s in points])
        mean, half = (np.array([getattr(s, name) for s in points]) for name in ("reward_mean", "reward_ci95"))
        axes.plot(steps, mean, marker="o", label=method)
        axes.fill_between(steps, mean - half, mean + half, alpha=0.15)
    for i, method in enumerate(REFERENCES):
        for s in (s for s in summaries if s.method == method):
            axes.axhline(s.reward_mean, linestyle="--", color=f"C{i + len(LINES)}", label=method)
    axes.set(xlabel="inner steps on the held-out cluster", ylabel="reward per episode")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def plot_placement(trace: Mapping[str, Sequence[float]], hours_per_step: float, path: Path) -> None:
    """Users, replicas and latency of one held-out day over time; `trace` holds one value per control interval."""
    panels = (("users", "users"), ("replicas", "ready replicas"), ("latency_ms", "latency (ms)"))
    figure, rows = plt.subplots(len(panels), 1, figsize=(8, 7), sharex=True, layout="constrained")
    for axes, (name, label) in zip(rows, panels, strict=True):
        values = np.asarray(trace[name])
        axes.plot(np.arange(values.size) * hours_per_step, values, color="C0")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    rows[0].set_title("One day on a held-out cluster under the adapted policy")
    rows[-1].set_xlabel("hours since the episode began")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _line(s: Summary) -> str:
    return "adapted" if s.method == "unadapted" else s.method
