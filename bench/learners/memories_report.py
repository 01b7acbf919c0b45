"""The table of external memories in `docs/learners.md`, put between its marks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import Cell
from bench.context.results import CellOutcomes
from bench.learners.memories import MEMORIES, name_of
from bench.marks import between
from lwmecps_core.cells import CellName
from lwmecps_core.run_config import TrainConfig
from lwmecps_core.statistics import Bootstrap, holm

MARK = "memories"
EPISODES = (1, 2, 5)
"""On a held-out cluster."""
Rewards = dict[int, NDArray[np.float64]]
"""By training seed, those of all held-out tasks `[T]`."""


def write(cells: Sequence[Cell], outcomes: CellOutcomes, page: Path) -> None:
    """Put what was found into the page."""
    done = {name: [c for c in cells if name_of(c) == name and c.key in outcomes] for name in MEMORIES}
    training = cells[0].training
    assert isinstance(training, TrainConfig)
    text = [
        f"Trained for {training.total_episodes:,} rollouts of two episodes each. Training seeds done: "
        f"{', '.join(f'{name} {len(own)}' for name, own in done.items())}."
    ]
    for episode in EPISODES:
        text += table(episode, {name: _rewards(own, outcomes, episode) for name, own in done.items() if own})
    cpu = {name: np.mean([outcomes[c.key].training_cpu_s for c in own]) for name, own in done.items() if own}
    text.append(f"\nCPU time of a training: {', '.join(f'{name} {s:.0f} s' for name, s in cpu.items())}.")
    page.write_text(between(page.read_text(), MARK, "\n".join(text) + "\n"))


def table(episode: int, rewards: dict[CellName, Rewards]) -> Iterator[str]:
    """One row for each cell; differences are over the training seeds that `gru` has, too. Of one seed there is none: it
    would be of clusters alone.
    """
    yield f"\n**Episode {episode} on a held-out cluster**\n"
    yield "| cell | seeds | mean | seeds: sd | minus gru |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    base = rewards.get("gru", {})
    both = {name: sorted(own.keys() & base.keys()) for name, own in rewards.items() if name != "gru"}
    found = {
        name: Bootstrap(next(iter(base.values())).size).compared(
            *(np.array([x[seed] for seed in seeds]) for x in (rewards[name], base))
        )
        for name, seeds in both.items()
        if len(seeds) > 1
    }
    stars = dict(zip(found, holm([x.p for x in found.values()]), strict=True))
    for name, own in rewards.items():
        means = np.array([x.mean() for x in own.values()])
        spread = f"{means.std(ddof=1):.2f}" if len(means) > 1 else ""
        d = found.get(name)
        ahead = f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{'*' * stars[name]}" if d else ""
        yield f"| {name}: {MEMORIES[name]} | {len(means)} | {means.mean():.2f} | {spread} | {ahead} |"


def _rewards(cells: Sequence[Cell], outcomes: CellOutcomes, episode: int) -> Rewards:
    return {
        cell.seed: np.array(found.rewards)
        for cell in cells
        for found in outcomes[cell.key].found
        if (found.problem, found.inner_steps, found.episode) == (cell.problem, 0, episode)
    }
