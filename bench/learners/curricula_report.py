"""The table of curricula in `docs/learners.md`, put between its marks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import Cell
from bench.context.results import CellOutcomes
from bench.learners.curricula import CURRICULA, UNIFORM, name_of
from bench.marks import between
from lwmecps_core.statistics import Bootstrap, Compared, holm, worst

MARK = "curricula"
EPISODES = (1, 2)
"""On a held-out cluster: with nothing known of it, and with one remembered."""


def write(cells: Sequence[Cell], outcomes: CellOutcomes, page: Path) -> None:
    """Put what was found into the page."""
    by_name = {name: [c for c in cells if name_of(c) == name] for name in CURRICULA}
    done = {name: [c for c in own if c.key in outcomes] for name, own in by_name.items()}
    text = [f"Training seeds done: {', '.join(f'{name} {len(own)}' for name, own in done.items())}.\n"]
    for episode in EPISODES:
        text += table(episode, {name: _rewards(own, outcomes, episode) for name, own in done.items() if own})
    cpu = {name: np.mean([outcomes[c.key].training_cpu_s for c in own]) for name, own in done.items() if own}
    text.append(f"\nCPU time of a training: {', '.join(f'{name} {s:.0f} s' for name, s in cpu.items())}.")
    page.write_text(between(page.read_text(), MARK, "\n".join(text) + "\n"))


def table(episode: int, rewards: dict[str, dict[int, NDArray[np.float64]]]) -> Iterator[str]:
    """One row for each curriculum: rewards by training seed `[T]`, compared over the seeds that uniform has; of one
    seed there is no comparison, for it would be of clusters alone.
    """
    if UNIFORM not in rewards:
        return
    yield f"\n**Episode {episode} on a held-out cluster**\n"
    yield "| training tasks | seeds | mean | worst tenth | mean minus uniform | worst tenth minus uniform |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    both = {name: sorted(own.keys() & rewards[UNIFORM].keys()) for name, own in rewards.items() if name != UNIFORM}
    found = {name: compared(rewards[name], rewards[UNIFORM], seeds) for name, seeds in both.items() if len(seeds) > 1}
    stars = holm([c.p for pair in found.values() for c in pair])
    for name, own in rewards.items():
        x = np.array([own[seed] for seed in sorted(own)])
        pair, stars_of = found.get(name, ()), stars[2 * list(found).index(name) :] if name in found else []
        cells = [f"{c.mean:+.2f} [{c.low:+.2f}, {c.high:+.2f}]{'*' * s}" for c, s in zip(pair, stars_of, strict=False)]
        yield f"| {name} | {len(x)} | {x.mean():.2f} | {worst(x).mean():.2f} | {' | '.join(cells or ['', ''])} |"


def compared(
    a: dict[int, NDArray[np.float64]], b: dict[int, NDArray[np.float64]], seeds: Sequence[int]
) -> tuple[Compared, Compared]:
    """Means, and means of the worst tenth, of `a` minus `b` over training seeds that both have."""
    x, y = (np.array([rewards[seed] for seed in seeds]) for rewards in (a, b))
    bootstrap = Bootstrap(x.shape[1])
    return bootstrap.compared(x, y), bootstrap.compared_tails(x, y)


def _rewards(cells: Sequence[Cell], outcomes: CellOutcomes, episode: int) -> dict[int, NDArray[np.float64]]:
    """Training seed → rewards of all held-out tasks `[T]` in that episode, without steps."""
    return {
        cell.seed: np.array(found.rewards)
        for cell in cells
        for found in outcomes[cell.key].found
        if (found.problem, found.inner_steps, found.episode) == (cell.problem, 0, episode)
    }
