"""The tables of beliefs in `docs/learners.md`, put between their marks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.context.cells import Cell
from bench.learners.beliefs import BELIEFS, OTHERS, STATISTICS
from bench.learners.beliefs_results import BeliefOutcomes
from bench.marks import between
from lwmecps_core.statistics import Bootstrap, holm

MARK = "beliefs"
EPISODES = (1, 2, 5)
"""On a held-out cluster."""
NAMES = {STATISTICS: "statistics", "recurrent": "recurrent (RL²)", "privileged": "privileged (told everything)"}
Rewards = dict[int, NDArray[np.float64]]
"""Training seed → of all held-out clusters."""


def write(cells: Sequence[Cell], outcomes: Mapping[str, Any], beliefs: BeliefOutcomes, page: Path) -> None:
    """Put what was found into the page."""
    by_name = {name: [c for c in cells if c.method == name] for name in (*BELIEFS, *OTHERS)}
    done = {name: [c for c in own if c.key in {**outcomes, **beliefs}] for name, own in by_name.items()}
    text = [f"Training seeds done: {', '.join(f'{NAMES.get(n, n)} {len(own)}' for n, own in done.items())}.\n"]
    for episode in EPISODES:
        found = {n: _rewards(own, {**outcomes, **beliefs}, episode) for n, own in done.items()}
        text += table(episode, {n: rewards for n, rewards in found.items() if rewards})
    text += named({n: [beliefs[c.key] for c in done[n]] for n in BELIEFS if done[n]})
    cpu = {n: np.mean([({**outcomes, **beliefs})[c.key].training_cpu_s for c in own]) for n, own in done.items() if own}
    text.append(f"\nCPU time of a training: {', '.join(f'{NAMES.get(n, n)} {s:.0f} s' for n, s in cpu.items())}.")
    page.write_text(between(page.read_text(), MARK, "\n".join(text) + "\n"))


def table(episode: int, rewards: Mapping[str, Rewards]) -> Iterator[str]:
    """One row for each way of remembering, compared with statistics over the training seeds that both have; of one
    seed there is no comparison, for it would be of clusters alone.
    """
    if not rewards:
        return
    yield f"\n**Episode {episode} on a held-out cluster**\n"
    yield "| remembers | seeds | reward | seeds: sd | minus statistics |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    base = rewards.get(STATISTICS, {})
    both = {n: sorted(own.keys() & base.keys()) for n, own in rewards.items() if n != STATISTICS}
    found = {n: _compared(rewards[n], base, seeds) for n, seeds in both.items() if len(seeds) > 1}
    stars = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    for name, own in rewards.items():
        means = [own[seed].mean() for seed in sorted(own)]
        spread = f"{np.std(means, ddof=1):.2f}" if len(means) > 1 else ""
        c = found.get(name)
        ahead = f"{c.mean:+.2f} [{c.low:+.2f}, {c.high:+.2f}]{'*' * stars[name]}" if c else ""
        yield f"| {NAMES.get(name, name)} | {len(means)} | {np.mean(means):.2f} | {spread} | {ahead} |"


def named(beliefs: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """How well service times are read off: means over training seeds."""
    rows = [(n, x) for n, outcomes in beliefs.items() for outcome in outcomes for x in outcome.named]
    if not rows:
        return
    yield "\n**Service times of held-out clusters, read off what is believed**\n"
    yield "| belief | by | after intervals | R² | in intervals of 90 % |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for name, by, at in dict.fromkeys((n, x.by, x.intervals) for n, x in rows):
        own = [x for n, x in rows if (n, x.by, x.intervals) == (name, by, at)]
        r2, covered = np.mean([x.r2 for x in own]), np.mean([x.covered for x in own])
        yield f"| {name} | {by} | {at} | {r2:.2f} | {covered:.0%} |"


def _compared(a: Rewards, b: Rewards, seeds: Sequence[int]) -> Any:
    x, y = (np.array([rewards[seed] for seed in seeds]) for rewards in (a, b))
    return Bootstrap(x.shape[1]).compared(x, y)


def _rewards(cells: Sequence[Cell], outcomes: Mapping[str, Any], episode: int) -> Rewards:
    """Training seed → rewards of all held-out tasks `[T]` in that episode, without steps."""
    return {
        cell.seed: np.array(found.rewards)
        for cell in cells
        for found in outcomes[cell.key].found
        if (found.problem, found.inner_steps) == (cell.problem, 0)
        and found.episode == (1 if cell.method == "privileged" else episode)
    }
