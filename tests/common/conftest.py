import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.client import connect
from services.common.server import RunningServer, Service, start
from services.common.settings import ServerSettings

MAX_STREAMS = 2


@dataclass
class FakeEnvService(env_pb2_grpc.EnvServiceServicer):
    """Does as little as possible, and fails with `error` when there is one."""

    error: Exception | None = None
    calls: list[str] = field(default_factory=list)

    def CreateSession(self, request, context):
        self.calls.append("CreateSession")
        return env_pb2.CreateSessionResponse(session_id="s", num_envs=request.num_envs or 1)

    def CloseSession(self, request, context):
        if self.error:
            raise self.error
        return env_pb2.CloseSessionResponse()

    def StepStream(self, request_iterator, context):
        for _ in request_iterator:
            if self.error:
                raise self.error
            yield env_pb2.StepStreamResponse()


def env_service(servicer: Any) -> Service:
    return Service(
        env_pb2.DESCRIPTOR.services_by_name["EnvService"], servicer, env_pb2_grpc.add_EnvServiceServicer_to_server
    )


@pytest.fixture
def servicer() -> FakeEnvService:
    return FakeEnvService()


@pytest.fixture
def server(servicer: FakeEnvService) -> Iterator[RunningServer]:
    settings = ServerSettings(workers=8, max_streams=MAX_STREAMS, metrics_port=0, max_message_mib=1)
    running = start(settings, [env_service(servicer)])
    yield running
    running.drain(0)


@pytest.fixture
def stub(server: RunningServer) -> Iterator[env_pb2_grpc.EnvServiceStub]:
    with connect(server.address) as channel:
        yield env_pb2_grpc.EnvServiceStub(channel)


@pytest.fixture
def serve() -> Iterator[Callable[..., RunningServer]]:
    """Starts servers with settings of their own, and ends them."""
    running: list[RunningServer] = []

    def begin(settings: ServerSettings, servicer: Any = None) -> RunningServer:
        running.append(start(settings, [env_service(servicer or FakeEnvService())]))
        return running[-1]

    yield begin
    for server in running:
        server.drain(0)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
