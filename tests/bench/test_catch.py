"""Catch by a rule: the board is what it says, and without weights the part is skipped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.learners import rules
from bench.validation import catch, results
from lwmecps_core.algorithms.base import Batch
from lwmecps_core.algorithms.disco.agent import Disco
from lwmecps_core.run_config import DiscoConfig, PPOConfig
from lwmecps_core.testing.examples import A_RULE


def test_a_ball_pays_where_it_comes_down() -> None:
    board = catch.Catch()
    for seed in range(6):
        obs, _ = board.reset(seed=seed)
        ball = int(np.argmax(obs[: catch.SIDE]))
        rewards, over = [], False
        while not over:
            paddle = int(np.argmax(obs[-catch.SIDE :]))
            obs, reward, over, _, _ = board.step(1 + int(np.sign(ball - paddle)))
            rewards.append(reward)
        assert rewards == [0.0] * (catch.SIDE - 2) + [1.0]
    board.reset(seed=0)
    assert [board.step(0)[1] for _ in range(catch.SIDE - 1)][-1] in (-1.0, 1.0)


def test_without_weights_it_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(catch.FILE, raising=False)
    said: list[str] = []
    assert catch.run(out=tmp_path / "found.json", say=said.append) == []
    assert "skipped: no weights" in said[0]
    assert not (tmp_path / "found.json").exists()


def test_every_way_of_learning_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "rule.npz"
    file.write_bytes(A_RULE["rule"])
    monkeypatch.setenv(catch.FILE, str(file))
    small = DiscoConfig(hidden_size=(8,), network="mlp", n_steps=29, updates_per_batch=1, batch_size=58, **A_RULE)
    monkeypatch.setattr(catch, "by_rule", lambda rule: small)
    rows = catch.run((0,), (0, 232), tmp_path / "found.json")
    assert [row["name"] for row in rows] == ["Disco103", "PPO"]
    assert all(-1 <= found["mean"] <= 1 for row in rows for found in row["returns"].values())
    assert "232 steps" in results.TABLES["catch"](rows)


def test_the_rule_s_agent_first_learns_from_a_whole_minibatch_of_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DiscoConfig(hidden_size=(8,), network="mlp", n_steps=29, updates_per_batch=1, **A_RULE)
    settings = replace(settings, segment=29, batch_size=catch.by_rule(A_RULE["rule"]).batch_size)
    seen, minibatches = [], Disco.minibatches

    def noted(self: Disco, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        seen.append(batch["weight"].shape[1] * batch["weight"].shape[2])
        return minibatches(self, batch, generator)

    monkeypatch.setattr(Disco, "minibatches", noted)
    catch.learnt(settings, 0, (116,))
    assert seen == [settings.batch_size, settings.batch_size + 58]


def test_both_have_the_same_data_and_as_many_rates() -> None:
    cells = rules.cells(b"x", 1)
    disco, ppo = ([c for c in cells if isinstance(c.algorithm, kind)] for kind in (DiscoConfig, PPOConfig))
    own = [c for c in disco if c.method.startswith(rules.OWN)]
    assert len(disco) - len(own) == len(own) == len(ppo) == len(rules.RATES)
    assert {getattr(c.algorithm, "rule", b"") for c in own} == {None}
    assert rules.cells(None, 1) == [c for c in cells if c in (*own, *ppo)]
    assert {str(c.training) for c in disco} == {str(c.training) for c in ppo}
    assert len({c.key for c in cells}) == len(cells)
