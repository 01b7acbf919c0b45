"""Curricula over tasks as pure functions of plain data: which tasks come next, and what is remembered of their scores.

A batch has places; a task stays in its place for some collections (a visit). When a visit ends the task is scored, and
the place goes to a task that was met before, to a fresh draw, or to an edit of a task that was met before.

Sources: prioritised level replay (Jiang et al. 2021, arXiv:2010.03934), without gradients on fresh levels (Jiang et al.
2021, arXiv:2110.02439), with edits (Parker-Holder et al. 2022, arXiv:2203.01302). Other than there, each place decides
by itself, so that a batch holds tasks of all kinds, and edits are of tasks that are likely to be replayed, not only of
those that just were.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.curricular import Curricular

Floats = NDArray[np.float64]
Lineage = tuple[int, ...]
"""What a task is made of: the seed that draws it (or which of given tasks it is), then the seeds of its edits."""
MOST_EDITS = 16
"""Of one task; one that has so many is edited no more."""


@dataclass(frozen=True)
class KnownTask:
    """A task that was met: its newest score, and the step in which it got it."""

    lineage: Lineage
    score: float
    step: int


@dataclass(frozen=True)
class Visit:
    """A task in a batch: how many collections it `stays` behind this one, whether it came with this one (`new`),
    whether it is learnt from, whether it was met before, and how many tasks were in this place before it.
    """

    lineage: Lineage
    stays: int = 0
    new: bool = True
    learnt: bool = True
    replayed: bool = False
    turn: int = 0


@dataclass(frozen=True)
class CurriculumState:
    """Everything that a curriculum goes on with."""

    known: tuple[KnownTask, ...] = ()
    places: tuple[Visit, ...] = ()


def replay_chances(scores: Sequence[float], steps: Sequence[int], now: int, cfg: Curricular) -> Floats:
    """Chance of each known task `[N]` to be replayed: (1 − ρ) P_S + ρ P_C.

    P_S(i) ∝ rank(i)^(−1/β), rank 1 being the highest score (of equal ones, the one that was met first), and P_C(i) ∝
    now − step(i), equal where all were scored now. β is `replay_temperature`, ρ `replay_staleness`.

    Source: Jiang et al. 2021, arXiv:2010.03934, section 3.3 and equation 3.
    """
    rank = np.empty(len(scores))
    rank[np.argsort(-np.asarray(scores, np.float64), kind="stable")] = np.arange(1, len(scores) + 1)
    by_score = rank ** (-1.0 / cfg.replay_temperature)
    by_age = now - np.asarray(steps, np.float64)
    by_age = by_age if by_age.sum() > 0 else np.ones(len(scores))
    rho = cfg.replay_staleness
    found: Floats = (1 - rho) * by_score / by_score.sum() + rho * by_age / by_age.sum()
    return found


def scored(
    state: CurriculumState, lineages: Sequence[Lineage], scores: Sequence[float], now: int, size: int
) -> CurriculumState:
    """The state with the new scores of tasks; beyond `size` the lowest are forgotten, of equal ones the newest."""
    known = {k.lineage: k for k in state.known}
    known |= {
        lineage: KnownTask(lineage, float(score), now) for lineage, score in zip(lineages, scores, strict=True)
    }  # a task that was known keeps its turn
    every = list(known.values())
    kept = sorted(sorted(range(len(every)), key=lambda i: -every[i].score)[:size])
    return replace(state, known=tuple(every[i] for i in kept))


def next_tasks(
    state: CurriculumState,
    fresh: Sequence[Lineage],
    now: int,
    times: int,
    cfg: Curricular,
    rng: np.random.Generator,
    least: int = 1,
) -> CurriculumState:
    """The state with the places of the next collection, step `now`.

    `fresh[i]` is what place i goes to where it goes to a fresh draw. Visits last `times` collections; the first ones
    are shorter, so that places take turns; one that is not learnt from lasts one. Nothing is replayed or edited before
    `least` tasks are known.
    """
    taken = {place.lineage for place in state.places if place.stays}
    places = []
    for i, lineage in enumerate(fresh):
        before = state.places[i] if state.places else None
        if before and before.stays:
            places.append(replace(before, stays=before.stays - 1, new=False))
            continue
        chosen, replayed = _chosen(state.known, lineage, least, now, taken, cfg, rng)
        taken.add(chosen)
        learnt = replayed or cfg.learn_from_fresh
        length = 1 if not learnt else times if before else times - i % times
        places.append(Visit(chosen, length - 1, True, learnt, replayed, before.turn + 1 if before else 0))
    return replace(state, places=tuple(places))


def _chosen(
    known: Sequence[KnownTask],
    fresh: Lineage,
    least: int,
    now: int,
    taken: Collection[Lineage],
    cfg: Curricular,
    rng: np.random.Generator,
) -> tuple[Lineage, bool]:
    """What a place goes to, and whether it is replayed; no task that is `taken` is."""
    replay, mutate, which, edit = rng.random(), rng.random(), rng.random(), int(rng.integers(2**31))
    if len(known) < least:
        return fresh, False
    chances = replay_chances([k.score for k in known], [k.step for k in known], now, cfg)
    if replay < cfg.replay_share:
        chances = chances * [k.lineage not in taken for k in known]
        return (_drawn(known, chances, which), True) if chances.any() else (fresh, False)
    if cfg.curriculum == "mutate" and mutate < cfg.mutation_share:
        chances = chances * [len(k.lineage) <= MOST_EDITS for k in known]
        return ((*_drawn(known, chances, which), edit), False) if chances.any() else (fresh, False)
    return fresh, False


def _drawn(known: Sequence[KnownTask], chances: Floats, where: float) -> Lineage:
    """The one at `where`, in [0, 1), of the cumulated chances."""
    total = np.cumsum(chances)
    return known[int(np.searchsorted(total, where * total[-1], side="right"))].lineage
