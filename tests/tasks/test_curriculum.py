"""Which tasks a curriculum goes on with: its chances, its visits, what it remembers, and what it is worth in a toy."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwmecps_core.curricular import Curricular
from lwmecps_core.tasks.curriculum import (
    MOST_EDITS,
    CurriculumState,
    KnownTask,
    Lineage,
    Visit,
    next_tasks,
    replay_chances,
    scored,
)

REPLAY = Curricular(curriculum="replay")


def _slow(scores: list[float], steps: list[int], now: int, cfg: Curricular) -> list[float]:
    """Jiang et al. 2021, equations of section 3.3, one task at a time."""
    h = []
    for i, own in enumerate(scores):
        higher = sum(other > own or (other == own and j < i) for j, other in enumerate(scores))
        h.append((1 / (1 + higher)) ** (1 / cfg.replay_temperature))
    ages = [now - step for step in steps]
    if not sum(ages):
        ages = [1] * len(ages)
    rho = cfg.replay_staleness
    return [(1 - rho) * a / sum(h) + rho * c / sum(ages) for a, c in zip(h, ages, strict=True)]


@given(
    known=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5, -3.0, 1e9]), st.integers(0, 50)), min_size=1, max_size=20),
    temperature=st.floats(0.1, 10),
    staleness=st.floats(0, 1),
)
def test_chances_are_those_of_the_paper(known: list[tuple[float, int]], temperature: float, staleness: float) -> None:
    cfg = replace(REPLAY, replay_temperature=temperature, replay_staleness=staleness)
    scores, steps = [score for score, _ in known], [step for _, step in known]
    found = replay_chances(scores, steps, 50, cfg)
    np.testing.assert_allclose(found, _slow(scores, steps, 50, cfg), rtol=1e-12)
    assert found.sum() == pytest.approx(1.0)


def test_only_ranks_count_and_staleness_has_its_share() -> None:
    cfg = replace(REPLAY, replay_staleness=0.0)
    first = replay_chances([3.0, 2.0, 1.0], [0, 0, 0], 5, cfg)
    assert np.array_equal(first, replay_chances([1e6, 0.1, -4.0], [4, 2, 0], 5, cfg))
    np.testing.assert_allclose(first, np.array([6, 3, 2]) / 11)
    only_age = replay_chances([3.0, 2.0, 1.0], [5, 4, 2], 5, replace(cfg, replay_staleness=1.0))
    np.testing.assert_allclose(only_age, [0.0, 0.25, 0.75])


def test_known_tasks_are_replayed_as_often_as_their_chances_say() -> None:
    state = CurriculumState(tuple(KnownTask((i,), float(i), i % 3) for i in range(8)), (Visit((99,)),))
    cfg, rng, times = replace(REPLAY, replay_share=0.8), np.random.default_rng(0), 20_000
    found = [next_tasks(state, [(77,)], 9, 1, cfg, rng).places[0] for _ in range(times)]
    share = np.array([sum(p.lineage == (i,) for p in found) for i in range(8)]) / times
    expected = 0.8 * replay_chances([k.score for k in state.known], [k.step for k in state.known], 9, cfg)
    np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.25 / times))
    assert all(p.replayed == (p.lineage != (77,)) for p in found)


def test_scores_are_renewed_and_the_lowest_forgotten() -> None:
    state = scored(CurriculumState(), [(1,), (2,), (3,)], [5.0, 1.0, 3.0], 4, 10)
    state = scored(state, [(2,), (4,)], [9.0, 3.0], 7, 3)
    assert state.known == (KnownTask((1,), 5.0, 4), KnownTask((2,), 9.0, 7), KnownTask((3,), 3.0, 4))
    assert scored(state, [], [], 8, 1).known == (KnownTask((2,), 9.0, 7),)


def _visits(cfg: Curricular, width: int, times: int, steps: int, seed: int = 0) -> list[tuple[Visit, ...]]:
    state, found = CurriculumState(), []
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        state = next_tasks(state, [(1000 * step + i,) for i in range(width)], step, times, cfg, rng, width)
        found.append(state.places)
        ended = [p.lineage for p in state.places if not p.stays]
        state = scored(state, ended, [float(lineage[0] % 7) for lineage in ended], step, cfg.replay_size)
    return found


@pytest.mark.parametrize("times", [1, 2, 3])
def test_without_replays_places_take_turns_as_under_uniform_sampling(times: int) -> None:
    for step, places in enumerate(_visits(replace(REPLAY, replay_share=0.0), 5, times, 12)):
        for i, place in enumerate(places):
            assert place.new == (step == 0 or (step + i) % times == 0)
            assert place.turn == (step + i % times) // times
            assert place.learnt and not place.replayed


@pytest.mark.parametrize("name", ["replay", "mutate"])
@pytest.mark.parametrize("fresh", [True, False])
def test_no_task_is_in_two_places_and_visits_are_whole(name: str, fresh: bool) -> None:
    cfg = replace(REPLAY, curriculum=name, learn_from_fresh=fresh)  # type: ignore[arg-type]
    steps = _visits(cfg, 4, 3, 60)
    for before, places in pairwise(steps):
        assert len({p.lineage for p in places}) == 4
        for was, now in zip(before, places, strict=True):
            assert now.new == (was.stays == 0)
            assert now.new or (now.lineage, now.stays) == (was.lineage, was.stays - 1)
            if now.new:
                assert now.learnt == (now.replayed or fresh)
                assert now.stays == (2 if now.learnt else 0)
    every = [p for places in steps for p in places if p.new]
    replayed, edits = sum(p.replayed for p in every), sum(len(p.lineage) > 1 and not p.replayed for p in every)
    assert 0.3 * len(every) < replayed < 0.7 * len(every)
    assert (edits > 0.1 * len(every)) if name == "mutate" else edits == 0


def test_the_same_seed_chooses_the_same_and_another_does_not() -> None:
    cfg = replace(REPLAY, curriculum="mutate")
    assert _visits(cfg, 3, 2, 30, 1) == _visits(cfg, 3, 2, 30, 1) != _visits(cfg, 3, 2, 30, 2)


def test_a_task_is_edited_only_so_often() -> None:
    cfg = replace(REPLAY, curriculum="mutate", replay_share=0.0, mutation_share=1.0)
    full: Lineage = tuple(range(MOST_EDITS + 1))
    rng = np.random.default_rng(0)
    assert next_tasks(CurriculumState((KnownTask(full, 1.0, 0),)), [(5,)], 1, 1, cfg, rng).places[0].lineage == (5,)
    (child,) = next_tasks(CurriculumState((KnownTask(full[:-1], 1.0, 0),)), [(5,)], 1, 1, cfg, rng).places
    assert child.lineage[:-1] == full[:-1] and len(child.lineage) == MOST_EDITS + 1 and not child.replayed


TASKS, HARD, VISITS, LEFT = 20, 3, 200, 0.9
"""Of the toy: tasks, those of them that are not solved from the start, how many visits a training consists of, and what
a visit leaves of a regret.
"""


def _toy(cfg: Curricular, seed: int, noise: float = 0.0) -> float:
    """The largest regret of a learner that loses a tenth of what it lacks of a task whenever it visits it.

    With `noise` scores are errors of a critic: a task that is solved has so much of them for ever.
    """
    regret, state = np.array([1.0] * HARD + [0.0] * (TASKS - HARD)), CurriculumState()
    for step in range(VISITS):
        rng = np.random.default_rng((seed, step))
        state = next_tasks(state, [(int(rng.integers(TASKS)),)], step, 1, cfg, rng)
        (task,) = state.places[0].lineage
        regret[task] *= LEFT
        score = regret[task] + noise * (task >= HARD)
        state = scored(state, [(task,)], [float(score)], step, cfg.replay_size)
    return float(regret.max())


def test_where_few_tasks_are_hard_uniform_sampling_is_provably_worse() -> None:
    """Each visit is of a hard task with a chance of 1 / TASKS: after n visits (1 − (1 − LEFT) / TASKS)ⁿ of its regret
    is left on average, and the worst of several is no better than any of them.
    """
    seeds = range(40)
    closed = (1 - (1 - LEFT) / TASKS) ** VISITS
    uniform = np.array([_toy(replace(REPLAY, replay_share=0.0), seed) for seed in seeds])
    replayed = np.array([_toy(REPLAY, seed) for seed in seeds])
    assert uniform.mean() + 3 * uniform.std() / np.sqrt(len(seeds)) > closed > 0.36
    assert replayed.mean() + 3 * replayed.std() / np.sqrt(len(seeds)) < closed


def test_where_errors_of_critics_are_noise_a_true_regret_is_the_better_score() -> None:
    by_regret = np.mean([_toy(REPLAY, seed) for seed in range(40)])
    by_error = np.mean([_toy(REPLAY, seed, noise=2.0) for seed in range(40)])
    assert by_regret < 0.7 * by_error
