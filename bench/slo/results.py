"""What the benchmark found, as it is kept: one entry for each cell, by the digest of the cell's settings."""

import json
from collections.abc import Mapping
from pathlib import Path

from lwmecps_core.config import config, dump, parse


@config
class Point:
    """A method with one setting on a workload: money per hour, shares of windows that missed, moves per hour, and µs
    per decision, of everything and of what is steady; the first two of every held-out task.

    `chosen`: on other tasks of the workload this setting was the cheapest that kept to the bounds.
    """

    workload: str
    method: str
    setting: str
    chosen: bool
    reward: float
    costs: tuple[float, ...]
    missed: tuple[float, ...]
    cost_steady: float
    missed_steady: float
    moves: float
    moves_steady: float
    decision_us: float | None = None
    decision_us_steady: float | None = None


@config
class SloOutcome:
    """All that a cell found, the CPU time of its training, what multipliers it ended with, and the commit."""

    points: tuple[Point, ...]
    training_cpu_s: float = 0.0
    multipliers: dict[str, float] | None = None
    commit: str = ""


SloOutcomes = Mapping[str, SloOutcome]
"""By the key of the cell."""


def read(path: Path) -> dict[str, SloOutcome]:
    """What `write` kept; nothing where there is no file."""
    if not path.is_file():
        return {}
    kept: dict[str, SloOutcome] = parse(dict[str, SloOutcome], json.loads(path.read_text()), str(path))
    return kept


def write(outcomes: SloOutcomes, path: Path) -> None:
    """One line for each cell, in the order of keys, so that files can be compared."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(_rounded(dump(outcomes[key])))}" for key in sorted(outcomes))
    unfinished = path.with_suffix(".part")
    unfinished.write_text("{\n" + lines + "\n}\n")
    unfinished.replace(path)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value
