"""Worker processes are kept running."""

import os
import signal
import sys
import time

import pytest

from services.env_service.supervisor import Supervisor


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _wait_for_end(pid: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                return
        time.sleep(0.01)
    pytest.fail("the process did not end")


def test_process_that_ends_is_started_again_after_growing_pauses() -> None:
    clock = Clock()
    supervisor = Supervisor(["w0"], lambda name: [sys.executable, "-c", "raise SystemExit(3)"], clock=clock)
    pauses = []
    supervisor.check()
    for _ in range(3):
        pid = supervisor.status()[0].pid
        assert pid is not None
        _wait_for_end(pid)
        supervisor.check()
        assert supervisor.status()[0].pid is None
        assert supervisor.status()[0].last_error == "ended with exit code 3"
        since_s = clock.now_s
        while supervisor.status()[0].pid is None:
            clock.now_s += 0.25
            supervisor.check()
        pauses.append(clock.now_s - since_s)
    assert pauses == [0.5, 1.0, 2.0]
    assert supervisor.status()[0].restarts == 3
    supervisor.stop(5.0)


def test_stop_asks_politely_and_then_kills() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    polite = "import time; time.sleep(60)"
    supervisor = Supervisor(["deaf", "polite"], lambda name: [sys.executable, "-c", deaf if name == "deaf" else polite])
    supervisor.start()
    pids = [status.pid for status in supervisor.status()]
    start = time.monotonic()
    supervisor.stop(0.5)
    assert time.monotonic() - start < 5
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


def test_killed_worker_comes_back() -> None:
    supervisor = Supervisor(["w0"], lambda name: [sys.executable, "-c", "import time; time.sleep(60)"])
    supervisor.start()
    first = supervisor.status()[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 10
    while time.monotonic() < end and supervisor.status()[0].pid in (first, None):
        time.sleep(0.02)
    status = supervisor.status()[0]
    supervisor.stop(5.0)
    assert status.pid not in (first, None)
    assert status.last_error == "ended with exit code -9"
