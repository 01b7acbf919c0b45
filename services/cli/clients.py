"""Connections to the three services."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub
from protos.lwmecps.registry.v1 import run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common.client import connect
from services.common.errors import rpc_errors
from services.common.settings import ClientSettings, read

CALL_S = 30.0
"""Deadline of a unary call."""


@dataclass(frozen=True)
class Addresses:
    """Where the services listen (`host:port`); the defaults are the services' own."""

    registry: str = "127.0.0.1:50051"
    env: str = "127.0.0.1:50052"
    learner: str = "127.0.0.1:50053"


@dataclass(frozen=True)
class Caller:
    """One service at one address."""

    address: str
    stub: Any

    def __call__(self, method: str, request: Any, timeout_s: float = CALL_S) -> Any:
        """Call a unary method by name; errors come back as the domain errors that the service raised."""
        with rpc_errors(self.address):
            return getattr(self.stub, method)(request, timeout=timeout_s)

    def stream(self, method: str, request: Any) -> Iterator[Any]:
        """The messages of a server stream, with errors as in a call."""
        with rpc_errors(self.address):
            yield from getattr(self.stub, method)(request)

    def pages(self, method: str, request: Any, field: str) -> list[Any]:
        """All entries of a paged list."""
        entries: list[Any] = []
        while True:
            answer = self(method, request)
            entries.extend(getattr(answer, field))
            if not answer.next_page_token:
                return entries
            request.page_token = answer.next_page_token


@dataclass(frozen=True)
class Clients:
    """Callers of the services, each connected at its first use."""

    addresses: Addresses

    @cached_property
    def registry(self) -> Caller:
        """The task-registry."""
        return _caller(self.addresses.registry, TaskRegistryServiceStub)

    @cached_property
    def env(self) -> Caller:
        """The env-service."""
        return _caller(self.addresses.env, EnvServiceStub)

    @cached_property
    def learner(self) -> Caller:
        """The learner-service."""
        return _caller(self.addresses.learner, LearnerServiceStub)


def start(clients: Clients, request: Any) -> run_pb2.Run:
    """The run that the learner starts for a `Start…Request`, by the call of that name."""
    run: run_pb2.Run = clients.learner(request.DESCRIPTOR.name.removesuffix("Request"), request).run
    return run


def _caller(address: str, stub: Any) -> Caller:
    return Caller(address, stub(connect(address, read(ClientSettings, "LWMECPS_CLIENT_"))))
