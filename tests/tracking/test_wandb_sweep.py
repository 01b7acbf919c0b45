"""The sweep of docs/tools.md, run by W&B's own `wandb sweep` and `wandb agent` on a server that plays theirs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml

from lwmecps_core.tracking import Trackers, WandbTracker
from protos.lwmecps.registry.v1 import run_pb2
from services.client import Client
from tests.gateway.system import InProcess, running
from tests.tracking.test_wandb_sync import WANDB
from tests.tracking.wandb_server import SWEEP, SweepTrial, UploadedRun, serving

ROOT = Path(__file__).resolve().parents[2]
CITY = {"family": "FAMILY_MEC_CITY", "nodes": 2, "deployments": 2, "max_replicas": 4, "horizon": 20}
LONG = 1_000_000
TRIALS = (
    SweepTrial("one", {"learning-rate": 0.001, "discount-factor": 0.95, "total-episodes": 8}),
    SweepTrial("two", {"learning-rate": 0.0002, "discount-factor": 0.9, "total-episodes": 8}),
    SweepTrial("early", {"learning-rate": 0.01, "discount-factor": 0.99, "total-episodes": LONG}, stopped=True),
)
PATIENCE_S = 30.0

pytestmark = pytest.mark.timeout(300)


def _written(folder: Path, task: str) -> dict[str, Any]:
    """The page's file, with our task, and the length of runs as one more parameter."""
    (text,) = re.findall(r"```yaml\n(# sweep.yaml.*?)```", (ROOT / "docs/tools.md").read_text(), re.DOTALL)
    sweep: dict[str, Any] = yaml.safe_load(text.replace("TASK", task))
    sweep["parameters"]["total-episodes"] = {"values": [8, LONG]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return sweep


@contextmanager
def _system(folder: Path, address: str) -> Iterator[InProcess]:
    """Services whose learner reports to W&B at an address, as commands that this process starts would, too."""
    with pytest.MonkeyPatch.context() as here:
        said = {"BASE_URL": address, "API_KEY": "0" * 40, "MODE": "online", "DIR": str(folder)}
        soon = {"X_FILE_STREAM_TRANSMIT_INTERVAL": "1"}  # in seconds; W&B's own client waits 15
        for name, value in (said | soon).items():
            here.setenv(f"WANDB_{name}", value)
        wandb.teardown()  # what an earlier test of this process made it read of the environment
        with running(folder, trackers=lambda: Trackers([WandbTracker(folder, patience_s=60)])) as system:
            here.setenv("LWMECPS_CLI_REGISTRY", system.addresses["registry"])
            here.setenv("LWMECPS_CLI_LEARNER", system.addresses["learner"])
            here.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            here.setenv("PYTHONPATH", str(ROOT))
            yield system


def _wandb(folder: Path, *words: str) -> str:
    command = [sys.executable, "-c", WANDB, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _settled(client: Client) -> dict[str, run_pb2.Run]:
    """Our runs by their names at W&B, once none goes on."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        runs = {run.labels["wandb/run"]: run for run in client.runs()}
        if all(run.state != run_pb2.RUN_STATE_RUNNING for run in runs.values()) or time.monotonic() > end_s:
            return runs
        time.sleep(0.2)


def test_values_of_a_sweep_reach_its_runs_and_their_metrics_the_sweep(tmp_path: Path) -> None:
    with ExitStack() as stack:
        address, at_wandb = stack.enter_context(serving(*TRIALS))
        system = stack.enter_context(_system(tmp_path, address))
        client = stack.enter_context(Client(**system.addresses))
        sweep = _written(tmp_path, client.create_task({"distribution": CITY}, name="city").id)
        made = _wandb(tmp_path, "sweep", "--project", "lwmecps", "sweep.yaml")
        (agent,) = re.findall(r"wandb agent (\S+)", made)
        _wandb(tmp_path, "agent", agent)
        ours = _settled(client)
    assert set(at_wandb) == set(ours) == {trial.run_id for trial in TRIALS}
    for trial in TRIALS:
        assert set(trial.settings) == set(sweep["parameters"])
        assert ours[trial.run_id].labels["wandb/sweep"] == SWEEP
        _arrived(at_wandb[trial.run_id], trial, sweep["metric"]["name"])
    states = {name: run_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_") for name, run in ours.items()}
    assert states == {"one": "COMPLETED", "two": "COMPLETED", "early": "PAUSED"}


def _arrived(run: UploadedRun, trial: SweepTrial, metric: str) -> None:
    assert run.about["sweep"] == SWEEP
    algorithm = run.values["algorithm"]
    told = algorithm["learning_rate"], algorithm["discount_factor"], run.values["total_episodes"]
    assert told == tuple(trial.settings.values())
    assert isinstance(run.summary[metric], float)
    assert [line["train/step"] for line in run.history] == list(range(1, len(run.history) + 1))
