"""A learnt update rule beside PPO on placement: cells, and their table in `docs/learners.md`.

All train one multi-task policy with the same networks, data and schedule, each at three rates, which is all that is
tried for any. One rule is discovered here, on small problems, with each training seed; the published one's file is its
authors': `LWMECPS_DISCO_RULE` names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.context.cells import FLAGSHIP, Cell
from bench.context.cells import cells as context_cells
from bench.context.results import CellOutcome
from bench.marks import between
from lwmecps_core.run_config import DiscoConfig, PPOConfig, TrainConfig

FILE = "LWMECPS_DISCO_RULE"
MARK = "rules"
OWN = "discovered"
SEEDS, PUBLISHED_SEEDS, TASKS, RATES = 5, 2, 64, (3e-4, 1e-3, 3e-3)
EPISODES = 3_200
"""That a policy trains on: a trial."""


def cells(rule: bytes | None, seeds: int = SEEDS, episodes: int | None = None) -> list[Cell]:
    """PPO, a rule of our own and, where its file is at hand, the published one, at each rate, with each training seed;
    the published one with two at most.
    """
    usual = context_cells((FLAGSHIP,), TASKS)
    own = [c for c in usual if c.method == "multi_task" and c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
    return [
        _with(cell, rule, name, rate, episodes or EPISODES)
        for cell in own
        for name in ("ppo", OWN, *["disco"] * bool(rule and cell.seed < PUBLISHED_SEEDS))
        for rate in RATES
    ]


def _with(cell: Cell, rule: bytes | None, name: str, rate: float, episodes: int) -> Cell:
    assert isinstance(cell.algorithm, PPOConfig) and isinstance(cell.training, TrainConfig)
    training = replace(cell.training, total_episodes=episodes)
    algorithm: PPOConfig | DiscoConfig = replace(cell.algorithm, learning_rate=rate)
    shared = {n: getattr(cell.algorithm, n) for n in ("hidden_size", "network", "ignore_blocks", "n_steps")}
    if name == OWN:  # its file is made where it is trained with
        algorithm = DiscoConfig(prediction_size=8, discount_factor=0.99, learning_rate=rate, **shared)
    elif name != "ppo":
        algorithm = DiscoConfig(rule=rule, learning_rate=rate, **shared)
    method = f"{name} at {rate:g}"
    return replace(cell, method=method, algorithm=algorithm, training=training, also=(), steps=None)


def write(chosen: Sequence[Cell], outcomes: Mapping[str, CellOutcome], page: Path) -> None:
    """Put what was found into the page: the mean over held-out clusters of an episode there, for each seed."""
    done = [cell for cell in chosen if cell.key in outcomes]
    training = chosen[0].training
    assert isinstance(training, TrainConfig)
    lines = [
        f"A trial: {training.total_episodes:,} rollouts. {len(done)} of {len(chosen)} cells are done.\n",
        "| learns by | seeds | reward per episode | of each seed | CPU of a training |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    for method in dict.fromkeys(cell.method for cell in done):
        own = [outcomes[cell.key] for cell in done if cell.method == method]
        means = [float(np.mean(each.found[0].rewards)) for each in own]
        each, cpu = ", ".join(f"{x:.2f}" for x in means), np.mean([x.training_cpu_s for x in own])
        lines.append(f"| {method} | {len(means)} | {np.mean(means):.2f} | {each} | {cpu:.0f} s |")
    page.write_text(between(page.read_text(), MARK, "\n".join(lines) + "\n"))
