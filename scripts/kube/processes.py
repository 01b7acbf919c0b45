"""Processes that are known by a pid file, so that whoever comes later can stop them."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

TAIL_BYTES = 3000
ZOMBIE = "Z"


class Process:
    """One background process of a state folder: `pid/NAME`, `log/NAME.log`.

    A pid file holds the pid and the process' start time, so that a pid given anew to a stranger is not taken for ours.
    """

    def __init__(self, state: Path, name: str) -> None:
        self.name = name
        self.log = state / "log" / f"{name}.log"
        self._record = state / "pid" / name

    def spawn(self, command: list[str], cwd: Path) -> None:
        """Start it in a session of its own, with its output added to its log; refuses if it runs already."""
        if self.alive():
            raise RuntimeError(f"{self.name} runs already with pid {self.pid} ({self._record})")
        for folder in (self.log.parent, self._record.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._record.write_text(f"{child.pid} {_looked_up(child.pid)[1]}")
        # Reaped by pid in alive(), by whichever process is the parent; Popen's own book-keeping would interfere.
        child.returncode = 0

    @property
    def pid(self) -> int | None:
        """The recorded pid, None where nothing is recorded."""
        recorded = self._recorded()
        return recorded and recorded[0]

    def alive(self) -> bool:
        """Whether the recorded process still runs."""
        if not (recorded := self._recorded()):
            return False
        pid, started = recorded
        state, began = _looked_up(pid)
        if began != started:
            return False
        with contextlib.suppress(ChildProcessError):
            # Reaps it; until all its threads are gone there is nothing to reap and the process counts as alive.
            return os.waitpid(pid, os.WNOHANG)[0] == 0
        return state != ZOMBIE

    def stop(self, deadline_s: float = 3.0, kill: bool = False) -> None:
        """End it and wait until it is gone: politely until the deadline, then (or with `kill` at once) by SIGKILL.

        An API server with open watches would take a minute to leave by itself.
        """
        for signum, patience_s in ((signal.SIGKILL if kill else signal.SIGTERM, deadline_s), (signal.SIGKILL, 10.0)):
            if not self.alive():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid or 0, signum)
            until = time.monotonic() + patience_s
            while self.alive() and time.monotonic() < until:
                time.sleep(0.02)
        if self.alive():
            raise RuntimeError(f"{self.name} (pid {self.pid}) survives SIGKILL")
        self._record.unlink(missing_ok=True)

    def tail(self) -> str:
        """The end of its log, for error messages."""
        if not self.log.exists():
            return "(no log)"
        return self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")

    def _recorded(self) -> tuple[int, str] | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid, started = self._record.read_text().split()
            return int(pid), started
        return None


def _looked_up(pid: int) -> tuple[str, str]:
    """A process' state and when it started (in the kernel's ticks), both empty for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return fields[0], fields[19]
