"""Tiny versions of the validation: the problems are what they say, training on them helps, tables are put in place."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.validation import grid, navigation, optimisers, results, sinusoid
from lwmecps_core import algorithms
from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, init
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.run_config import PPOConfig


def test_sinusoids_keep_to_their_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    waves = sinusoid.Waves.draw(500, generator)
    points = waves.points(7, generator)
    assert points["x"].shape == (500, 7, 1) and points["weight"].shape == (500, 7)
    assert 0.1 <= waves.amplitude.min() < 0.3 and 4.8 < waves.amplitude.max() <= 5
    assert 0 <= waves.phase.min() < 0.1 and 3.0 < waves.phase.max() <= torch.pi
    assert points["x"].abs().max() <= 5
    assert torch.equal(points["y"][3], waves.amplitude[3] * torch.sin(points["x"][3] - waves.phase[3]))


def test_a_meta_trained_start_fits_new_sinusoids_better_than_a_fresh_one(tmp_path: Path) -> None:
    case = sinusoid.CASES[1]
    quick = replace(case, cfg=replace(case.cfg, outer_lr=0.01), compiled=False)
    (row,) = sinusoid.run([quick], out=tmp_path / "rows.json", iterations=250)
    fresh = sinusoid.errors(quick, sinusoid.SquaredError().init(torch.Generator().manual_seed(0)), 0)
    assert row["ours"]["1"]["mean"] < 0.8 * float(fresh[1].mean())
    assert row["ours"]["10"]["mean"] < row["ours"]["0"]["mean"]
    assert json.loads((tmp_path / "rows.json").read_text())["rows"] == [row]


def snapshot() -> PolicySnapshot:
    algorithm = PPOConfig(hidden_size=(8,), network="mlp")
    params, extra = algorithms.make(algorithm, navigation.SPEC).init(torch.Generator().manual_seed(0))
    return PolicySnapshot(algorithm, params, extra, 0)


def test_a_point_moves_by_its_velocity_and_earns_minus_its_distance() -> None:
    goals = ((0.3, -0.2), (-0.4, 0.1))
    plan = CollectionPlan(seeds=(1, 2), episodes=3)
    for goal, batch in zip(goals, navigation.PointCollector().collect(goals, snapshot(), plan), strict=True):
        step = np.clip(0.2 * batch.action - 0.1, -0.1, 0.1)
        np.testing.assert_allclose(batch.obs[1:], batch.obs[:-1] + step, atol=1e-6)
        distance = np.linalg.norm(batch.obs[1:] - np.asarray(goal, np.float32), axis=-1)
        np.testing.assert_allclose(batch.reward, np.where(batch.valid, -distance, 0), atol=1e-6)
        assert batch.obs.shape == (101, 3, 2) and not batch.obs[0].any()
        assert (batch.truncated[-1] | batch.terminated.any(0)).all()


def test_an_episode_ends_near_the_goal_and_what_follows_does_not_count() -> None:
    plan = CollectionPlan(seeds=(1,), episodes=2, greedy=True)
    standing = snapshot()
    (there,) = navigation.PointCollector().collect(((0.0, 0.0),), standing, plan)
    assert there.terminated[0].all() and not there.valid[1:].any() and not there.truncated.any()
    (far,) = navigation.PointCollector().collect(((0.5, 0.5),), standing, plan)
    assert far.truncated[-1].all() and far.valid.all()


def test_every_navigation_policy_is_measured_before_and_after_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(navigation, "HORIZON", 5)
    tiny = replace(navigation.META, meta_batch_size=2, episodes_per_step=2, outer_epochs=1, num_meta_epochs=1)
    names = [row["name"] for row in navigation.run(tiny, test_goals=3, out=tmp_path / "rows.json")]
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["name"] for row in rows] == names and len(names) == 4
    assert all(list(row["ours"]) == ["0", "1", "2", "3"] for row in rows)


def test_optimisers_are_measured_on_the_same_sinusoids_as_the_adam_that_is_tuned(tmp_path: Path) -> None:
    cfg = OptimiserConfig(hidden_size=2, steps=2, unroll=2, horizon=4, tasks=2)
    rows = optimisers.run((0, 1), tmp_path / "validation-optimisers.json", cfg=cfg, marks=(2, 4), tasks=(3, 4))
    assert json.loads((tmp_path / "validation-optimisers.json").read_text())["rows"] == rows
    assert [row["name"] for row in rows][0::4] == ["Adam, tuned for each column", "learnt"]
    assert not any(x for gap in rows[0]["minus_tuned"].values() for x in gap.values())
    same = optimisers.LearntSteps(init(OptimiserConfig(first_rate=1e-3), torch.Generator()))
    for ours, theirs in zip(
        *(optimisers.losses(each, 4, (2, 4), 1) for each in (same, optimisers.TunedAdam(1e-3, "constant"))), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    docs = tmp_path / "validation.md"
    docs.write_text("<!-- optimisers -->\n<!-- end -->\n")
    results.refresh(docs, tmp_path)
    assert "|  | after 2 | after 4 |" in docs.read_text() and "| learnt |" in docs.read_text()


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    docs = tmp_path / "validation.md"
    docs.write_text("Before.\n\n<!-- sinusoid -->\nold\n<!-- end -->\n\nAfter.\n\n<!-- control -->\n<!-- end -->\n")
    row = {
        "name": "MAML",
        "ours": {"0": {"mean": 4.0, "ci95": 0.1}, "1": {"mean": 0.5, "ci95": 0.02}},
        "published": {"1": 0.6},
        "iterations": 70_000,
        "seeds": [0],
    }
    results.write([row], tmp_path / "validation-sinusoid.json")
    results.refresh(docs, tmp_path)
    text = docs.read_text()
    assert "| MAML | 4 ± 0.1 | 0.5 ± 0.02 (0.6) | 70,000 | 0 |" in text
    assert text.startswith("Before.") and "old" not in text and "After." in text
    assert text.endswith("<!-- control -->\n<!-- end -->\n")


def test_a_grid_pays_at_its_goal_alone_and_goals_stay_over_episodes() -> None:
    env = grid.GridEnvs(np.array([(0, 2), (2, 1)]))
    obs, mask = env.reset(np.zeros(2, np.uint64))
    assert obs.shape == (2, 25) and obs[:, 0].all() and mask.shape == (2, 5)
    paid = [env.step(np.array([[1], [2]]))[2].tolist() for _ in range(2)]
    np.testing.assert_allclose(paid, [[-0.1, -0.1], [1.0, -0.1]])
    np.testing.assert_allclose(env.step(np.array([[0], [1]]))[2], [1.0, 1.0])
    for _ in range(grid.HORIZON - 4):
        assert not env.step(np.array([[0], [0]]))[4].any()
    seen, _, reward, terminated, truncated, info = env.step(np.array([[0], [2]]))
    assert truncated.all() and not terminated.any() and reward.tolist() == info["reward_latency"].tolist()
    assert seen[0, 2] == 1.0 and seen[1, 16] == 1.0, "against no wall, and one further down"
    again, _ = env.reset_where(np.array([True, False]), np.zeros(2, np.uint64))
    assert again[0, 0] == 1.0 and again[1, 16] == 1.0
    assert env.step(np.array([[1], [4]]))[2].tolist() == pytest.approx([-0.1, 1.0])
    assert len(grid.GOALS) == 21 and grid.told()[grid.GOALS.index((4, 4))] == pytest.approx(-0.7 + 8.0)


def test_every_policy_on_grids_is_measured_in_each_episode(tmp_path: Path) -> None:
    small = {name: replace(cfg, hidden_size=(4, 4)) for name, cfg in grid.METHODS.items()}
    rows = grid.run(small, (0,), 1, tmp_path / "grid.json")
    assert [row["name"] for row in rows] == [*grid.METHODS, "told the goal"]
    assert all(list(row["episodes"]) == ["1", "2", "3", "4"] for row in rows)
    table = results.table_of_grid(rows)
    assert "| told the goal | 11.07 ± " in table and "episode 4" in table
