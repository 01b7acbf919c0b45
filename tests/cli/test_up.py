"""What `up` does when a part of it ends by itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lwmecps_core.rollout.redis_queue import connect
from services.cli import local
from services.cli.main import app
from services.cli.processes import Child, ProcessFailed, start_module

WAIT_UNTIL_HEALTHY = local.wait_until_healthy


def _kill(redis_url: str) -> None:
    """Kill the Redis there, and return when it has ended."""
    with connect(redis_url) as client:
        about: Any = client.info("server")
    killed = int(about["process_id"])
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Child]:
    """Processes that `running` starts in place of the services, healthy at once."""
    (tmp_path / "lw_sleeps.py").write_text("import time; time.sleep(600)")
    started: list[Child] = []

    def start(name: str, module: str, env: Any, log: Path) -> Child:
        started.append(start_module(name, "lw_sleeps", {"PYTHONPATH": str(tmp_path)}, log))
        return started[-1]

    monkeypatch.setattr(local, "start_module", start)
    monkeypatch.setattr(local, "wait_until_healthy", lambda *_: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # which `running` would leave set
    return started


def test_a_redis_of_its_own_that_ends_is_named_with_its_code_and_ends_the_others(
    sleepers: list[Child], tmp_path: Path
) -> None:
    with (
        pytest.raises(ProcessFailed, match=r"^redis ended with code -9; the end of ") as failed,
        local.running(local.SystemPlan(tmp_path)) as system,
    ):
        system.check()
        _kill(system.redis_url)
        system.check()
    assert failed.value.exit_code == 1
    assert len(sleepers) == 3 and all(child.process.returncode is not None for child in sleepers)


def test_a_redis_that_ends_while_services_are_waited_for_is_named_at_once(
    sleepers: list[Child], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = local.start_module

    def kill_redis(name: str, module: str, env: dict[str, str], log: Path) -> Child:
        if name == "learner":  # the last
            _kill(env["LWMECPS_LEARNER_REDIS_URL"])
        return started(name, module, env, log)

    monkeypatch.setattr(local, "start_module", kill_redis)
    monkeypatch.setattr(local, "wait_until_healthy", WAIT_UNTIL_HEALTHY)
    with (
        pytest.raises(ProcessFailed, match=r"^redis ended with code -9; the end of "),
        local.running(local.SystemPlan(tmp_path)),
    ):
        raise AssertionError("nothing listens, so that nothing is healthy")
    assert len(sleepers) == 3 and all(child.process.returncode is not None for child in sleepers)


def test_a_redis_of_somebody_else_is_none_of_its_children(sleepers: list[Child], tmp_path: Path) -> None:
    with local.LocalRedis() as server:
        with local.running(local.SystemPlan(tmp_path, redis_url=server.url)) as system:
            assert set(system.children) == {"registry", "env", "learner"}
            system.check()
        assert isinstance(server.process, subprocess.Popen) and server.process.poll() is None


PORTS = ["--registry-port=0", "--env-port=0", "--learner-port=0", "--gateway-port=0"]
HOLDER = """
import pathlib, sys
from services.cli import local
local.start_module = lambda *_: None
local.wait_until_healthy = lambda *_: None
local.drain = lambda *_: None
with local.running(local.SystemPlan(pathlib.Path(sys.argv[1]))):
    print("running", flush=True)
    sys.stdin.read()
"""


def _nothing_starts(*_: Any) -> None:
    raise AssertionError("something was started")


@pytest.mark.usefixtures("sleepers")
def test_a_folder_that_another_up_keeps_its_state_in_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "running\n"
        with monkeypatch.context() as patched:
            patched.setattr(local, "start_module", _nothing_starts)
            result = CliRunner().invoke(app, ["up", "--state", str(folder), *PORTS])
        assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.exception
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"options: --state: {folder} is in use by another")
        with local.running(local.SystemPlan(tmp_path / "other")) as system:
            system.check()
        holder.kill()
        holder.wait()
    with local.running(local.SystemPlan(folder)) as system:  # what was killed leaves nothing behind
        system.check()
    with local.running(local.SystemPlan(folder)) as system:
        system.check()


@pytest.mark.usefixtures("sleepers")
def test_a_lock_that_cannot_be_had_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "start_module", _nothing_starts)
    (tmp_path / "up.lock").mkdir()
    result = CliRunner().invoke(app, ["up", "--state", str(tmp_path), *PORTS])
    assert result.exit_code == 2
    assert f"--state: {tmp_path}/up.lock can't be locked: Is a directory" in result.stderr
