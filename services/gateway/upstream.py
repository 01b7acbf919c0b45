"""The services behind the gateway: asynchronous channels to them, and calls that carry the caller's token."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request

from services.common.client import credentials, options
from services.common.settings import ClientSettings, check_files
from services.gateway.methods import UPSTREAMS, RemoteCall, methods
from services.gateway.settings import GatewaySettings

FAMILY = {(False, False): "unary_unary", (False, True): "unary_stream"} | {
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
CALLS = {method.name: method for method in methods()}
"""Every call by its name; no two services have one of the same name."""


class Upstreams:
    """Channels to the services; to be made and closed inside a running event loop."""

    def __init__(self, settings: GatewaySettings, client: ClientSettings) -> None:
        check_files(client)
        self.timeout_s = settings.call_timeout_s
        self.channels = {name: _channel(getattr(settings, name), client) for name in UPSTREAMS}

    def call(self, method: RemoteCall, requests: Sequence[Message], metadata: Any) -> Any:
        """Begin a call: to be awaited, or, where it sends a stream, to be iterated over."""
        channel = self.channels[method.upstream]
        family = getattr(channel, FAMILY[method.takes_stream, method.sends_stream])
        stub = family(
            method.full_path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        timeout_s = None if method.sends_stream else self.timeout_s
        return stub(_each(requests) if method.takes_stream else requests[0], metadata=metadata, timeout=timeout_s)

    async def ask(self, name: str, request: Message, metadata: Any) -> Any:
        """The answer of a call that is no stream, by its name."""
        return await self.call(CALLS[name], [request], metadata)

    async def close(self) -> None:
        """Close the channels."""
        for channel in self.channels.values():
            await channel.close(None)


def metadata_of(request: Request) -> list[tuple[str, str]]:
    """What a request brings along for the services: its token."""
    given = request.headers.get("authorization")
    return [("authorization", given)] if given else []


async def _each(requests: Sequence[Message]) -> AsyncIterator[Message]:
    for request in requests:
        yield request


def _channel(address: str, client: ClientSettings) -> grpc.aio.Channel:
    if client.tls_ca_file:
        return grpc.aio.secure_channel(address, credentials(client), options(client))
    return grpc.aio.insecure_channel(address, options(client))
