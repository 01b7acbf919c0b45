"""Who takes over from whom, and with what: by hand, and against loops that say the same in other words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.choosing.population import (
    Member,
    Population,
    PopulationPlan,
    begun,
    best_of,
    check,
    descended,
    explored,
    lineage,
    succession,
    training_of,
)
from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.reading import read_mapping

RATE, DISCOUNT = {"low": 1e-4, "high": 1e-2}, {"low": 0.8, "high": 0.99, "scale": "complement"}
PLAN: dict[str, Any] = {
    "tasks": ["t"],
    "numbers": {"learning_rate": RATE, "discount_factor": DISCOUNT},
    "choices": {"context": ["none", "statistics"]},
    "members": 5,
}


def plan(**given: Any) -> PopulationPlan:
    made: PopulationPlan = parse(PopulationPlan, {**PLAN, **given}, "plan")
    return made


def test_those_that_earn_least_take_over_from_those_that_earn_most() -> None:
    rng = np.random.default_rng(0)
    assert succession([5.0, 1.0, 4.0, 3.0, 2.0], 0.2, rng) == [0, 0, 2, 3, 4]
    found = [succession([5.0, 1.0, 4.0, 3.0, 2.0], 0.4, rng) for _ in range(200)]
    assert all(x[0] == 0 and x[2] == 2 and x[3] == 3 and {x[1], x[4]} <= {0, 2} for x in found)
    assert 60 < sum(x[1] == 0 for x in found) < 140  # each of the best as often
    assert succession([1.0, 2.0], 0.2, rng) == [1, 1]
    assert succession([1.0, 1.0, 1.0], 0.34, rng) == [0, 1, 0]


def test_who_failed_takes_over_first_and_begins_anew_where_nobody_does() -> None:
    rng = np.random.default_rng(0)
    assert succession([None, 1.0, 4.0, 3.0, 2.0], 0.2, rng) == [2, 1, 2, 3, 4]
    assert succession([None, None, 4.0, 3.0, 2.0], 0.2, rng) == [2, 2, 2, 3, 4]
    assert succession([None, 1.0, 4.0], 0.0, rng) == [None, 1, 2]
    assert succession([None, 1.0], 0.5, rng) == [1, 1]


def test_truncation_selection_is_what_sorting_says() -> None:
    rng = np.random.default_rng(1)
    for size in (2, 3, 8, 20):
        scores = rng.permutation(size).astype(float).tolist()
        for share in (0.1, 0.2, 0.5):
            count = max(1, int(share * size))
            found = succession(scores, share, rng)
            for i, parent in enumerate(found):
                rank = sum(x > scores[i] for x in scores)
                taken = rank >= size - count
                assert parent == i if not taken else sum(x > scores[int(str(parent))] for x in scores) < count


def test_numbers_that_are_taken_over_are_varied_or_drawn_anew_and_choices_stay() -> None:
    values = {"learning_rate": 1e-3, "discount_factor": 0.9, "context": "statistics"}
    never, always = plan(redraw_chance=0.0), plan(redraw_chance=1.0)
    found = [explored(never, values, np.random.default_rng(i)) for i in range(50)]
    assert {round(x["learning_rate"], 9) for x in found} == {0.0008, 0.0012}
    assert {round(x["discount_factor"], 9) for x in found} == {0.88, 0.92}
    assert {(round(x["learning_rate"], 9), round(x["discount_factor"], 9)) for x in found} == {
        (rate, discount) for rate in (0.0008, 0.0012) for discount in (0.88, 0.92)
    }
    assert all(x["context"] == "statistics" for x in found)
    anew = {explored(always, values, np.random.default_rng(i))["learning_rate"] for i in range(50)}
    assert len(anew) == 50 and min(anew) < 5e-4 and max(anew) > 2e-3


def test_a_generation_follows_from_the_one_before_and_the_seed_alone() -> None:
    first = begun(plan())
    scored = tuple(Member(values=m.values, policy=f"p{i}", score=float(i)) for i, m in enumerate(first))
    found = descended(plan(), scored, 1)
    assert [m.parent for m in found] == [4, 1, 2, 3, 4] and [m.start for m in found] == ["p4", "p1", "p2", "p3", "p4"]
    assert all(found[i].values == scored[i].values for i in (1, 2, 3, 4))
    assert found[0].values["context"] == scored[4].values["context"]
    assert found[0].values["learning_rate"] != scored[4].values["learning_rate"]
    assert descended(plan(), scored, 1) == found and begun(plan()) == first
    assert descended(plan(), scored, 2)[0].values != found[0].values
    assert begun(plan(seed=1)) != first


def test_the_first_member_may_begin_with_known_settings() -> None:
    first = {"learning_rate": 2e-3, "context": "statistics"}
    one, other = begun(plan(first=first)), begun(plan())
    assert one[0].values == {**other[0].values, **first} and one[1:] == other[1:]


def test_descent_is_followed_back_to_where_a_member_began() -> None:
    def generation(*parents: int | None) -> tuple[Member, ...]:
        return tuple(Member(values={}, parent=parent, score=float(i)) for i, parent in enumerate(parents))

    whole = [generation(None, None, None), generation(2, 1, 2), generation(0, 0, 2)]
    assert lineage(whole, 1) == [2, 0, 1] and lineage(whole, 2) == [2, 2, 2] and best_of(whole[-1]) == 2
    assert lineage([generation(None, None), generation(None, 1)], 0) == [None, 0]
    assert best_of((Member(values={}), Member(values={}, score=-9.0), Member(values={}, score=-9.0))) == 1


def test_what_is_kept_is_read_back_equal() -> None:
    kept = Population(plan=plan(), generations=(begun(plan()),))
    with pytest.raises(InvalidInput, match="has 5 members, not 4"):
        parse(Population, {**dump(kept), "plan": dump(plan(members=4))}, "state")
    assert parse(Population, dump(kept), "state") == kept


def test_a_member_trains_with_what_its_algorithm_has_and_a_schedule_only_in_the_end() -> None:
    given = plan(
        settings={"schedule": "linear", "schedule_share": 0.1, "tasks_per_batch": 3},
        numbers={"learning_rate": RATE, "entropy_coef": RATE, "alpha": RATE},
        choices={"algorithm": ["ppo", "sac"]},
        generations=4,
        episodes=7,
    )
    values = {"learning_rate": 1e-3, "entropy_coef": 1e-3, "alpha": 2e-3, "algorithm": "sac"}
    early, last = training_of(given, values, 2), training_of(given, values, 3)
    assert early.algorithm == "sac" and early.tasks == ("t",) and early.kind == "train"
    common = {"tasks_per_batch": 3, "learning_rate": 1e-3, "alpha": 2e-3, "total_episodes": 7}
    assert early.settings == {**common, "schedule": "constant", "schedule_share": 0.1}
    assert last.settings == {**common, "schedule": "linear", "schedule_share": 0.4}
    assert "entropy_coef" in training_of(given, {**values, "algorithm": "ppo"}, 0).settings
    check(given, "plan")


def test_the_autoscaler_is_watched_in_the_first_generation_only() -> None:
    given = plan(settings={"imitation_episodes": 4}, numbers={"learning_rate": RATE}, choices={}, generations=3)
    said = [training_of(given, {}, generation).settings.get("imitation_episodes") for generation in range(3)]
    assert said == [4, None, None]


def test_an_entropy_bonus_goes_down_in_the_last_generation_only() -> None:
    given = plan(settings={"entropy_share": 0.5}, numbers={"learning_rate": RATE}, choices={}, generations=3)
    said = [training_of(given, {}, generation).settings.get("entropy_share") for generation in range(3)]
    assert said == [None, None, 0.5]
    check(given, "plan")
    with pytest.raises(InvalidInput, match="algorithm sac: entropy_share: is of PPO's entropy bonus; sac has none"):
        check(replace(given, choices={"algorithm": ("ppo", "sac")}), "plan")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"members": 65}, "members"),
        ({"members": 1}, "members"),
        ({"generations": 0}, "generations"),
        ({"episodes": 0}, "episodes"),
        ({"replaced_share": 0.6}, "replaced_share"),
        ({"numbers": {}, "choices": {}}, "numbers or choices must name a setting"),
        ({"settings": {"learning_rate": 0.1}}, "settings.learning_rate: is looked for"),
        ({"settings": {"total_episodes": 3}}, "total_episodes: is the population's own"),
        ({"numbers": {"learning_rate": {"low": 1, "high": 0.1}}}, "low 1 must be below high 0.1"),
        ({"first": {"context": "belief"}}, "first.context: 'belief' is none of"),
        ({"first": {"learning_rate": 5.0}}, "first.learning_rate: 5.0 is none of"),
        ({"first": {"learning_rate": "high"}}, "first.learning_rate: 'high' is none of"),
        ({"measuring": {"baseline": "hpa"}}, "measuring.baseline"),
        ({"factors": [0.0]}, "factors"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_plan_that_can_not_be_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        plan(**given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tasks": []}, "tasks: must name a task"),
        ({"numbers": {"epsilon": RATE}}, "numbers.epsilon: is no setting of training by ppo"),
        ({"choices": {"context": ["none", "memory"]}}, "context memory: ppo.context"),
        ({"choices": {"algorithm": ["sac", "ppo"], "context": ["none", "recurrent"]}}, "algorithm sac, context recurr"),
        ({"choices": {"algorithm": ["a3c"]}}, "choices.algorithm: 'a3c' is none of ppo, dqn"),
        ({"algorithm": "a3c"}, "plan: algorithm: 'a3c' is none of ppo, dqn"),
        ({"numbers": {"clip_epsilon": {"low": -1, "high": 1, "scale": "linear"}}}, "clip_epsilon"),
        ({"settings": {"speed": 1}}, "speed"),
        ({"choices": {x: ["1"] * 17 for x in ("context", "head", "network")}}, "choices: make 4,913 combinations"),
    ],
)
def test_what_no_member_could_be_trained_with_is_refused_before_anything_is(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        check(plan(**given), "plan")


def test_the_example_is_a_plan_of_settings_that_there_are() -> None:
    path = Path(__file__).resolve().parents[2] / "examples/plans/population.yaml"
    check(parse(PopulationPlan, read_mapping(path) | {"tasks": ["t"]}, str(path)), str(path))
