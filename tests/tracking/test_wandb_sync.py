"""Offline folders of one run, read back by W&B's own tool: what `wandb sync` makes of them."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lwmecps_core.tracking import TrackedRun, WandbTracker
from tests.tracking.wandb_server import UploadedRun, serving

RUN = TrackedRun(
    id="run-1",
    name="first",
    prefix="maml",
    settings={"seed": 7, "task_ids": ["task-a", "task-b"], "versions": {"torch": "2"}},
    group="paper",
    job_type="meta_train",
    tags=("maml", "ppo"),
)
WANDB = "import sys; from wandb.cli.cli import cli; sys.argv[0] = 'wandb'; cli()"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def claim(folder: Path, steps: Iterable[int], outcome: str, run: TrackedRun = RUN) -> Path:
    """What one claim of the run writes: a folder of its own."""
    before = set(folder.glob("wandb/offline-run-*"))
    tracker = WandbTracker(folder, patience_s=60)
    tracker.start(run)
    for step in steps:
        tracker.log({"meta_loss": 1 / step}, step=step)
    tracker.finish(outcome)
    (made,) = set(folder.glob("wandb/offline-run-*")) - before
    return made


def sync(address: str, *folders: Path) -> None:
    env = os.environ | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "WANDB_SILENT": "false"}
    command = [sys.executable, "-c", WANDB, "sync", *map(str, folders)]
    done = subprocess.run(command, env=env, cwd=folders[0].parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def steps_of(run: UploadedRun) -> list[Any]:
    return [line["maml/step"] for line in run.history if "maml/meta_loss" in line]


@pytest.mark.parametrize("at_once", [True, False])
def test_both_parts_of_a_resumed_run_arrive_in_order(tmp_path: Path, at_once: bool) -> None:
    first = claim(tmp_path, (1, 2, 3), "PAUSED")
    second = claim(tmp_path, (4, 5), "COMPLETED")
    assert first != second
    with serving() as (address, runs):
        for folders in [(second, first)] if at_once else [(first,), (second,)]:
            sync(address, *folders)
    run = runs["run-1"]
    assert steps_of(run) == [1, 2, 3, 4, 5]
    assert [line["maml/meta_loss"] for line in run.history] == [1 / step for step in range(1, 6)]
    assert run.summary["outcome"] == "COMPLETED"
    assert run.values == dict(RUN.settings)
    about = {name: run.about[name] for name in ("groupName", "jobType", "tags", "displayName", "project")}
    assert about == {
        "groupName": "paper",
        "jobType": "meta_train",
        "tags": ["maml", "ppo"],
        "displayName": "first",
        "project": "lwmecps",
    }


def test_steps_that_were_made_again_after_a_crash_arrive_twice_and_lose_nothing(tmp_path: Path) -> None:
    folders = [claim(tmp_path, (1, 2, 3), "LOST"), claim(tmp_path, (3, 4), "COMPLETED")]
    with serving() as (address, runs):
        sync(address, *folders)
    run = runs["run-1"]
    assert steps_of(run) == [1, 2, 3, 3, 4]
    assert [line["maml/meta_loss"] for line in run.history] == [1 / step for step in steps_of(run)]
    of_wandb = [line["_step"] for line in run.history]
    assert of_wandb == sorted(set(of_wandb)), "its own steps only grow, so they are not the axis"
    assert run.config["_wandb"]["value"]["m"], "the axis is told"


def test_a_run_of_a_sweep_arrives_in_it_under_the_id_that_the_agent_gave(tmp_path: Path) -> None:
    folder = claim(tmp_path, (1, 2), "COMPLETED", replace(RUN, sweep="s1", sweep_run="abc"))
    with serving() as (address, runs):
        sync(address, folder)
    assert list(runs) == ["abc"] and runs["abc"].about["sweep"] == "s1"
    assert steps_of(runs["abc"]) == [1, 2]
