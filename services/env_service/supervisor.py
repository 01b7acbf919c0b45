"""Child processes that are kept running."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
STABLE_S = 60.0
"""After running that long a process counts as healthy again: its next restart is quick."""
POLL_S = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ChildStatus:
    """A supervised process: its pid (None: waiting to be started again), restarts so far, and how it ended last."""

    name: str
    pid: int | None
    restarts: int
    last_error: str


class _Child:
    def __init__(self, name: str, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self.name, self.start = name, start
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = self.start_at_s = 0.0
        self.backoff_s = FIRST_BACKOFF_S
        self.restarts, self.last_error = 0, ""

    def check(self, now_s: float) -> None:
        """Start the process when its time has come; note its end and when to start it again."""
        if self.process is None:
            if now_s >= self.start_at_s:
                self.process, self.started_s = self.start(), now_s
            return
        code = self.process.poll()
        if code is None:
            return
        if now_s - self.started_s >= STABLE_S:
            self.backoff_s = FIRST_BACKOFF_S
        self.process, self.last_error = None, f"ended with exit code {code}"
        self.restarts += 1
        self.start_at_s = now_s + self.backoff_s
        log.warning("worker process ended", worker=self.name, exit_code=code, restart_in_s=self.backoff_s)
        self.backoff_s = min(LAST_BACKOFF_S, 2 * self.backoff_s)


class Supervisor:
    """Runs one process for each name; one that ends is started again, after pauses that double up to 30 s."""

    def __init__(
        self,
        names: Sequence[str],
        command: Callable[[str], Sequence[str]],
        *,
        env: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._children = [_Child(name, partial(_popen, command, name, env)) for name in names]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all processes and watch them."""
        self.check()
        self._thread.start()

    def check(self) -> None:
        """Look after every process once."""
        with self._lock:
            for child in self._children:
                child.check(self._clock())

    def status(self) -> list[ChildStatus]:
        """All processes, in the order of their names."""
        with self._lock:
            return [
                ChildStatus(c.name, c.process.pid if c.process else None, c.restarts, c.last_error)
                for c in self._children
            ]

    def ask_to_stop(self) -> None:
        """Ask every process to finish (SIGTERM), and start none again."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in self._processes():
            process.send_signal(signal.SIGTERM)

    def stop(self, grace_s: float) -> None:
        """Ask every process to finish; those that have not after `grace_s` are killed."""
        self.ask_to_stop()
        end_s = time.monotonic() + grace_s
        for process in self._processes():
            try:
                process.wait(timeout=max(0.0, end_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _processes(self) -> "list[subprocess.Popen[bytes]]":
        return [c.process for c in self._children if c.process is not None]

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            self.check()


def _popen(command: Callable[[str], Sequence[str]], name: str, env: dict[str, str] | None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(list(command(name)), env=env)
