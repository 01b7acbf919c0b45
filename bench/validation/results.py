"""Result files of the validation, and the tables of docs/validation.md made from them."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.marks import between

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "validation.md"


def mean_ci95(values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Mean and half the width of its 95 % interval over tasks (normal approximation)."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return {"mean": round(float(values.mean()), 3), "ci95": round(half, 3)}


def write(rows: Sequence[Mapping[str, Any]], path: Path, packages: Sequence[str] = ("numpy", "torch")) -> None:
    """Rows with the versions that they were measured with."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"versions": versions, "rows": rows}, indent=2) + "\n")


def refresh(docs: Path = DOCS, results: Path = RESULTS) -> None:
    """Put tables of all result files that there are between their marks in `docs`: `<!-- NAME -->` … `<!-- end -->`."""
    text = docs.read_text()
    for name, table in TABLES.items():
        path = results / f"validation-{name}.json"
        if path.is_file():
            text = between(text, name, table(json.loads(path.read_text())["rows"]))
    docs.write_text(text)


def table_by_steps(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ours beside the published figure, one column for each number of inner steps."""
    steps = list(rows[0]["ours"])
    lines = [["", *(f"after {s}" for s in steps), "meta-iterations", "seed"]]
    for row in rows:
        cells = []
        for step in steps:
            published = row["published"].get(step)
            beside = "" if published is None else f" ({published})"
            cells.append(f"{_interval(row['ours'][step])}{beside}")
        lines.append([row["name"], *cells, f"{row['iterations']:,}", ", ".join(map(str, row["seeds"]))])
    return _markdown(lines)


def table_of_control(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ours beside Stable-Baselines3, with the ratio of speeds."""
    lines = [["", "ours", "Stable-Baselines3", "difference", "not lower", "speed ratio", "by CPU", "budget", "seeds"]]
    for row in rows:
        gap = row["difference"]
        lines.append(
            [
                row["name"],
                _interval(row["ours"]),
                _interval(row["stable_baselines3"]),
                f"{gap['low']:g} to {gap['high']:g}",
                "yes" if row["not_lower"] else "no",
                f"{row['speed_ratio']:g}",
                f"{row['cpu_ratio']:g}",
                f"{row['budget']:,}",
                ", ".join(map(str, row["seeds"])),
            ]
        )
    return _markdown(lines)


def table_of_fleets(rows: Sequence[Mapping[str, Any]]) -> str:
    """Shares of clusters that are given their fleet."""
    problems = list(rows[0]["accuracy"])
    lines = [["", *problems]]
    for row in rows:
        found = (row["accuracy"][p] for p in problems)
        lines.append([row["name"], *(f"{100 * x['mean']:.1f} ± {100 * x['ci95']:.1f} %" for x in found)])
    return _markdown(lines)


def table_of_optimisers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Losses after so many steps, and what they are above the tuned Adam's."""
    lines = [["", *(f"after {at}" for at in rows[0]["loss"])]]
    for row in rows:
        cells = []
        for at, loss in row["loss"].items():
            beside, of_seeds = row["minus_tuned"][at], row.get("of_seeds", {}).get(at, [])
            spread = f", seeds {min(of_seeds):.3g} to {max(of_seeds):.3g}" if len(of_seeds) > 1 else ""
            gap = f" ({beside['mean']:+.3g} ± {beside['ci95']:.2g}{spread})" if any(beside.values()) else ""
            cells.append(f"{_interval(loss)}{gap}")
        lines.append([row["name"], *cells])
    return _markdown(lines)


def table_of_streams(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is left after both clusters, by what is kept of the first."""
    measures = [name for name in rows[0] if name != "name"]
    lines = [["", *(name.replace("_", " ") for name in measures)]]
    for row in rows:
        lines.append([row["name"], *(_interval(row[name]) if name in row else "" for name in measures)])
    return _markdown(lines)


def table_of_copying(rows: Sequence[Mapping[str, Any]]) -> str:
    """Bits for each bit, of sequences as trained on; then of longer ones, which differ by task."""
    lines = [["", "as trained", "longer", "steps", "seeds"]]
    for row in rows:
        trained, *longer = row["bits"]
        beyond = "; ".join(f"{name}: {_seeds(row['bits'][name], '.2g')}" for name in longer)
        seeds = ", ".join(map(str, row["seeds"]))
        lines.append([row["name"], _seeds(row["bits"][trained], ".2g"), beyond, f"{row['steps']:,}", seeds])
    return _markdown(lines)


def table_of_recall(rows: Sequence[Mapping[str, Any]]) -> str:
    """Shares of answers that are right, by how many clusters were met in between."""
    lines = [["", *(f"{back} others since" for back in rows[0]["right"]), "seeds"]]
    for row in rows:
        cells = [_seeds([100 * x for x in found], ".1f", " %") for found in row["right"].values()]
        lines.append([row["name"], *cells, ", ".join(map(str, row["seeds"]))])
    return _markdown(lines)


def table_of_grid(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns in each episode on a grid."""
    lines = [["", *(f"episode {i}" for i in rows[0]["episodes"]), "frames", "seeds"]]
    for row in rows:
        cells = []
        for found in row["episodes"].values():
            spread = f" (seeds {min(found['seeds']):g} to {max(found['seeds']):g})" if len(found["seeds"]) > 1 else ""
            cells.append(f"{_interval(found)}{spread}")
        lines.append([row["name"], *cells, f"{row['frames']:,}", ", ".join(map(str, row["seeds"]))])
    return _markdown(lines)


def table_of_catch(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean returns after so many steps of the environment."""
    lines = [["", *(f"{steps} steps" for steps in rows[0]["returns"]), "seeds"]]
    for row in rows:
        cells = [_seeds(found["seeds"], ".2f") for found in row["returns"].values()]
        lines.append([row["name"], *cells, ", ".join(map(str, row["seeds"]))])
    return _markdown(lines)


def table_of_population(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is reached in the end, by populations over seeds."""
    lines = [["", "in the end", "least to largest", "seeds"]]
    for row in rows:
        spread = f"{row['least']:.4g} to {row['largest']:.4g}" if row["seeds"] else ""
        lines.append([row["name"], f"{row['mean']:.4g}", spread, str(row["seeds"] or "")])
    return _markdown(lines)


TABLES = {
    "sinusoid": table_by_steps,
    "navigation": table_by_steps,
    "control": table_of_control,
    "fleets": table_of_fleets,
    "optimisers": table_of_optimisers,
    "continual": table_of_streams,
    "copying": table_of_copying,
    "recall": table_of_recall,
    "grid": table_of_grid,
    "catch": table_of_catch,
    "discovery": table_of_streams,
    "population": table_of_population,
}


def _seeds(values: Sequence[float], form: str, unit: str = "") -> str:
    """The mean over training seeds, and the least and the largest."""
    mean = f"{np.mean(values):{form}}{unit}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def _interval(value: Mapping[str, Any]) -> str:
    return f"{value['mean']:.4g} ± {value['ci95']:.2g}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *rest]) + "\n"
