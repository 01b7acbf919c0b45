"""The service as a process."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2_grpc
from services.common import convert
from services.common.client import connect
from services.task_registry.database import Database
from tests.task_registry.making import make_task

ROOT = Path(__file__).resolve().parents[2]


def _start(tmp_path: Path, **settings: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'state' / 'registry.db'}",
        "ARTEFACTS_URL": str(tmp_path / "state" / "artefacts"),
    }
    environ = os.environ | {f"LWMECPS_REGISTRY_{name}": value for name, value in (own | settings).items()}
    process = subprocess.Popen([sys.executable, "-m", "services.task_registry"], cwd=ROOT, env=environ)
    return process, f"127.0.0.1:{port}"


@pytest.mark.e2e
@pytest.mark.parametrize(("signum", "returncode"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_what_was_acknowledged_outlives_the_process(tmp_path: Path, signum: int, returncode: int) -> None:
    tasks = []
    for attempt in range(2):
        process, address = _start(tmp_path)
        try:
            with connect(address) as channel:
                grpc.channel_ready_future(channel).result(60)
                registry = registry_pb2_grpc.TaskRegistryServiceStub(channel)
                request = pb.CreateTaskRequest(spec=convert.task_to_message(make_task(f"t{attempt}")))
                tasks.insert(0, registry.CreateTask(request).task.name)
                assert [task.name for task in registry.ListTasks(pb.ListTasksRequest()).tasks] == tasks
            begin = time.monotonic()
            process.send_signal(signum)
            assert process.wait(timeout=20) == returncode
            assert time.monotonic() - begin < 10
        finally:
            process.kill()
            process.wait()


@pytest.mark.e2e
def test_what_many_were_told_is_made_outlives_a_kill_in_the_middle_of_it(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def create(registry: registry_pb2_grpc.TaskRegistryServiceStub, client: int) -> None:
        for i in range(10_000):
            request = pb.CreateTaskRequest(spec=convert.task_to_message(make_task(f"t{client}-{i}")))
            try:
                acknowledged.append(registry.CreateTask(request).task.id)
            except grpc.RpcError:
                return

    process, address = _start(tmp_path)
    try:
        with connect(address) as channel, ThreadPoolExecutor(8) as pool:
            grpc.channel_ready_future(channel).result(60)
            made = [pool.submit(create, registry_pb2_grpc.TaskRegistryServiceStub(channel), k) for k in range(8)]
            while len(acknowledged) < 60:
                assert process.poll() is None and not all(each.done() for each in made)
                time.sleep(0.01)
            process.kill()
    finally:
        process.kill()
        process.wait()
    database = Database(f"sqlite:///{tmp_path / 'state' / 'registry.db'}")
    with database.read() as session:
        stored = set(session.scalars(sa.text("SELECT id FROM tasks")))
    database.close()
    assert len(acknowledged) >= 60 and set(acknowledged) <= stored


@pytest.mark.e2e
def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    process, _ = _start(tmp_path, DATABSE_URL="sqlite:///x")
    assert process.wait(timeout=60) != 0
