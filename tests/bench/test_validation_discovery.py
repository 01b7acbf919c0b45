"""Discovered rules beside A2C: both are measured alike, and A2C learns."""

from pathlib import Path

import pytest
import torch

from bench.validation import discovery, results
from lwmecps_core.algorithms.base import OptimiserName
from lwmecps_core.meta import tables
from lwmecps_core.training.discovery import DiscoveryConfig


@pytest.mark.parametrize(("method", "rate"), [("sgd", 1.0), ("adam", 0.1)])
def test_a2c_learns_which_way_a_chain_goes(method: OptimiserName, rate: float) -> None:
    chains = tables.chains(4, 4, 2, torch.Generator().manual_seed(0))
    cfg, way = DiscoveryConfig(copies=16), discovery.by_a2c(0.99, method, rate)
    early, late = (discovery.score(way, chains, 0, cfg, updates)[0].mean() for updates in (1, 150))
    assert late > 1.5 * early
    assert late > 2 / 14, "chance takes 14 steps to the end, nobody fewer than three"


def test_a2c_takes_what_does_best_on_training_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "RATES", {"sgd": (1e-6, 1.0), "adam": (1e-6,)})
    best = discovery.tuned_a2c(lambda count, generator: tables.chains(count, 4, 2, generator), DiscoveryConfig(), 60)
    assert best.name == "A2C, sgd 1"


def test_every_family_has_both_and_their_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "RATES", {"sgd": (0.3, 1.0)})
    cfg = DiscoveryConfig(steps=3, window=1, length=4, copies=2)
    rows = discovery.run((0, 1), cfg, 2, tmp_path / "found.json")
    assert [row["name"] for row in rows] == list(discovery.NAMES)
    for row in rows:
        both = row["discovered_rule"]["mean"] - row["A2C"]["mean"]
        assert row["rule_minus_A2C"]["mean"] == pytest.approx(both, abs=2e-3)
        apart = row["rule,_share"]["mean"] - row["A2C,_share"]["mean"]
        assert row["difference_of_shares"]["mean"] == pytest.approx(apart, abs=2e-3)
    assert "rule minus A2C" in results.TABLES["discovery"](rows)
