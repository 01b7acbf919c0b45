"""The page about training beside what a user would pick instead."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean

import numpy as np

from bench.peers.cells import AT_ONCE, EPISODES, OURS, SEEDS, TASKS, THEIRS, PeerCell
from bench.peers.work import PeerOutcome
from lwmecps_core.statistics import Bootstrap, Compared

Done = Mapping[str, PeerOutcome]
Cells = Mapping[str, Sequence[PeerCell]]

BARS = (("set", "PPO", 2.0, 3.0), ("recurrent", "RecurrentPPO", 4.0, 0.0))
"""Ours, against which, times its transitions for each second of CPU, and how much better its return must be."""


def best(tried: Sequence[PeerCell], done: Done) -> PeerCell | None:
    """The trial that earned most on the tuning tasks; None until all are done."""
    if any(cell.key not in done for cell in tried):
        return None
    return max(tried, key=lambda cell: done[cell.key].mean)


def write(every: Cells, tried: Cells, done: Done, page: Path) -> None:
    """Write the page."""
    page.write_text("\n".join(_page(every, tried, done)) + "\n")


def speed(outcomes: Sequence[PeerOutcome]) -> float:
    """Transitions for each second of CPU, of all trainings together."""
    return sum(o.transitions for o in outcomes) / sum(o.training_cpu_s for o in outcomes)


def difference(a: Sequence[PeerOutcome], b: Sequence[PeerOutcome]) -> Compared:
    """Rewards of `a` minus those of `b`, over training seeds and tasks."""
    x, y = (np.array([o.rewards for o in outcomes]) for outcomes in (a, b))
    return Bootstrap(x.shape[1]).compared(x, y)


def _page(every: Cells, tried: Cells, done: Done) -> Iterator[str]:
    found = {name: [done[c.key] for c in cells if c.key in done] for name, cells in every.items()}
    found = {name: outcomes for name, outcomes in found.items() if outcomes}
    commits = sorted({o.commit for outcomes in found.values() for o in outcomes})
    yield "# Training beside what a user would pick instead"
    chosen = ", ".join(f"{len(tried[name])} ({name})" for name in THEIRS)
    yield f"""
Made by `make benchmark ARGS="peers"` from `docs/peers.json`, at {", ".join(commits) or "no commit"}.
Everyone trains {EPISODES:,} episodes ({EPISODES * 120:,} transitions) on fresh `mec_city` clusters of
4 × 4 (v3), in rollouts of {TASKS} tasks × {AT_ONCE} episodes, with the same passes, minibatches, discount,
entropy bonus and learning rates that fall to 0. Rewards are of 4 episodes without chance on each of 64
held-out clusters. Ours have the demo's settings, which were found for 4 times as many episodes; of the
others learning rate and width were chosen on other tasks, by {chosen} trials.

Stable-Baselines3 {version("stable-baselines3")} and sb3-contrib {version("sb3-contrib")} train over our
`PlacementVecEnv`, and their policies are measured as policies of ours (`sb3_policies.to_policy`). One
thread each; transitions are counted for each second of processor time of the whole training, on a machine
that other work kept busy: `make bench` has ratios of rounds that alternate.

- `set`, `mlp`: our PPO with a network over deployments and nodes, and with a plain one.
- `recurrent`: RL², on two episodes in a row.
- `PPO`, `MaskablePPO`, `RecurrentPPO`: theirs.
"""
    yield "| learner | settings | seeds | reward | seeds: sd | transitions/s of CPU |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, outcomes in found.items():
        cell = every[name][0]
        means = [o.mean for o in outcomes]
        told = f"{cell.rate:g}, {cell.width} units" if name in THEIRS else "the demo's"
        sd = f"{np.std(means, ddof=1):.2f}" if len(means) > 1 else ""
        yield f"| {name} | {told} | {len(means)} | {mean(means):.2f} | {sd} | {speed(outcomes):,.0f} |"
    yield "\n## Bars\n"
    yield "| demand | measured | |"
    yield "| --- | --- | --- |"
    for ours, theirs, times, least in BARS:
        if ours in found and theirs in found:
            yield from _bars(ours, theirs, found, times, least)
    missing = {n: SEEDS.get(n, 5) - len(found.get(n, ())) for n in (*OURS, *THEIRS)}
    if any(missing.values()):
        told = ", ".join(f"{n} ({k} seeds)" for n, k in missing.items() if k)
        yield f"\n**Not measured**: {told}."
    yield "\n## What was tried of the others\n"
    yield "| learner | learning rate | units | reward on tuning tasks |"
    yield "| --- | ---: | ---: | ---: |"
    for cells in tried.values():
        for cell in cells:
            if cell.key in done:
                yield f"| {cell.learner} | {cell.rate:g} | {cell.width} | {done[cell.key].mean:.2f} |"


def _bars(
    ours: str, theirs: str, found: Mapping[str, Sequence[PeerOutcome]], times: float, least: float
) -> Iterator[str]:
    both = min(len(found[ours]), len(found[theirs]))
    ratio = speed(found[ours]) / speed(found[theirs])
    d = difference(found[ours][:both], found[theirs][:both])
    verdict = {True: "met", False: "**missed**"}
    yield f"| `{ours}` ≥ {times:g} × `{theirs}`'s transitions/s | {ratio:.2f} | {verdict[ratio >= times]} |"
    better = f"by ≥ {least:g}, the interval without 0" if least else "significantly"
    met = d.mean >= least and d.low > 0
    yield f"| its reward higher {better} | {d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}], {both} seeds | {verdict[met]} |"
