"""The benchmark's picture."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from bench.context.bars import CONTEXT
from bench.context.cells import ClusterKind
from bench.context.view import Evidence

SHOWN = (
    "oracle",
    "privileged",
    "context_fine_tuned",
    "context",
    "recurrent",
    "adapted",
    "multi_task_fine_tuned",
    "multi_task",
    "blind",
    "scratch_100_episodes",
    "rate_rule_adapted",
    "hpa_tuned",
    "hpa_calibrated",
    "hpa",
)
LEAST = -15.0


def draw(views: Mapping[ClusterKind, Evidence], folder: Path) -> None:
    """Differences to the policy with a context in its first episode, one panel for each kind of cluster."""
    if not views:
        return
    matplotlib.rcParams["svg.hashsalt"] = folder.name  # the same picture is the same file
    columns = min(4, len(views))
    lines = -(-len(views) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(3.2 * columns + 1.8, 3.9 * lines + 0.8),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axes in panels.flat[len(views) :]:
        axes.set_visible(False)
    for axes, (problem, view) in zip(panels.flat, views.items(), strict=False):
        for i, method in enumerate(reversed(SHOWN)):
            _method(axes, view, method, i)
        axes.set_yticks(range(len(SHOWN)), list(reversed(SHOWN)), fontsize="small")
        axes.axvline(0, color="0.2", linewidth=0.8)
        axes.set_xlim(LEAST, 6)
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(problem.title, fontsize="medium")
    figure.supxlabel("reward per episode minus that of context in its first episode")
    figure.suptitle(
        "What each method earns beside a policy that remembers, in its first episode on a held-out cluster\n"
        "(95 % intervals over training seeds and tasks; pale: later episodes and more steps, up to the full dot)"
    )
    for suffix in ("png", "svg"):
        figure.savefig(
            folder / f"differences.{suffix}", dpi=110, metadata={"Software" if suffix == "png" else "Date": None}
        )
    plt.close(figure)


def _method(axes: plt.Axes, view: Evidence, method: str, line: int) -> None:
    points = view.of(method)
    for at in points:
        full = at == points[-1]
        d = view.difference(at, CONTEXT) if at != CONTEXT else None
        mean = d.mean if d else 0.0
        if mean < LEAST:
            if full:
                axes.text(LEAST + 0.3, line, f"◂ {mean:.0f}", va="center", fontsize="small")
            continue
        bounds = [[mean - d.low], [d.high - mean]] if d and full else None
        axes.errorbar(
            mean, line, xerr=bounds, fmt="o", markersize=4, capsize=2, color=_colour(method), alpha=1 if full else 0.3
        )


def _colour(method: str) -> str:
    if method.startswith(("context", "recurrent")):
        return "C2"
    return (
        "C1"
        if method in ("oracle", "privileged")
        else ("C0" if method.startswith(("multi", "blind", "adapted")) else "0.5")
    )
