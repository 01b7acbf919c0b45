"""Discovered rules beside A2C: both are measured alike, and A2C learns."""

from pathlib import Path

import pytest

from bench.validation import discovery, results
from lwmecps_core.meta import tables
from lwmecps_core.training.discovery import DiscoveryConfig


def test_a2c_learns_which_way_a_chain_goes() -> None:
    def chains(generator):  # type: ignore[no-untyped-def]
        return tables.chains(4, 4, 2, generator)

    cfg = DiscoveryConfig()
    early, late = (discovery.score(discovery.by_a2c(0.99, 1.0), chains, 0, cfg, updates).mean() for updates in (1, 150))
    assert late > 1.5 * early
    assert late > 2 / 14, "chance takes 14 steps to the end, nobody fewer than three"


def test_every_family_has_both_and_their_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "RATES", (0.3, 1.0))
    cfg = DiscoveryConfig(steps=3, window=1, length=4, copies=2)
    rows = discovery.run((0, 1), cfg, 2, tmp_path / "found.json")
    assert [row["name"] for row in rows] == list(discovery.NAMES)
    for row in rows:
        both = row["discovered_rule"]["mean"] - row["A2C"]["mean"]
        assert row["rule_minus_A2C"]["mean"] == pytest.approx(both, abs=2e-3)
    assert "rule minus A2C" in results.TABLES["discovery"](rows)
