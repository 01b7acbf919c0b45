"""What `up` does when a part of it ends by itself."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lwmecps_core.rollout.redis_queue import connect
from services.cli import local
from services.cli.processes import Child, ProcessFailed, start_module


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
        with connect(system.redis_url) as client:
            about: Any = client.info("server")
        killed = int(about["process_id"])
        os.kill(killed, signal.SIGKILL)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
        system.check()
    assert failed.value.exit_code == 1
    assert len(sleepers) == 3 and all(child.process.returncode is not None for child in sleepers)


def test_a_redis_of_somebody_else_is_none_of_its_children(sleepers: list[Child], tmp_path: Path) -> None:
    with local.LocalRedis() as server:
        with local.running(local.SystemPlan(tmp_path, redis_url=server.url)) as system:
            assert set(system.children) == {"registry", "env", "learner"}
            system.check()
        assert isinstance(server.process, subprocess.Popen) and server.process.poll() is None
