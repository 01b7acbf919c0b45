"""A learner as a process of its own: what SIGTERM and SIGKILL leave behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protos.lwmecps.registry.v1 import run_pb2

from .conftest import Registry
from .fakes import wait_until
from .slow_learner import STUCK, TOTAL

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _learner(registry: Registry, folder: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {
        "PORT": "0",
        "METRICS_PORT": "0",
        "REGISTRY": registry.address,
        "REDIS_URL": "redis://127.0.0.1:1",  # the loop collects nothing
        "SLOTS": "1",
        "LEASE_S": "3",
        "WORK_DIRECTORY": str(folder),
        "CHECKPOINT_EVERY_STEPS": "10",
        "GRACE_S": "4",
    }
    env = os.environ | {f"LWMECPS_LEARNER_{k}": v for k, v in settings.items()} | {"LWMECPS_TRACKING": "jsonl"}
    command = [sys.executable, "-m", "tests.learner_service.slow_learner", *words]
    with (folder / "learner.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(15)


def _alive(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    assert process.poll() is None, (folder / "learner.log").read_text()
    return True


def test_sigterm_saves_the_run_and_another_learner_ends_it_like_an_undisturbed_one(
    registry: Registry, tmp_path: Path, undisturbed: Callable[[int], dict[int, float]]
) -> None:
    run_id = registry.create_run(registry.create_task())
    with _learner(registry, tmp_path) as first:
        wait_until(lambda: _alive(first, tmp_path) and registry.run(run_id).step >= 15, 60)
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
    run = registry.run(run_id)
    assert (run.state, run.desired_state) == (run_pb2.RUN_STATE_PAUSED, run_pb2.RUN_STATE_RUNNING)
    with _learner(registry, tmp_path):
        registry.wait(run_id, "COMPLETED", 60)
    assert registry.losses(run_id) == undisturbed(TOTAL)
    assert b"run resumes" in (tmp_path / "learner.log").read_bytes()
    assert (tmp_path / "metrics" / f"{run_id}.jsonl").exists()


def test_a_run_whose_learner_was_killed_is_taken_up_when_its_lease_has_expired(
    registry: Registry, tmp_path: Path, undisturbed: Callable[[int], dict[int, float]]
) -> None:
    run_id = registry.create_run(registry.create_task())
    with _learner(registry, tmp_path) as first:
        wait_until(lambda: _alive(first, tmp_path) and registry.run(run_id).step >= 25, 60)
        first.kill()
        first.wait(10)
    assert registry.run(run_id).state == run_pb2.RUN_STATE_RUNNING
    with _learner(registry, tmp_path):
        registry.wait(run_id, "COMPLETED", 60)
    assert registry.losses(run_id) == undisturbed(TOTAL)


def test_a_learner_that_is_drained_in_the_middle_of_a_gradient_ends_well(registry: Registry, tmp_path: Path) -> None:
    registry.create_run(registry.create_task())
    log = tmp_path / "learner.log"
    with _learner(registry, tmp_path, STUCK) as learner:
        wait_until(lambda: _alive(learner, tmp_path) and STUCK in log.read_text().splitlines(), 60)
        learner.send_signal(signal.SIGTERM)
        assert learner.wait(20) == 0, log.read_text()
    told = log.read_text()
    assert "left in the middle of a step" in told and "terminate called" not in told
