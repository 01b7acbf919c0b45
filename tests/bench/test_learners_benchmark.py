"""The benchmark of ways of learning to learn: what it measures, how it goes on, and its page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import doing
from bench.context import measure as context_measure
from bench.context.cells import ClusterKind
from bench.context.results import CellOutcome
from bench.keys import key
from bench.learners import beliefs, beliefs_measure, beliefs_report, curricula, curricula_report, measure, report, rules
from bench.learners.beliefs_results import BeliefOutcome
from bench.learners.cells import cells
from bench.learners.measure import BEST, GENERAL, MORE, RANDOM, TRUE
from bench.learners.results import StartOutcome
from bench.marks import between
from bench.validation import fleets
from lwmecps_core.believing import Believing
from lwmecps_core.curricular import Curricular
from lwmecps_core.meta.metric import MetricConfig
from lwmecps_core.run_config import DiscoConfig, PPOConfig, TrainConfig
from lwmecps_core.statistics import Bootstrap, worst

KINDS: tuple[type[PPOConfig | DiscoConfig], ...] = (PPOConfig, DiscoConfig)


def test_every_seed_is_a_cell_of_its_own_and_shorter_trials_are_others() -> None:
    every = cells()
    assert len({c.key for c in every}) == len(every) == 5
    assert replace(every[0], held_out=1).key not in {c.key for c in every}


def test_each_way_of_choosing_gets_the_rewards_of_what_it_chose() -> None:
    rewards = np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 5.0], [2.5, 2.5, 2.5], [0.5, 0.5, 0.5]])
    chosen = {"raw": np.array([1, 1, 0]), TRUE: np.array([0, 1, 0])}
    found = {s.method: s for s in measure.starts("known fleets", 0, rewards, chosen)}
    assert found["raw"].rewards == (4.0, 0.0, 3.0) and found["raw"].right == pytest.approx(2 / 3)
    assert found[TRUE].rewards == (1.0, 0.0, 3.0) and found[TRUE].right == 1.0
    assert found[GENERAL].rewards == (2.5,) * 3 and found[MORE].rewards == (0.5,) * 3
    assert found[RANDOM].rewards == (2.5, 1.0, 4.0) and found[BEST].rewards == (4.0, 2.0, 5.0)
    assert found[GENERAL].right is None


def test_a_small_cell_is_measured_kept_and_shown(tmp_path: Path) -> None:
    (cell,) = cells(1)
    small = replace(
        cell,
        fleets=2,
        known=1,
        held_out=1,
        episodes=1,
        metric_fleets=5,
        metric=MetricConfig(steps=1, hidden_size=4, embedding_size=2),
        algorithm=replace(cell.algorithm, hidden_size=(4, 4)),
        training=replace(cell.training, total_episodes=6, episodes_per_batch=1, tasks_per_batch=1),
        own=replace(cell.own, total_episodes=1, episodes_per_batch=1),
        steps=replace(cell.steps, adaptation_steps=1, episodes_per_step=1, evaluation_episodes=1),
    )
    kept = {small.key: replace(measure.run(small), commit="abc")}
    doing.write(kept, tmp_path / "learners.json")
    again = doing.read(StartOutcome, tmp_path / "learners.json")
    assert again.keys() == kept.keys()
    starts = again[small.key].starts
    assert {(s.where, s.steps) for s in starts} == {(w, n) for w in ("known fleets", "new fleets") for n in (0, 1)}
    assert {"prototypical", "matching", "relation", *fleets.RAW} < {s.method for s in starts}
    assert all(len(s.rewards) == 2 and np.isfinite(s.rewards).all() for s in starts)
    page = tmp_path / "learners.md"
    page.write_text("# Page\n\n<!-- nearest -->\nold\n<!-- end -->\n\nrest\n")
    report.write([small, cell], again, page)
    text = page.read_text()
    assert "1 of 2 training seeds done" in text and "old" not in text and text.endswith("rest\n")
    assert "**Known fleets, in the second episode**" in text and "**New fleets, after 1 plain steps**" in text


def test_a_page_without_marks_stays() -> None:
    assert between("a\n<!-- end -->\n", "x", "table\n") == "a\n<!-- end -->\n"
    assert between("a\n<!-- x -->\nb\n<!-- end -->\nc", "x", "d\n") == "a\n<!-- x -->\nd\n<!-- end -->\nc"


def test_a_small_validation_is_written_with_every_way_of_comparing(tmp_path: Path) -> None:
    rows = fleets.run((0,), tmp_path / "fleets.json", fleets=10, steps=1)
    assert [r["name"] for r in rows] == [*fleets.RAW, "prototypical", "matching", "relation"]
    for row in rows:
        assert all(0.0 <= x["mean"] <= 1.0 for x in row["accuracy"].values()) and len(row["accuracy"]) == 4
    assert rows[0]["accuracy"]["new fleets, 120 intervals"]["mean"] > 0.5


def test_curricula_differ_from_the_flagship_in_nothing_else_and_share_its_cells() -> None:
    every = curricula.cells()
    assert len({c.key for c in every}) == len(every) == 5 * len(curricula.CURRICULA)
    idle = {name: field.default for name, field in Curricular.__dataclass_fields__.items()}
    for cell in every:
        assert isinstance(cell.training, TrainConfig)
        plain = replace(cell, training=replace(cell.training, **idle), method="context")
        (flagship,) = (c for c in every if curricula.name_of(c) == curricula.UNIFORM and c.seed == cell.seed)
        assert plain == replace(flagship, also=plain.also, steps=plain.steps)
    done = doing.read(CellOutcome, doing.ROOT / "docs" / "context.json")
    assert all(c.key in done for c in every if curricula.name_of(c) == curricula.UNIFORM)


def test_curricula_are_measured_kept_and_shown(tmp_path: Path) -> None:
    every = [
        replace(
            cell,
            problem=ClusterKind(family="mec_city", nodes=2, deployments=2),
            tasks=3,
            also=(),
            algorithm=replace(cell.algorithm, hidden_size=(4, 4)),
            training=replace(cell.training, total_episodes=12, episodes_per_batch=1, tasks_per_batch=2),
            measuring=replace(cell.measuring, episodes=1),
            steps=None,
        )
        for cell in curricula.cells(2)
    ]
    few = [c for c in every if c.seed == 0 or curricula.name_of(c) in ("replay by regret", curricula.UNIFORM)]
    doing.write({c.key: context_measure.run(c) for c in few}, tmp_path / "curricula.json")
    again, page = doing.read(CellOutcome, tmp_path / "curricula.json"), tmp_path / "learners.md"
    page.write_text("<!-- curricula -->\nold\n<!-- end -->\nrest\n")
    curricula_report.write(every, again, page)
    text = page.read_text()
    assert "uniform 2, replay by regret 2, replay by value loss 1" in text and "old" not in text
    assert "**Episode 1 on a held-out cluster**" in text and "**Episode 2 on" in text and text.endswith("rest\n")
    row = next(line for line in text.splitlines() if line.startswith("| replay by regret |"))
    uniform = [again[c.key].found[0].rewards for c in few if curricula.name_of(c) == curricula.UNIFORM]
    own = [again[c.key].found[0].rewards for c in few if c.method == "replay by regret"]
    assert f"| {np.mean(own):.2f} | {np.min(own, axis=1).mean():.2f} | {np.mean(own) - np.mean(uniform):+.2f} [" in row


def test_the_worst_tenth_is_that_of_every_draw() -> None:
    """Against tasks and seeds drawn out and sorted, one draw at a time."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(-20, 5, (3, 24)), rng.normal(-21, 5, (3, 24))
    bootstrap, share = Bootstrap(24, draws=50), 0.1

    def slow(rewards: np.ndarray, tasks: np.ndarray) -> float:
        drawn = sorted(np.repeat(rewards, tasks.astype(int)))
        whole = int(share * 24)
        return float((sum(drawn[:whole]) + (share * 24 - whole) * drawn[whole]) / (share * 24))

    tasks, seeds = bootstrap._counts(24, "tasks"), bootstrap._counts(3, "seeds")
    expected = [sum(s * slow(r, t) for s, r in zip(n, a, strict=True)) / 3 for n, t in zip(seeds, tasks, strict=True)]
    np.testing.assert_allclose(bootstrap.tails(a, share), expected, rtol=1e-12)
    np.testing.assert_allclose(worst(a, share), [slow(r, np.ones(24)) for r in a], rtol=1e-12)
    assert worst(np.arange(20.0), 0.1) == 0.5
    found = bootstrap.compared_tails(a, b, share)
    apart = bootstrap.tails(a, share) - bootstrap.tails(b, share)
    assert found.mean == pytest.approx(float((worst(a) - worst(b)).mean()))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(apart, (0.025, 0.975))))


def test_beliefs_differ_from_the_flagship_in_nothing_but_what_is_remembered() -> None:
    every = beliefs.cells()
    assert len({c.key for c in every}) == len(every) == 5 * (len(beliefs.BELIEFS) + len(beliefs.OTHERS))
    for cell in (c for c in every if c.method in beliefs.BELIEFS):
        (flagship,) = (c for c in every if c.method == beliefs.STATISTICS and c.seed == cell.seed)
        idle = {name: field.default for name, field in Believing.__dataclass_fields__.items()}
        plain = replace(cell, method="context", algorithm=replace(cell.algorithm, context="statistics", **idle))
        assert plain == replace(flagship, also=(), steps=None)
    done = doing.read(CellOutcome, doing.ROOT / "docs" / "context.json")
    assert all(c.key in done for c in every if c.method == beliefs.STATISTICS)
    told = replace(PPOConfig(), belief_size=7)
    assert key(PPOConfig()) == key(told) != key(replace(told, context="belief"))


def test_beliefs_are_measured_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beliefs_measure, "PROBE_TASKS", 3)
    monkeypatch.setattr(beliefs_measure, "SAMPLES", 4)
    every = [
        replace(
            cell,
            problem=ClusterKind(family="mec_city", nodes=2, deployments=2),
            tasks=3,
            also=(),
            algorithm=replace(cell.algorithm, hidden_size=(4, 4)),
            training=replace(cell.training, total_episodes=4, episodes_per_batch=1, tasks_per_batch=2),
            measuring=replace(cell.measuring, episodes=1),
            steps=None,
        )
        for cell in beliefs.cells(2)
        if cell.method in (*beliefs.BELIEFS, beliefs.STATISTICS)
    ]
    mine = [c for c in every if c.method in beliefs.BELIEFS and (c.seed == 0 or c.method == beliefs.BELIEF)]
    doing.write({c.key: beliefs_measure.run(c) for c in mine}, tmp_path / "beliefs.json")
    flagships = [c for c in every if c.method == beliefs.STATISTICS]
    doing.write({c.key: context_measure.run(c) for c in flagships}, tmp_path / "context.json")
    done, page = doing.read(BeliefOutcome, tmp_path / "beliefs.json"), tmp_path / "learners.md"
    others = doing.read(CellOutcome, tmp_path / "context.json")
    page.write_text("<!-- beliefs -->\nstale\n<!-- end -->\nrest\n")
    beliefs_report.write(every, others, done, page)
    text = page.read_text()
    assert "belief 2, belief, told service times 1, statistics 2" in text and "stale" not in text
    assert "**Episode 1 on a held-out cluster**" in text and text.endswith("rest\n")
    assert "| belief | probe | 20 |" in text and "| belief, told service times | head | 20 |" in text
    own = np.mean([done[c.key].found[0].rewards for c in mine if c.method == beliefs.BELIEF])
    with_statistics = np.mean([others[c.key].found[0].rewards for c in flagships])
    row = next(line for line in text.splitlines() if line.startswith("| belief | 2 |"))
    assert f"| {own:.2f} |" in row and f"| {own - with_statistics:+.2f} [" in row


def test_a_probe_finds_what_is_linear_in_a_belief_and_says_how_sure_it_is() -> None:
    rng = np.random.default_rng(0)
    known, wanted, weights = rng.normal(size=(400, 4, 3)), rng.normal(size=(50, 4, 3)), np.array([0.5, -1.0, 0.2])
    times = known @ weights + 0.7
    guess, spread = beliefs_measure.probed(known, times, wanted)
    np.testing.assert_allclose(guess, (wanted @ weights + 0.7).ravel(), atol=1e-5)
    assert spread < 1e-5
    _, spread = beliefs_measure.probed(known, times + rng.normal(0, 0.1, times.shape), wanted)
    assert spread == pytest.approx(0.1, rel=0.1)


def test_learnt_rules_differ_from_ppo_in_how_they_learn_and_every_rate_is_tried_for_each() -> None:
    every = rules.cells(None)
    assert len({c.key for c in every}) == len(every) == 2 * 3 * 5
    assert len({(c.training, c.problem, c.tasks, c.measuring) for c in every}) == 1
    shared = ("hidden_size", "network", "ignore_blocks", "n_steps", "context")
    assert len({tuple(getattr(c.algorithm, name) for name in shared) for c in every}) == 1
    tried = {kind: {c.algorithm.learning_rate for c in every if isinstance(c.algorithm, kind)} for kind in KINDS}
    assert tried[PPOConfig] == tried[DiscoConfig] == set(rules.RATES)


def test_rules_are_held_against_ppo_at_its_best_rate_over_the_seeds_that_both_have() -> None:
    tasks = np.linspace(-3.0, 3.0, 16)
    rewards = {
        "ppo at 0.001": {0: tasks - 21.0, 1: tasks - 20.0},
        "ppo at 0.003": {0: tasks - 20.0, 1: tasks - 19.0},
        "discovered at 0.001": {0: tasks - 24.0, 1: tasks - 23.0, 2: tasks - 99.0},
        "disco at 0.001": {0: tasks - 18.0},
    }
    head, _, *rows = rules.table(rewards, dict.fromkeys(rewards, np.float64(9.0)))
    assert "minus ppo at 0.003" in head
    assert rows == [
        "| ppo at 0.001 | 2 | -20.50 | 0.71 | -1.00 [-1.00, -1.00] | 9 s |",
        "| ppo at 0.003 | 2 | -19.50 | 0.71 |  | 9 s |",
        "| discovered at 0.001 | 3 | -48.67 | 43.59 | -4.00 [-4.00, -4.00] | 9 s |",
        "| disco at 0.001 | 1 | -18.00 |  |  | 9 s |",
    ]
