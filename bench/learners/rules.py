"""A learnt update rule beside PPO on placement: cells, and their table in `docs/learners.md`.

All train one multi-task policy with the same networks, data and schedule, each at three rates, which is all that is
tried for any. One rule is discovered here, on small problems, with each training seed; the published one's file is its
authors': `LWMECPS_DISCO_RULE` names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import FLAGSHIP, Cell
from bench.context.cells import cells as context_cells
from bench.context.results import CellOutcome
from bench.marks import between
from lwmecps_core.run_config import DiscoConfig, PPOConfig, TrainConfig
from lwmecps_core.statistics import Bootstrap

Floats = NDArray[np.float64]

FILE = "LWMECPS_DISCO_RULE"
MARK = "rules"
PPO, OWN = "ppo", "discovered"
SEEDS, PUBLISHED_SEEDS, TASKS, RATES = 5, 2, 64, (3e-4, 1e-3, 3e-3)
SMALL: dict[str, Any] = {"prediction_size": 8, "discount_factor": 0.99, "model_size": 32, "value_bins": 61}
"""What agents of a rule of our own have in place of the published agent's: nothing here needs more, and it costs an
eighth."""
EPISODES = 3_200
"""That a policy trains on, an eighth of the demo's."""


def cells(rule: bytes | None, seeds: int = SEEDS, episodes: int | None = None) -> list[Cell]:
    """PPO, a rule of our own and, where its file is at hand, the published one, at each rate, with each training seed;
    the published one with two at most.
    """
    usual = context_cells((FLAGSHIP,), TASKS)
    own = [c for c in usual if c.method == "multi_task" and c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
    return [
        _with(cell, rule, name, rate, episodes or EPISODES)
        for cell in own
        for name in (PPO, OWN, *["disco"] * bool(rule and cell.seed < PUBLISHED_SEEDS))
        for rate in RATES
    ]


def _with(cell: Cell, rule: bytes | None, name: str, rate: float, episodes: int) -> Cell:
    assert isinstance(cell.algorithm, PPOConfig) and isinstance(cell.training, TrainConfig)
    training = replace(cell.training, total_episodes=episodes)
    algorithm: PPOConfig | DiscoConfig = replace(cell.algorithm, learning_rate=rate)
    shared = {n: getattr(cell.algorithm, n) for n in ("hidden_size", "network", "ignore_blocks", "n_steps")}
    if name == OWN:  # its file is made where it is trained with
        algorithm = DiscoConfig(learning_rate=rate, **SMALL, **shared)
    elif name != PPO:
        algorithm = DiscoConfig(rule=rule, learning_rate=rate, **shared)
    method = f"{name} at {rate:g}"
    return replace(cell, method=method, algorithm=algorithm, training=training, also=(), steps=None)


def write(chosen: Sequence[Cell], outcomes: Mapping[str, CellOutcome], page: Path) -> None:
    """Put what was found into the page: the mean over held-out clusters of an episode there, by rate."""
    done = [cell for cell in chosen if cell.key in outcomes]
    training = chosen[0].training
    assert isinstance(training, TrainConfig)
    lines = [f"Trained for {training.total_episodes:,} rollouts. {len(done)} of {len(chosen)} cells are done.\n"]
    rewards: dict[str, dict[int, Floats]] = {}
    for cell in done:
        rewards.setdefault(cell.method, {})[cell.seed] = np.array(outcomes[cell.key].found[0].rewards)
    cpu = {m: np.mean([outcomes[c.key].training_cpu_s for c in done if c.method == m]) for m in rewards}
    page.write_text(between(page.read_text(), MARK, "\n".join([*lines, *table(rewards, cpu)]) + "\n"))


def table(rewards: Mapping[str, Mapping[int, Floats]], cpu: Mapping[str, np.floating]) -> Iterator[str]:
    """One row for each rule at each rate; differences are to PPO at the rate that is best here, over the training seeds
    that both have.
    """
    mean = {method: float(np.mean(list(own.values()))) for method, own in rewards.items()}
    usual = [method for method in rewards if method.startswith(PPO)]
    best = max(usual, key=mean.__getitem__, default=None)
    yield f"| learns by | seeds | reward per episode | seeds: sd | minus {best or PPO} | CPU of a training |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for method, own in rewards.items():
        spread, ahead = "", ""
        if len(own) > 1:
            spread = f"{np.std([x.mean() for x in own.values()], ddof=1):.2f}"
        both = sorted(own.keys() & rewards[best].keys()) if best and method != best else []
        if len(both) > 1:
            a, b = (np.array([rewards[m][seed] for seed in both]) for m in (method, best))
            d = Bootstrap(a.shape[1]).compared(a, b)
            ahead = f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"
        yield f"| {method} | {len(own)} | {mean[method]:.2f} | {spread} | {ahead} | {cpu[method]:.0f} s |"
