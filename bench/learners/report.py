"""The tables of `docs/learners.md` that are measured, put between their marks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.learners.cells import StartCell
from bench.learners.measure import GENERAL
from bench.learners.results import Start, StartOutcomes
from bench.marks import between
from lwmecps_core.statistics import Bootstrap, holm

MARK = "nearest"


def write(cells: Sequence[StartCell], outcomes: StartOutcomes, page: Path) -> None:
    """Put what was found into the page."""
    done = [outcomes[cell.key] for cell in cells if cell.key in outcomes]
    starts = [start for outcome in done for start in outcome.starts]
    text = [f"{len(done)} of {len(cells)} training seeds done.\n"]
    for where, steps in dict.fromkeys((s.where, s.steps) for s in starts):
        text += table(where, steps, [s for s in starts if (s.where, s.steps) == (where, steps)])
    if done:
        text.append(f"\nTraining took {np.mean([o.training_cpu_s for o in done]):.0f} s of CPU per seed on average.")
    page.write_text(between(page.read_text(), MARK, "\n".join(text) + "\n"))


def table(where: str, steps: int, starts: Sequence[Start]) -> Iterator[str]:
    """One row for each way of choosing, the best first."""
    rewards: dict[str, NDArray[np.float64]] = {
        name: np.array([s.rewards for s in starts if s.method == name])
        for name in dict.fromkeys(s.method for s in starts)
    }
    bootstrap = Bootstrap(rewards[GENERAL].shape[1])
    others = sorted((n for n in rewards if n != GENERAL), key=lambda n: -rewards[n].mean())
    compared = {name: bootstrap.compared(rewards[name], rewards[GENERAL]) for name in others}
    stars = dict(zip(others, holm([compared[n].p for n in others]), strict=True))
    seen = "in the second episode" if steps == 0 else f"after {steps} plain steps"
    yield f"\n**{where[0].upper()}{where[1:]}, {seen}**\n"
    yield "| start | reward | seeds: sd | minus general | given its fleet's |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name in sorted(rewards, key=lambda n: -rewards[n].mean()):
        by_seed = rewards[name].mean(1)
        spread = f"{by_seed.std(ddof=1):.2f} ({len(by_seed)})" if len(by_seed) > 1 else ""
        d = compared.get(name)
        ahead = f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{'*' * stars[name]}" if d else ""
        right = [s.right for s in starts if s.method == name and s.right is not None]
        yield f"| {name} | {by_seed.mean():.2f} | {spread} | {ahead} | {f'{np.mean(right):.0%}' if right else ''} |"
