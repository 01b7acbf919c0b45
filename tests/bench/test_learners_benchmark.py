"""The benchmark of ways of learning to learn: what it measures, how it goes on, and its page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import doing
from bench.learners import measure, report
from bench.learners.cells import cells
from bench.learners.measure import BEST, GENERAL, MORE, RANDOM, TRUE
from bench.learners.results import StartOutcome
from bench.marks import between
from bench.validation import fleets
from lwmecps_core.meta.metric import MetricConfig


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
