"""The benchmark of populations and proposals: equal budgets, families left out, and the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import doing
from bench.context.results import CellOutcome, Found
from bench.learners import choosing_measure, choosing_report, populations, proposals
from bench.learners.populations import PLAN, PopulationOutcome
from bench.learners.proposals import TrialOutcome
from bench.validation import population as toy
from bench.validation.results import refresh
from lwmecps_core.choosing.population import check
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import FAMILIES


def test_a_population_sees_no_more_episodes_than_the_policy_that_it_is_held_against() -> None:
    (cell, *_), (other, *_) = populations.cells(1), populations.beside(1)
    assert isinstance(other.training, TrainConfig)
    plan = cell.plan
    width = plan.settings["tasks_per_batch"] * plan.settings["episodes_per_batch"]
    assert plan.episodes % width == 0  # training ends with a whole batch
    trained, measured = plan.members * plan.generations * plan.episodes, plan.members * plan.generations
    measured *= plan.measured_tasks * plan.measuring.episodes
    assert 0.98 * (other.training.total_episodes or 0) < trained + measured <= (other.training.total_episodes or 0)
    check(plan, "plan")


def test_a_random_search_differs_in_nothing_but_that_nobody_takes_over() -> None:
    every = populations.cells()
    assert len({c.key for c in every}) == len(every) == 10
    ours, search = every[:2]
    assert replace(search, method=ours.method, plan=replace(search.plan, replaced_share=0.2)) == ours
    assert search.plan.replaced_share == 0.0


def _outcome(name: str, number: int) -> TrialOutcome:
    """Rewards that fall off with the distance of the logarithm of the rate to 1e-3, on each family's own scale."""
    cell = next(c for c in proposals.trials() if (c.problem.family, c.number) == (name, number))
    scale = 1.0 + 10.0 * FAMILIES.index(name)
    return TrialOutcome(reward=-scale * (1.0 + abs(float(np.log10(cell.algorithm.learning_rate)) + 3.0)))


def test_what_is_proposed_for_a_family_doesn_t_depend_on_its_own_trials() -> None:
    cells = proposals.trials()
    assert len({c.key for c in cells}) == len(cells) == 16 * 5
    outcomes = {c.key: _outcome(c.problem.family, c.number) for c in cells}
    found = proposals.proposed(cells, outcomes)
    assert list(found) == list(FAMILIES)
    own = [c.key for c in cells if c.problem.family == FAMILIES[0]]
    less = {key: x for key, x in outcomes.items() if key not in own}
    other = proposals.proposed(cells, less | {key: TrialOutcome(reward=float(i)) for i, key in enumerate(own)})
    assert other[FAMILIES[0]] == found[FAMILIES[0]] != other[FAMILIES[1]]
    assert list(proposals.proposed(cells, less)) == [FAMILIES[0]]
    assert proposals.proposed(cells, {}) == {}
    tried = {c.algorithm.learning_rate for c in cells} | {PPOConfig().learning_rate}
    nearest = sorted(tried, key=lambda x: abs(np.log10(x) + 3.0))[:4]
    assert all(x.settings["learning_rate"] in nearest and x.gain > 0.0 for x in found.values())
    made = proposals.cells(found, 2)
    assert len({c.key for c in made}) == len(made) == 2 * 5 * 3
    assert {c.training.total_episodes for c in made if isinstance(c.training, TrainConfig)} == {3_280}


def test_small_cells_are_measured_kept_and_shown(tmp_path: Path) -> None:
    cell = populations.cells(1)[0]
    settings = {**PLAN.settings, "hidden_size": [4, 4], "tasks_per_batch": 1, "episodes_per_batch": 1, "batch_size": 64}
    plan = replace(cell.plan, settings=settings, members=2, generations=2, episodes=1, measured_tasks=1)
    small = replace(cell, like=replace(cell.like, tasks=2), plan=plan)
    found = choosing_measure.run_population(small)
    doing.write({small.key: replace(found, commit="abc")}, tmp_path / "populations.json")
    again = doing.read(PopulationOutcome, tmp_path / "populations.json")
    assert again.keys() == {small.key} and again[small.key].replaced == 1 and len(again[small.key].values) == 2
    assert {(x.episode, len(x.rewards)) for x in again[small.key].found} == {(1, 2), (2, 2), (5, 2)}
    page = tmp_path / "learners.md"
    page.write_text("<!-- populations -->\nold\n<!-- end -->\n<!-- proposals -->\nold\n<!-- end -->\nrest\n")
    other = populations.beside(1)[0]
    known = {other.key: CellOutcome(found=list(again[small.key].found))}
    choosing_report.write_populations([small], again, [other], known, page)
    text = page.read_text()
    assert (
        "Training seeds done: context 1, population 1, random search 0." in text and text.count("| population |") == 3
    )

    trial = replace(proposals.trials(1)[0], training=TrainConfig(total_episodes=1, episodes_per_batch=1))
    assert np.isfinite(choosing_measure.run_trial(trial).reward)
    cells = proposals.trials()
    chosen = proposals.proposed(cells, {c.key: _outcome(c.problem.family, c.number) for c in cells})
    made = proposals.cells(chosen, 2)
    rewards = {c.key: _found(c.method == proposals.PROPOSED, c.seed) for c in made if c.family == FAMILIES[0]}
    choosing_report.write_proposals(made, rewards, chosen, "Trials done: all.", page)
    text = page.read_text()
    assert "| proposed | 2 | -10.25 |" in text and "+1.00 [+1.00, +1.00]" in text and "old" not in text
    assert text.endswith("rest\n")


def _found(better: bool, seed: int) -> CellOutcome:
    common = {"problem": proposals.trials(1)[0].problem, "method": "x", "inner_steps": 0, "support_reward": None}
    means = {name: 0.0 for name in ("latency_ms", "replicas", "sla_miss", "moves")}
    rewards = tuple(x + better - 0.5 * seed for x in (-11.0, -11.0))
    return CellOutcome(found=[Found(**common, **means, episode=1, rewards=rewards)])  # type: ignore[arg-type]


def test_a_population_finds_what_no_constant_setting_does(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in toy.run(range(5), tmp_path / "validation-population.json")}
    assert rows["Q: two members, each alone"]["mean"] == pytest.approx(1.2 - 0.81, abs=1e-6)
    assert rows["Q: two members, a population"]["least"] > 1.15
    best, ours = rows["θ²: the best rate in every step"]["mean"], rows["θ²: a population of 8"]
    assert best < ours["least"] and ours["mean"] < rows["θ²: 10,000 constant rates, the best"]["mean"]
    assert ours["mean"] < 0.6 * rows["θ²: 8 constant rates, the best"]["mean"]
    step_by_step = toy.START
    for _ in range(200):
        rate = step_by_step / (step_by_step + 1.0)
        step_by_step = (1.0 - rate) ** 2 * step_by_step + rate**2
    assert best == pytest.approx(step_by_step)
    page = tmp_path / "validation.md"
    page.write_text("<!-- population -->\nold\n<!-- end -->\n")
    refresh(page, tmp_path)
    assert "| θ²: a population of 8 |" in page.read_text()
    assert json.loads((tmp_path / "validation-population.json").read_text())["rows"][0]["seeds"] == 0
