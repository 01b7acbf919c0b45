"""What the benchmark found, as it is kept: one entry for each cell, by the digest of the cell's settings."""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.context.cells import ClusterKind
from lwmecps_core.config import config, dump, parse


@config
class Found:
    """A method on one kind of cluster after inner steps in an episode there: every held-out task's reward, and means.

    `support_reward` is what the episodes before earned; None where there were none.
    """

    problem: ClusterKind
    method: str
    inner_steps: int
    episode: int
    rewards: tuple[float, ...]
    support_reward: float | None
    latency_ms: float
    replicas: float
    sla_miss: float
    moves: float


@config
class CellOutcome:
    """All that a cell found, the CPU time of its training, and the commit that it was done at."""

    found: list[Found]
    training_cpu_s: float = 0.0
    commit: str = ""


CellOutcomes = Mapping[str, CellOutcome]
"""By the key of the cell."""


def read(path: Path) -> dict[str, CellOutcome]:
    """What `write` kept; nothing where there is no file."""
    if not path.is_file():
        return {}
    kept: dict[str, CellOutcome] = parse(dict[str, CellOutcome], json.loads(path.read_text()), str(path))
    return kept


def write(outcomes: CellOutcomes, path: Path) -> None:
    """One line for each cell, in the order of keys, so that files can be compared."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(_plain(outcomes[key]))}" for key in sorted(outcomes))
    unfinished = path.with_suffix(".part")
    unfinished.write_text("{\n" + lines + "\n}\n")
    unfinished.replace(path)


def _plain(outcome: CellOutcome) -> object:
    found = [{k: round(v, 4) if isinstance(v, float) else v for k, v in dump(x).items()} for x in outcome.found]
    return {"found": found, "training_cpu_s": round(outcome.training_cpu_s, 1), "commit": outcome.commit}
