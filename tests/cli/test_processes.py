"""Children are watched and drained."""

import socket
import sys
import time
from pathlib import Path

import pytest

from services.cli.processes import ProcessFailed, drain, free_port, start_module


def _module(folder: Path, name: str, source: str) -> dict[str, str]:
    (folder / f"{name}.py").write_text(source)
    return {"PYTHONPATH": str(folder)}


def test_a_child_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    env = _module(tmp_path, "lw_dies", "print('out of memory'); raise SystemExit(7)")
    child = start_module("dying", "lw_dies", env, tmp_path / "log")
    child.process.wait(20)
    with pytest.raises(ProcessFailed, match=r"(?s)dying ended with code 7.*out of memory"):
        child.check()


def test_draining_lets_a_child_finish_its_work(tmp_path: Path) -> None:
    source = (
        "import pathlib, signal, sys, time\n"
        "def finish(*_):\n    pathlib.Path('done').write_text('x'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, finish); pathlib.Path('up').write_text('x'); time.sleep(60)\n"
    )
    env = _module(tmp_path, "lw_polite", f"import os; os.chdir({str(tmp_path)!r})\n" + source)
    child = start_module("polite", "lw_polite", env, tmp_path / "log")
    _wait_for(tmp_path / "up")
    drain([child])
    assert (tmp_path / "done").exists() and child.process.returncode == 0


def test_a_child_that_will_not_finish_is_killed(tmp_path: Path) -> None:
    up = tmp_path / "up"
    source = (
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(up)!r}).write_text('x'); time.sleep(60)\n"
    )
    child = start_module("stubborn", "lw_stubborn", _module(tmp_path, "lw_stubborn", source), tmp_path / "log")
    _wait_for(up)
    drain([child], patience_s=0.2)
    assert child.process.returncode == -9


def test_free_ports_can_be_bound() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", free_port()))


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared ({sys.executable})"
        time.sleep(0.02)
