"""Connections to the three services; gRPC and the contracts are imported with the first one."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from protos.lwmecps.registry.v1 import run_pb2
    from services.common.client import Caller


@dataclass(frozen=True)
class Addresses:
    """Where the services listen (`host:port`); the defaults are the services' own."""

    registry: str = "127.0.0.1:50051"
    env: str = "127.0.0.1:50052"
    learner: str = "127.0.0.1:50053"


@dataclass(frozen=True)
class Clients:
    """Callers of the services, each connected at its first use."""

    addresses: Addresses

    @cached_property
    def registry(self) -> "Caller":
        """The task-registry."""
        from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub

        return _caller(self.addresses.registry, TaskRegistryServiceStub)

    @cached_property
    def env(self) -> "Caller":
        """The env-service."""
        from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub

        return _caller(self.addresses.env, EnvServiceStub)

    @cached_property
    def learner(self) -> "Caller":
        """The learner-service."""
        from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub

        return _caller(self.addresses.learner, LearnerServiceStub)


def start(clients: Clients, request: Any) -> "run_pb2.Run":
    """The run that the learner starts for a `Start…Request`, by the call of that name."""
    run: run_pb2.Run = clients.learner(request.DESCRIPTOR.name.removesuffix("Request"), request).run
    return run


def _caller(address: str, stub: Any) -> "Caller":
    from services.common.client import Caller, connect
    from services.common.settings import ClientSettings, read

    return Caller(address, stub(connect(address, read(ClientSettings, "LWMECPS_CLIENT_"))))
