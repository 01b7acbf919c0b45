"""What services are trusted with appears neither in their logs, nor in errors, nor in the list of processes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_status import rpc_status

from services.common.client import connect
from services.common.settings import ClientSettings

ROOT = Path(__file__).resolve().parents[2]
TOKEN, PASSWORD, OTHER = "correct-horse", "hunter2-hunter2", "wrong-staple"
REDIS = f"redis://:{PASSWORD}@127.0.0.1:1/0"
START_S = 120.0


class Process:
    """A service with all its output, of its children too."""

    def __init__(self, module: str, **settings: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        )
        self._lines: list[str] = []
        self._listening = threading.Event()
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if '"event": "listening"' in line:
                self._listening.set()
        self._listening.set()

    def address(self) -> str:
        assert self._listening.wait(START_S)
        line = next((line for line in self._lines if '"event": "listening"' in line), None)
        assert line is not None, "".join(self._lines)
        return line.split('"address": "')[1].split('"')[0]

    def end(self) -> str:
        """Everything that it wrote."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
        self._reader.join(10)
        return "".join(self._lines)


def _arguments(pid: int) -> str:
    """The command lines of a process and its children."""
    children = [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    own = Path(f"/proc/{pid}/cmdline").read_text()
    return "\n".join([own, *(_arguments(child) for child in children)])


def _errors(address: str) -> str:
    """What callers get told who call what can't be answered, with no, a wrong and the right token."""
    told = []
    for token in ("", OTHER, TOKEN):
        with connect(address, ClientSettings(token=token)) as channel:
            for method in (
                "registry.v1.TaskRegistryService/GetRun",
                "env.v1.EnvService/GetWorkerStatus",
                "env.v1.EnvService/GetClusterState",
                "learner.v1.LearnerService/GetResults",
            ):
                for request in (b"", b"\x0a\x05run-x", b"\xff"):
                    try:
                        told.append(repr(channel.unary_unary(f"/lwmecps.{method}")(request, timeout=20)))
                    except grpc.RpcError as error:
                        assert isinstance(error, grpc.Call)
                        told.append(f"{error} {error.details()} {rpc_status.from_call(error)}")
    return "\n".join(told)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("module", "prefix", "settings"),
    [
        ("services.task_registry", "LWMECPS_REGISTRY_", {"DATABASE_URL": "sqlite://"}),
        ("services.env_service", "LWMECPS_ENV_", {"REDIS_URL": REDIS}),
        ("services.learner_service", "LWMECPS_LEARNER_", {"REDIS_URL": REDIS, "REGISTRY": "127.0.0.1:1"}),
    ],
)
def test_a_service_tells_nobody_its_secrets(module: str, prefix: str, settings: dict[str, str], tmp_path: Path) -> None:
    common = {"PORT": "0", "LOG_FORMAT": "json", "LOG_LEVEL": "debug", "TOKEN": TOKEN}
    folders = {"ARTEFACTS_URL": str(tmp_path)} if "DATABASE_URL" in settings else {}
    given = {prefix + name: value for name, value in (common | settings | folders).items()}
    if "REGISTRY" in settings:
        given |= {"LWMECPS_CLIENT_TOKEN": TOKEN, "LWMECPS_LEARNER_WORK_DIRECTORY": str(tmp_path)}
        given["LWMECPS_TRACKING"] = "jsonl"
    process = Process(module, **given)
    try:
        told = _errors(process.address())
        arguments = _arguments(process.pid)
    finally:
        log = process.end()
    assert "UNAUTHENTICATED" in log and "UNAUTHENTICATED" in told and "127.0.0.1" in log
    for secret in (TOKEN, PASSWORD, OTHER):
        assert secret not in log and secret not in told and secret not in arguments


@pytest.mark.e2e
def test_a_registry_that_can_not_reach_its_database_does_not_tell_the_password() -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://somebody:{PASSWORD}@127.0.0.1:1/x"
    done = subprocess.run(
        [sys.executable, "-m", "services.task_registry"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LWMECPS_REGISTRY_DATABASE_URL": url},
        check=False,
    )
    assert done.returncode != 0 and PASSWORD not in done.stdout + done.stderr
