"""The calls that are reachable by HTTP: the rows of the table, joined with their contracts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default as default_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from protos.lwmecps.env.v1 import env_pb2_grpc
from protos.lwmecps.learner.v1 import learner_pb2_grpc
from protos.lwmecps.registry.v1 import registry_pb2_grpc
from services.gateway.table import ENV, LEARNER, REGISTRY, ROUTES

UPSTREAMS = {"registry": REGISTRY, "env": ENV, "learner": LEARNER}
"""Setting that says where it listens → service."""
LOADED = (registry_pb2_grpc, env_pb2_grpc, learner_pb2_grpc)
"""What puts the services' contracts into the pool."""
BODY = ("POST", "PUT")


@dataclass(frozen=True)
class RemoteCall:
    """One call: where it is upstream, and where by HTTP."""

    descriptor: MethodDescriptor
    upstream: str
    verb: str
    path: str

    @property
    def name(self) -> str:
        """Name of the call."""
        return str(self.descriptor.name)

    @property
    def full_path(self) -> str:
        """Where gRPC finds it."""
        return f"/{self.descriptor.containing_service.full_name}/{self.name}"

    @property
    def request(self) -> Descriptor:
        """What it is asked with."""
        return self.descriptor.input_type

    @property
    def response(self) -> Descriptor:
        """What it answers with."""
        return self.descriptor.output_type

    @cached_property
    def request_class(self) -> type[Message]:
        """Class of requests."""
        return GetMessageClass(self.request)

    @cached_property
    def response_class(self) -> type[Message]:
        """Class of answers."""
        return GetMessageClass(self.response)

    @property
    def takes_stream(self) -> bool:
        """Whether it takes many requests: a JSON list of them, or a line for each."""
        return bool(self.descriptor.client_streaming)

    @property
    def sends_stream(self) -> bool:
        """Whether it gives many answers: an event for each."""
        return bool(self.descriptor.server_streaming)

    @property
    def takes_body(self) -> bool:
        """Whether fields come in a body, else in the query."""
        return self.verb in BODY

    @property
    def in_path(self) -> tuple[str, ...]:
        """Fields of the request that stand in the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def sends_file(self) -> bool:
        """Whether its answers are the parts of a file: a header, then chunks."""
        return self.sends_stream and "chunk" in self.response.fields_by_name


def methods() -> Iterator[RemoteCall]:
    """Every row of the table."""
    for upstream, service in UPSTREAMS.items():
        known = default_pool().FindServiceByName(service).methods_by_name
        for name, route in ROUTES[service].items():
            verb, _, path = route.partition(" ")
            yield RemoteCall(known[name], upstream, verb, path)
