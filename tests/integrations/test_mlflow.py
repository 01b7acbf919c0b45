"""MLflow: policies as pyfunc models, and runs' metrics in its tracking."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mlflow", reason="the extra mlflow is not installed")

from mlflow.pyfunc import load_model
from mlflow.tracking import MlflowClient

from lwmecps_core import algorithms, fits
from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.integrations.mlflow import save_policy
from lwmecps_core.policy import PolicyData, to_bytes
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tracking import MlflowTracker, TrackedRun

SPEC = env_spec(draw(TaskDistribution(nodes=3, deployments=3, max_replicas=6), 0))
ROWS = 10_000


def _policy(config: PPOConfig) -> PolicyData:
    params, extra = algorithms.make(config, SPEC).init(torch.Generator().manual_seed(3))
    return PolicyData(config, SPEC, params, extra)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, for what MLflow leaves there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_a_pyfunc_model_acts_as_its_policy_does_bit_by_bit(elsewhere: Path) -> None:
    policy = _policy(PPOConfig(hidden_size=(32, 16)))
    file = elsewhere / "policy.safetensors"
    file.write_bytes(to_bytes(policy))
    save_policy(file, elsewhere / "model")
    model = load_model(str(elsewhere / "model"))
    rng = np.random.default_rng(1)
    obs = rng.normal(size=(ROWS, SPEC.obs_size)).astype(np.float32)
    mask = rng.random((ROWS, SPEC.mask_size)) < 0.7
    mask[:, :: SPEC.nvec[0]] = True
    algorithm = fits.bound(policy, SPEC, "test", "policy")
    for given, rows in ((np.ones_like(mask), obs), (mask, np.concatenate([obs, mask], 1, dtype=np.float32))):
        seen = first_seen(SPEC, torch.from_numpy(obs), torch.from_numpy(given))
        with torch.inference_mode():
            ours = algorithm.act(policy.params, policy.extra, {}, seen, None).action.numpy()
        np.testing.assert_array_equal(model.predict(rows), ours)
    pickled = [p for p in (elsewhere / "model").rglob("*") if p.suffix in (".pkl", ".pickle", ".cloudpickle")]
    assert not pickled


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((2, 3), np.float32), "must be finite"),
        (np.full((1, SPEC.obs_size), np.nan, np.float32), "must be finite"),
        (np.zeros((1, SPEC.obs_size + SPEC.mask_size), np.float32), "forbids every choice"),
    ],
)
def test_rows_that_fit_no_observation_are_refused(elsewhere: Path, rows: np.ndarray, reason: str) -> None:
    file = elsewhere / "policy.safetensors"
    file.write_bytes(to_bytes(_policy(PPOConfig(hidden_size=(8,)))))
    save_policy(file, elsewhere / "model")
    with pytest.raises(InvalidInput, match=reason):
        load_model(str(elsewhere / "model")).unwrap_python_model()._loaded.greedy(rows)


def test_a_policy_that_remembers_is_refused(elsewhere: Path) -> None:
    file = elsewhere / "policy.safetensors"
    file.write_bytes(to_bytes(_policy(PPOConfig(context="statistics", hidden_size=(8,)))))
    with pytest.raises(InvalidInput, match=r"it remembers \(statistics\)"):
        save_policy(file, elsewhere / "model")


def test_a_run_that_resumes_goes_on_in_the_same_mlflow_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(new_store, tmp_path / "mlflow.db")
    run = TrackedRun(id="run-1", name="first", prefix="train", settings={"seed": 3}, job_type="train")
    for steps, outcome in (((1, 2), "PAUSED"), ((3, 4), "COMPLETED")):
        tracker = MlflowTracker(tmp_path, patience_s=120)
        tracker.start(run)
        for step in steps:
            tracker.log({"total_reward": float(step), "loss": float("inf")}, step)
        tracker.finish(outcome)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("lwmecps")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.status == "FINISHED" and kept.info.run_name == "first"
    assert kept.data.params["seed"] == "3" and kept.data.tags["outcome"] == "COMPLETED"
    history = client.get_metric_history(kept.info.run_id, "train/total_reward")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert "train/loss" not in kept.data.metrics
