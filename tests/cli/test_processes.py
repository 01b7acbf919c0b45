"""Children are watched and drained."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.cli.processes import ProcessFailed, drain, free_port, start_module
from services.cli.up import metrics_of

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import pathlib, sys, time
from services.cli.processes import start_module
from services.common.local_redis import LocalRedis
redis = LocalRedis()
folder = pathlib.Path(sys.argv[1])
child = start_module("sleeper", "lw_sleeps", {"PYTHONPATH": str(folder)}, folder / "log")
print(redis.pid, child.process.pid, flush=True)
time.sleep(60)
"""


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


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (util-linux)")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    _module(tmp_path, "lw_sleeps", "import time; time.sleep(60)")
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    deadline = time.monotonic() + 20
    while not all(_tied(pid) for pid in pids):
        assert time.monotonic() < deadline, "the children never began"
        time.sleep(0.02)
    assert len(pids) == 2 and all(_alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child outlives its parent"
        time.sleep(0.05)


def _tied(pid: int) -> bool:
    """Whether setpriv has done its work, after which it becomes the command itself; before it, it is a fork of ours,
    and has no command line while it turns from one into the other.
    """
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return len(words) > 1 and b"-c" not in words and b"setpriv" not in words


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_the_ports_of_metrics_are_told_with_the_others() -> None:
    addresses = {name: f"127.0.0.1:{number}" for number, name in enumerate(("registry", "env", "learner"), start=1)}
    asked = {"LWMECPS_ENV_METRICS_PORT": "9101", "LWMECPS_LEARNER_METRICS_PORT": "0"}
    assert metrics_of(addresses, asked) == {"env_metrics": "http://127.0.0.1:9101/metrics"}
