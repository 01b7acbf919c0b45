"""Local search: change a plan in many short windows at once, keep what helps.

Rewards come per interval, so that one episode tells the effect of changes in several windows, if these lie far enough
apart for one to be over before the next begins. Changes that helped by themselves are then tried together.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.replay import Replay
from lwmecps_core.envs.observation import V4
from lwmecps_core.envs.scene import Ints

ROUNDS, MOST_SEARCHES = 12, 20
"""Of one search, and how many searches there are at most."""
LEAST_GAIN = 0.001
"""Share of a plan's reward that a search must gain for another one to follow."""
PROPOSALS = 12
LENGTHS = (1, 2, 3, 5, 8, 13, 24, 48, 120)
SETTLING = 3
"""Intervals, beside a pod's start-up, in which a change may still have effects."""
DELTAS = (1, -1, 1, -1, 2, -2, -99)
"""Changes of a component; the last one switches off."""


@dataclass(frozen=True)
class _Change:
    gain: float
    start: int
    stop: int
    settled: int
    component: int
    delta: int
    other: int
    """Component that changes the other way round (v4: a pod that moves), or -1."""


def refine(replay: Replay, plans: Ints) -> Ints:
    """Plans `[E, T, A]` at least as good as the given ones; each a function of its own episode only.

    An episode's search goes on until `ROUNDS` rounds together have earned less than `LEAST_GAIN` of the plan's reward.
    """
    rngs = [np.random.default_rng(int(seed)) for seed in replay.seeds]
    plans, going_on = plans.copy(), np.arange(len(plans))
    for _ in range(MOST_SEARCHES):
        part = replay.of(going_on)
        before = part.rewards(plans[going_on, None])[:, 0]
        plans[going_on], after = _rounds(part, plans[going_on], before, [rngs[e] for e in going_on])
        gained = (after - before).sum(-1) / np.abs(before.sum(-1)).clip(1e-9)
        going_on = going_on[gained >= LEAST_GAIN]
        if not len(going_on):
            break
    return plans


def _rounds(
    replay: Replay, plans: Ints, best: NDArray[np.float64], rngs: list[np.random.Generator]
) -> tuple[Ints, NDArray[np.float64]]:
    """`ROUNDS` rounds of search; plans, and their rewards `[E, T]`, which were `best` before."""
    limit = _limits(replay)
    start_up = [max(ceil(d.startup_s / t.interval_s) for d in t.deployments) for t in replay.tasks]
    settling = [SETTLING + start_up[k] for k in replay.task_of]
    for _ in range(ROUNDS):
        trials = [_propose(rngs[e], replay, limit[e], settling[e]) for e in range(len(plans))]
        tried = np.stack(
            [[_apply(plan, c, lim) for c in cs] for plan, cs, lim in zip(plans, trials, limit, strict=True)]
        )
        rewards = replay.rewards(np.array(tried))
        helped = [_gains(trials[e], rewards[e] - best[e]) for e in range(len(plans))]
        candidates = np.array([_combine(plans[e], helped[e], limit[e]) for e in range(len(plans))])
        outcome = replay.rewards(candidates)
        pick = outcome.sum(-1).argmax(1)
        e = np.arange(len(plans))
        better = outcome[e, pick].sum(-1) > best.sum(-1)
        plans = np.where(better[:, None, None], candidates[e, pick], plans)
        best = np.where(better[:, None], outcome[e, pick], best)
    return plans, best


def _limits(replay: Replay) -> Ints:
    """Most that a component may be: `[E, A]`."""
    where = replay.scene
    return where.limit.reshape(len(where.limit), -1) if where.version == V4 else where.room


def _propose(rng: np.random.Generator, replay: Replay, limit: Ints, settling: int) -> list[list[_Change]]:
    """For each trial, changes in windows that are far enough apart."""
    horizon, nodes = replay.horizon, len(replay.tasks[0].cluster.nodes)
    pairs = replay.scene.version == V4
    usable = np.flatnonzero(limit > 0)
    trials = []
    for _ in range(PROPOSALS):
        length = int(rng.choice(LENGTHS))
        start = int(rng.integers(-length + 1, settling + 1))
        changes = []
        while start < horizon:
            component, delta, other = int(rng.choice(usable)), int(rng.choice(DELTAS)), -1
            if pairs and rng.random() < 0.4:
                delta, other = 1, component // nodes * nodes + int(rng.integers(nodes))
                other = -1 if other == component else other
            stop = start + length
            changes.append(_Change(0.0, max(start, 0), stop, stop + settling, component, delta, other))
            start = stop + settling
        trials.append(changes)
    return trials


def _apply(plan: Ints, changes: list[_Change], limit: Ints) -> Ints:
    """The plan `[T, A]` with the changes."""
    changed = plan.copy()
    for c in changes:
        window = changed[c.start : c.stop]
        if c.other >= 0:
            moved = np.minimum(window[:, c.other], limit[c.component] - window[:, c.component]).clip(0, c.delta)
            window[:, c.other] -= moved
            window[:, c.component] += moved
        else:
            window[:, c.component] = (window[:, c.component] + c.delta).clip(0, limit[c.component])
    return changed


def _gains(trials: list[list[_Change]], difference: NDArray[np.float64]) -> list[_Change]:
    """Changes that helped, the best first; `difference` `[P, T]` of rewards to the unchanged plan."""
    helped = []
    for changes, rewards in zip(trials, difference, strict=True):
        for c in changes:
            gain = float(rewards[c.start : c.settled].sum())
            if gain > 1e-9:
                helped.append(_Change(gain, c.start, c.stop, c.settled, c.component, c.delta, c.other))
    return sorted(helped, key=lambda c: -c.gain)


def _combine(plan: Ints, helped: list[_Change], limit: Ints) -> list[Ints]:
    """Three candidates: all changes that don't meet in the same component, in the same interval, and the best alone."""
    taken = np.zeros_like(plan, np.bool_)
    loose, strict = [], []
    for c in helped:
        window = taken[c.start : c.settled]
        components = [c.component] if c.other < 0 else [c.component, c.other]
        if not window.any():
            strict.append(c)
        if not window[:, components].any():
            loose.append(c)
            window[:, components] = True
    return [_apply(plan, chosen, limit) for chosen in (loose, strict, helped[:1])]
