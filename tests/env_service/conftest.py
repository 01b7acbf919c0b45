"""A real server on a free port, and a small problem to pose to it."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.server import RunningServer, Service, start
from services.env_service.rpc import EnvServicer, OpenSession
from services.env_service.sessions import SessionTable
from services.env_service.settings import EnvServiceSettings


def make_task(env_id: str = "lwmecps-v4", horizon: int = 5, **changes: Any) -> TaskSpec:
    """Three nodes, two deployments."""
    fields: dict[str, Any] = {
        "name": "small",
        "env_id": env_id,
        "cluster": ClusterSpec(
            nodes=tuple(NodeSpec(name=f"n{i}", cpu_millicores=4000.0, ram_mib=8192.0) for i in range(3)),
            rtt_ms=((0.0, 4.0, 9.0), (4.0, 0.0, 5.0), (9.0, 5.0, 0.0)),
        ),
        "deployments": tuple(DeploymentSpec(name=f"d{i}", max_replicas=4) for i in range(2)),
        "workload": WorkloadSpec(base_users=(20.0, 35.0, 10.0), share=((0.5, 0.5),) * 3),
        "horizon": horizon,
    }
    return TaskSpec(**{**fields, **changes})


def tensor(array: np.ndarray) -> tensor_pb2.Tensor:
    """An array as an action's message."""
    code = tensor_pb2.DTYPE_INT32 if array.dtype == np.int32 else tensor_pb2.DTYPE_FLOAT32
    return tensor_pb2.Tensor(dtype=code, shape=array.shape, data=array.tobytes())


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Served:
    """A running service, a stub for it, and what a test may look into."""

    def __init__(self, settings: EnvServiceSettings, workers: Callable[[], list[env_pb2.WorkerStatus]]) -> None:
        self.clock = Clock()
        self.sessions = SessionTable[OpenSession](
            settings.max_sessions, settings.max_numbers, settings.session_idle_s, self.clock
        )
        servicer = EnvServicer(self.sessions, settings, workers)
        descriptor = env_pb2.DESCRIPTOR.services_by_name["EnvService"]
        service = Service(descriptor, servicer, env_pb2_grpc.add_EnvServiceServicer_to_server)
        self.server: RunningServer = start(settings, [service])
        self.channel = grpc.insecure_channel(self.server.address)
        self.stub = env_pb2_grpc.EnvServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()
        self.server.drain(0.0)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start a service with some settings changed; it ends with the test."""
    running: list[Served] = []

    def start_one(workers: Callable[[], list[env_pb2.WorkerStatus]] = list, **settings: Any) -> Served:
        running.append(Served(EnvServiceSettings(**{"port": 0, "log_level": "error", **settings}), workers))
        return running[-1]

    yield start_one
    for served in running:
        served.close()
