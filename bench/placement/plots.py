"""The benchmark's pictures, made from the result file."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from bench.placement.estimates import estimate
from bench.placement.settings import MANY, META_METHODS
from bench.placement.view import ALONE, HEADLINE, META, ORACLE, STATIC, TRANSFERS, UNTRAINED, ResultView, apart

REFERENCES = ("oracle", "multi_task_ppo_equal_data", "hpa_tuned", ALONE, "static")
LADDER = (
    "random",
    UNTRAINED,
    "static",
    "greedy_load",
    "optimized_balance",
    "hpa_calibrated",
    "hpa_tuned",
    "rate_rule_adapted",
    ALONE,
    "transfer_fine_tuning",
    "multi_task_ppo_equal_data",
    "meta_ppo_imaml",
    "meta_ppo_reptile",
    "meta_ppo_fomaml",
    HEADLINE,
    "oracle",
)
LEAST_SHOWN = -0.5
COLOURS = {name: f"C{i}" for i, name in enumerate(MANY)}


def draw_all(view: ResultView, folder: Path) -> None:
    """Write every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in (("reward", _reward), ("adaptation", _adaptation), ("gains", _gains), ("support", _support)):
        figure = draw(view)
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


def _reward(view: ResultView) -> plt.Figure:
    """Bars of the share of the way from static to the oracle, one panel for each family."""
    figure, panels = _panels(view, 3.1, 5.2)
    for k, (axes, family) in enumerate(zip(panels, view.families, strict=True)):
        oracle, static = view.last(family, ORACLE), view.last(family, STATIC)
        for i, method in enumerate(LADDER):
            row = view.last(family, method)
            if row is None or oracle is None or static is None:
                continue
            gap = oracle["reward_mean"] - static["reward_mean"]
            behind = estimate(apart(row, oracle))
            share = 1 + behind.mean / gap
            half = behind.ci95 / gap if share >= LEAST_SHOWN else 0.0
            axes.barh(i, max(share, LEAST_SHOWN), xerr=half, color=_kind_colour(method), ecolor="0.3")
            if share < LEAST_SHOWN:
                axes.text(LEAST_SHOWN + 0.03, i, f"{share:.0%}", va="center", fontsize="small", color="white")
        axes.set_yticks(range(len(LADDER)), LADDER if k == 0 else [], fontsize="small")
        axes.set(xlim=(LEAST_SHOWN, 1.1), title=family)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.axvline(0, color="0.2", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(
        "How far each method gets from leaving replicas as deployed (static, 0 %) to the oracle (100 %)\n"
        "on held-out tasks (95 % interval of the distance to the oracle; green: meta-learnt, orange: other ways to use "
        "other tasks)"
    )
    return figure


def _adaptation(view: ResultView) -> plt.Figure:
    """Reward against inner steps with PPO, one panel for each family."""
    figure, panels = _panels(view, 3.0, 4.5)
    for axes, family in zip(panels, view.families, strict=True):
        for i, method in enumerate(META_METHODS):
            rows = view.steps(family, f"meta_ppo_{method}")
            values = [row["reward_mean"] for row in rows]
            taken = [row["inner_steps"] for row in rows]
            axes.plot(taken, values, marker="o", color=f"C{i}", label=f"meta_ppo_{method}")
        for i, name in enumerate(REFERENCES):
            row = view.last(family, name)
            if row:
                axes.axhline(row["reward_mean"], linestyle="--", color=f"C{i + len(META_METHODS)}", label=name)
        axes.set(title=family, xlabel="inner steps (4 episodes each)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("reward per episode")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
    figure.suptitle(
        "Reward on held-out tasks after 0 to 5 inner steps (higher is better; mean over tasks and training seeds)\n"
        "After the last step a policy goes back to its start on every task where its own episodes had got worse"
    )
    return figure


def _gains(view: ResultView) -> plt.Figure:
    """Paired gain of every meta-learner and transfer over its own start."""
    names = [m for m in (*META, *TRANSFERS) if view.gains(m).size]
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(names) + 1.6), layout="constrained")
    for i, name in enumerate(reversed(names)):
        for family in view.families:
            axes.plot(estimate(view.gains(name, [family])).mean, i, ".", color="0.6", markersize=5)
        pooled = estimate(view.gains(name))
        axes.errorbar(pooled.mean, i, xerr=pooled.ci95, fmt="o", color=_colour(name), capsize=3)
    axes.set_yticks(range(len(names)), list(reversed(names)), fontsize="small")
    axes.axvline(0, color="0.2", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel("reward after all steps minus reward before the first (linear up to ±1, then logarithmic)")
    axes.set_title(
        "What adaptation to the held-out task gains over the method's own start\n"
        "(paired over all tasks of all families, 95 % interval; grey: each family alone)",
        fontsize="medium",
    )
    axes.grid(axis="x", alpha=0.3)
    return figure


def _support(view: ResultView) -> plt.Figure:
    """What the episodes earned that were played while adapting, against `static`."""
    figure, panels = _panels(view, 2.6, 5.2)
    for k, (axes, family) in enumerate(zip(panels, view.families, strict=True)):
        for i, name in enumerate(reversed(META)):
            found = view.over_static(family, name)
            if found:
                axes.errorbar(found.mean, i, xerr=found.ci95, fmt="o", markersize=4, capsize=2, color=_colour(name))
        axes.set_yticks(range(len(META)), list(reversed(META)) if k == 0 else [], fontsize="small")
        axes.axvline(0, color="0.2", linewidth=0.8)
        axes.set(title=family, ylim=(-0.7, len(META) - 0.3))
        axes.grid(alpha=0.3)
    figure.supxlabel("reward of support episodes minus reward of static", fontsize="medium")
    figure.suptitle(
        "What a live cluster sees while a policy adapts: support episodes against leaving replicas as deployed\n"
        "(right of 0: better than static; paired over tasks, 95 % interval)"
    )
    return figure


def _panels(view: ResultView, width: float, height: float) -> tuple[plt.Figure, Sequence[Axes]]:
    figure, panels = plt.subplots(
        1, len(view.families), figsize=(width * len(view.families) + 1.5, height), layout="constrained", squeeze=False
    )
    return figure, list(panels[0])


def _kind_colour(name: str) -> str:
    if name.startswith("meta_"):
        return "C2"
    return "C1" if name.startswith(("multi_task", "transfer")) else "0.6"


def _colour(name: str) -> str:
    return next((colour for key, colour in COLOURS.items() if f"_{key}_" in name), "C4")
