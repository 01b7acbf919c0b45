"""The benchmark's picture: cost against violations."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from bench.slo.cells import CONTROLS, HPA, LEARNT
from bench.slo.view import SloEvidence
from bench.slo.workloads import BOUNDS, WORKLOADS

COLOURS = {HPA: "0.4", "recurrent": "C2", "statistics": "C0"}
MARKS = dict(zip(CONTROLS, "vs^D", strict=True))
Place = tuple[float, float]


def draw(view: SloEvidence, path: Path) -> None:
    """A panel for each workload: the HPA's curve over its targets, policies' over their multipliers, the controls."""
    matplotlib.rcParams["svg.hashsalt"] = path.name  # the same picture is the same file
    figure, panels = plt.subplots(2, 3, figsize=(13, 8), layout="constrained", sharey=True)
    for axes, workload in zip(panels.flat, WORKLOADS, strict=True):
        for method in (HPA, *LEARNT):
            _curve(axes, view, workload, method)
        for name, mark in MARKS.items():
            for p in view.chosen(workload, name):
                axes.plot(np.mean(p.costs), np.mean(p.missed), mark, color="C1", label=name, zorder=3)
        axes.axhline(BOUNDS.allowed, color="0.2", linewidth=0.8, linestyle="--")
        axes.set_title(workload)
        axes.grid(alpha=0.3)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique))
    for axes in panels[-1]:
        axes.set_xlabel("cost, money per hour")
    for axes in panels[:, 0]:
        axes.set_ylabel("violations, share of windows")
    figure.suptitle(
        f"What keeping to the bounds costs, {view.env_id}: nearer to the lower left is better\n"
        "(lines: what no other setting of the method beats; circled: chosen on other tasks; dashed: what is allowed)"
    )
    for suffix in ("png", "svg"):
        figure.savefig(
            path.with_suffix(f".{suffix}"), dpi=110, metadata={"Software" if suffix == "png" else "Date": None}
        )
    plt.close(figure)


def _curve(axes: plt.Axes, view: SloEvidence, workload: str, method: str) -> None:
    points = {
        setting: (float(np.mean([p.costs for p in some])), float(np.mean([p.missed for p in some])))
        for setting, some in view.of(workload, method).items()
    }
    if not points:
        return
    colour = COLOURS[method]
    line = front(list(points.values()))
    axes.plot(*zip(*points.values(), strict=True), ".", color=colour, alpha=0.4)
    axes.plot(*zip(*line, strict=True), "-", color=colour, label=method)
    for p in view.chosen(workload, method):
        axes.plot(np.mean(p.costs), np.mean(p.missed), "o", color=colour, markersize=9, fillstyle="none")


def front(points: list[Place]) -> list[Place]:
    """Those points (cost, violations) that no other one beats in both, by cost."""
    found: list[Place] = []
    for cost, missed in sorted(points):
        if not found or missed < found[-1][1]:
            found.append((cost, missed))
    return found
