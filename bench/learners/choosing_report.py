"""The tables of populations and of proposals in `docs/learners.md`, put between their marks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import Cell
from bench.context.results import CellOutcomes, Found
from bench.learners import populations, proposals
from bench.learners.populations import PopulationCell, PopulationOutcome
from bench.marks import between
from lwmecps_core.choosing.proposing import Proposal
from lwmecps_core.statistics import Bootstrap, holm

Rewards = dict[int, NDArray[np.float64]]
"""By training seed, those of all held-out tasks `[T]`."""


def write_populations(
    cells: Sequence[PopulationCell],
    outcomes: Mapping[str, PopulationOutcome],
    beside: Sequence[Cell],
    others: CellOutcomes,
    page: Path,
) -> None:
    """Put what populations are worth into the page."""
    done = [c for c in cells if c.key in outcomes]
    known = [c for c in beside if c.key in others]
    names = (populations.POPULATION, populations.SEARCH)
    counts = ", ".join(f"{name} {sum(c.method == name for c in done)}" for name in names)
    text = [f"Training seeds done: {populations.DEFAULTS} {len(known)}, {counts}.\n"]
    for episode in (1, 2):
        rewards = {populations.DEFAULTS: {c.seed: _in(others[c.key].found, episode) for c in known}}
        for name in names:
            rewards[name] = {c.seed: _in(outcomes[c.key].found, episode) for c in done if c.method == name}
        text += [f"\n**Episode {episode} on a held-out cluster**\n", *table(rewards, populations.DEFAULTS)]
    text += _lines(done, outcomes)
    page.write_text(between(page.read_text(), "populations", "\n".join(text) + "\n"))


def _lines(done: Sequence[PopulationCell], outcomes: Mapping[str, PopulationOutcome]) -> Iterator[str]:
    """Settings over the generations of the best policy's descent."""
    if not done:
        return
    yield "\n**Settings of the best policy's forebears, by generation**\n"
    names = [*done[0].plan.numbers, *done[0].plan.choices]
    yield f"| | seed | {' | '.join(names)} | CPU, s |"
    yield f"| --- | ---: |{' --- |' * len(names)} ---: |"
    for cell in done:
        found = outcomes[cell.key]
        shown = (" → ".join(_text(values[name]) for values in found.values) for name in names)
        yield f"| {cell.method} | {cell.seed} | {' | '.join(shown)} | {found.training_cpu_s:.0f} |"


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def write_proposals(
    cells: Sequence[Cell], outcomes: CellOutcomes, found: Mapping[str, Proposal], trials: str, page: Path
) -> None:
    """Put what proposals are worth into the page; `trials` says how many trials they are based on."""
    text = [trials + "\n"]
    methods = (proposals.DEFAULTS, proposals.PROPOSED, proposals.BY_HAND)
    for name, proposal in found.items():
        own = {n: proposal.settings[n] for n in (*populations.NUMBERS, *populations.CHOICES)}
        told = ", ".join(f"{n} {_text(x) if x is not None else 'none'}" for n, x in own.items())  # type: ignore[arg-type]
        text.append(f"\n**{name}**: {told}; expected {proposal.gain:.2f} ± {1.96 * proposal.gain_sd:.2f} sd above\n")
        rewards = {
            method: {
                c.seed: _in(outcomes[c.key].found, 1)
                for c in cells
                if (c.family, c.method) == (name, method) and c.key in outcomes
            }
            for method in methods
        }
        text += table(rewards, proposals.DEFAULTS)
    page.write_text(between(page.read_text(), "proposals", "\n".join(text) + "\n"))


def table(rewards: Mapping[str, Rewards], base: str) -> Iterator[str]:
    """One row for each method; differences are over the seeds that both have, and of one seed there is none: it would
    be of clusters alone.
    """
    yield f"| | seeds | reward | seeds: sd | minus {base} |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    both = {name: sorted(own.keys() & rewards[base].keys()) for name, own in rewards.items() if name != base}
    found = {
        name: Bootstrap(len(rewards[base][seeds[0]])).compared(
            *(np.array([x[seed] for seed in seeds]) for x in (rewards[name], rewards[base]))
        )
        for name, seeds in both.items()
        if len(seeds) > 1
    }
    stars = dict(zip(found, holm([x.p for x in found.values()]), strict=True))
    for name, own in rewards.items():
        if not own:
            continue
        means = np.array([x.mean() for x in own.values()])
        spread = f"{means.std(ddof=1):.2f}" if len(means) > 1 else ""
        d = found.get(name)
        ahead = f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{'*' * stars[name]}" if d else ""
        yield f"| {name} | {len(means)} | {means.mean():.2f} | {spread} | {ahead} |"


def _in(found: Sequence[Found], episode: int) -> NDArray[np.float64]:
    """Rewards of all held-out tasks `[T]` in that episode, on the kind of cluster that was trained on."""
    return next(np.array(x.rewards) for x in found if (x.inner_steps, x.episode) == (0, episode))
