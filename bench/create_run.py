"""Runs registered by many callers at once, on SQLite with every commit synced, against empty unary calls."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from google.protobuf import empty_pb2

from bench.cases import square_task
from bench.processes import connect, reference_server, running
from bench.report import BenchRow
from bench.timing import interleave, wall_rate
from lwmecps_core.run_config import PPOConfig, TrainConfig
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2_grpc
from services.cli.processes import free_port
from services.common import convert
from services.common.run_spec import RunSpec

THREADS, CALLS = 16, 160
FLOOR = 0.1
ROUND_S = 1.0
Calling = Callable[[], int]


def run() -> BenchRow:
    with creating() as create, reference_server("echo", 32) as channel, ThreadPoolExecutor(THREADS) as pool:
        echo = channel.unary_unary("/bench.Echo/Call", empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString)
        empty = _calling(pool, lambda _: echo(empty_pb2.Empty()))
        pair = interleave(lambda: wall_rate(create, ROUND_S), lambda: wall_rate(empty, ROUND_S), rounds=5)
    return BenchRow(
        name="create_run",
        value=pair.measured,
        unit="calls/s",
        ratio=pair.ratio,
        against="an empty unary echo, as many threads",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail=pair.detail(),
    )


@contextmanager
def creating() -> Iterator[Calling]:
    """A function that has `THREADS` threads register `CALLS` runs in a registry of its own, and returns how many."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder}/registry.db",
            "ARTEFACTS_URL": f"{folder}/files",
            "LOG_LEVEL": "error",
        }
        settings = {f"LWMECPS_REGISTRY_{name}": value for name, value in own.items()}
        with running("services.task_registry", [], settings), connect(f"127.0.0.1:{port}") as channel:
            stub = registry_pb2_grpc.TaskRegistryServiceStub(channel)
            task = stub.CreateTask(pb.CreateTaskRequest(spec=convert.task_to_message(square_task(4)))).task
            spec = RunSpec(settings=TrainConfig(), algorithm=PPOConfig(), task_ids=(task.id,))
            asked, numbers = convert.run_spec_to_message(spec), count()

            def create(_: int) -> None:
                stub.CreateRun(pb.CreateRunRequest(spec=asked, request_id=f"bench-{next(numbers)}"))

            with ThreadPoolExecutor(THREADS) as pool:
                yield _calling(pool, create)


def _calling(pool: ThreadPoolExecutor, call: Callable[[int], Any]) -> Calling:
    def work() -> int:
        return len(list(pool.map(call, range(CALLS))))

    return work
