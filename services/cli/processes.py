"""Child processes that are started together, watched, and drained together."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.cli.ending import CommandFailed
from services.common.children import tied
from services.common.codes import BAD_INPUT, FAILED, UNREACHABLE

DRAIN_S = 15.0
"""How long a process may take to finish its work after SIGTERM before it is killed."""


class ProcessFailed(CommandFailed):
    """A child process ended by itself; the message ends with the last lines of its log.

    `exit_code` is its own where that says why: wrong settings, or something that can't be reached (see `codes`).
    """

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        self.exit_code = exit_code
        super().__init__(message)


@dataclass(frozen=True)
class Child:
    """A running `python -m module` whose output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `ProcessFailed` if it has ended."""
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            if code in (BAD_INPUT, UNREACHABLE) and lines:
                raise ProcessFailed(f"{self.name} did not start: {lines[-1]} (its log is {self.log})", code)
            tail = "\n".join(lines[-12:])
            raise ProcessFailed(f"{self.name} ended with code {code}; the end of {self.log}:\n{tail}")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start_module(name: str, module: str, env: Mapping[str, str], log: Path, prefix: Sequence[str] = ()) -> Child:
    """Start `python -m module` with `env` on top of this process's environment.

    It gets a session of its own: ctrl-C reaches only the parent, which then drains its children in order. Should the
    parent be killed, its children get SIGTERM (call this from a thread that lives as long as they may). `prefix` is a
    command that becomes the one behind it, as `nice` does.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen(
            tied([*prefix, sys.executable, "-m", module]),
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    return Child(name, process, log)


def drain(children: list[Child], patience_s: float = DRAIN_S) -> None:
    """Ask one after the other to finish (SIGTERM) and wait for it; kill whoever will not, or all at a second ctrl-C."""
    try:
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(patience_s)
    finally:
        for child in children:
            # The group is the child and what it started; it is gone when all of them ended.
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
