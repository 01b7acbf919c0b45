"""A tiny run of the benchmark of learnt optimisers: each kind of step is tuned on some clusters, measured on others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import optimisers
from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, to_bytes
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training.learnt_optimiser import learn


def test_every_kind_of_step_is_measured_from_the_same_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = {
        "CITY": TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8),
        "TUNING": range(2),
        "HELD_OUT": range(5, 8),
        "TRAINING": TrainConfig(total_episodes=4, episodes_per_batch=2, tasks_per_batch=2),
        "ALGORITHM": PPOConfig(hidden_size=(8, 8)),
        "STEPS": replace(optimisers.STEPS, adaptation_steps=2, episodes_per_step=2, evaluation_episodes=1),
        "RATES": (0.001, 0.01),
        "OUT": tmp_path / "optimisers.json",
    }
    for name, value in tiny.items():
        monkeypatch.setattr(optimisers, name, value)
    file = tmp_path / "learnt.safetensors"
    file.write_bytes(to_bytes(learn(OptimiserConfig(hidden_size=2, steps=1, unroll=2, tasks=1), 0)))
    monkeypatch.setattr("sys.argv", ["bench.optimisers", str(file), str(file)])
    assert optimisers.main() == 0
    found = json.loads((tmp_path / "optimisers.json").read_text())
    assert (
        set(found["rates"]) == {row["name"] for row in found["rows"]} == {"plain", "Adam", "learnt", "learnt, as it is"}
    )
    assert found["seeds"] == 2 and found["rates"]["learnt, as it is"] is None
    assert {rate for name, rate in found["rates"].items() if rate} <= {0.001, 0.01}
    starts = {row["rewards"][0] for row in found["rows"]}
    assert len(starts) == 1 and all(len(row["rewards"]) == 3 for row in found["rows"])


def test_differences_are_paired_over_clusters_after_the_mean_over_seeds() -> None:
    adam = [np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 2.0], [5.0, 5.0]])]
    other = [adam[0] + [[0.0], [2.0]], adam[1] + [[0.0], [4.0]]]
    rows = {row["name"]: row for row in optimisers.summary({"Adam": adam, "other": other})}
    assert rows["other"]["minus_adam"] == [[0.0, 0.0], [3.0, 0.0]]
    assert rows["Adam"]["gain_of_seeds"] == [2.5, 3.5] and rows["Adam"]["rewards"] == [1.5, 4.5]
