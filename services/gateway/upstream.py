"""The services behind the gateway: asynchronous channels to them, and calls that carry the caller's token."""

import asyncio
import re
from collections.abc import Generator, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request

from lwmecps_core.errors import InvalidInput, Violation
from services.common import tracing
from services.common.client import credentials, options
from services.common.settings import ClientSettings, check_files, sendable
from services.gateway.methods import UPSTREAMS, RemoteCall, methods
from services.gateway.settings import GatewaySettings

FAMILY = {(False, False): "unary_unary", (False, True): "unary_stream"} | {
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
CALLS = {method.name: method for method in methods()}
"""Every call by its name; no two services have one of the same name."""
W3C = {
    "traceparent": re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(r"[\x20-\x7e]{1,512}"),
}
"""Headers that tell a trace."""


class Upstreams:
    """Channels to the services; to be made and closed inside a running event loop."""

    def __init__(self, settings: GatewaySettings, client: ClientSettings) -> None:
        check_files(client)
        self.timeout_s = settings.call_timeout_s
        self.channels = {name: _channel(grpc.aio, getattr(settings, name), client) for name in UPSTREAMS}
        self.blocking = {name: _channel(grpc, getattr(settings, name), client) for name in UPSTREAMS}

    def call(self, method: RemoteCall, requests: Sequence[Message], metadata: Any) -> Any:
        """Begin a call: to be awaited, or, where it sends a stream, to be iterated over."""
        channel = (self.blocking if method.takes_stream else self.channels)[method.upstream]
        family = getattr(channel, FAMILY[method.takes_stream, method.sends_stream])
        stub = family(
            method.full_path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        timeout_s = None if method.sends_stream else self.timeout_s
        if not method.takes_stream:
            return stub(requests[0], metadata=metadata, timeout=timeout_s)
        if method.sends_stream:
            return UpStream(stub(iter(requests), metadata=metadata, timeout=timeout_s))
        return UpAnswer(stub.future(iter(requests), metadata=metadata, timeout=timeout_s))

    async def ask(self, name: str, request: Message, metadata: Any) -> Any:
        """The answer of a call that is no stream, by its name."""
        return await self.call(CALLS[name], [request], metadata)

    async def close(self) -> None:
        """Close the channels."""
        for channel in self.channels.values():
            await channel.close(None)
        for blocking in self.blocking.values():
            blocking.close()


def metadata_of(request: Request) -> list[tuple[str, str]]:
    """What a request brings along for the services: its token, and the trace that it belongs to."""
    given = request.headers.get("authorization")
    if given and not sendable(given):
        raise InvalidInput("request", [Violation("authorization", "must be printable ASCII text")])
    token = [("authorization", given)] if given else []
    return token + list((tracing.headers() or trace_of(request)).items())


def trace_of(request: Request) -> dict[str, str]:
    """The trace that a request says it belongs to, in W3C's form; empty without one."""
    given = {name: request.headers.get(name, "") for name in W3C}
    found = {name: value for name, value in given.items() if W3C[name].fullmatch(value)}
    return found if "traceparent" in found else {}


class UpStream:
    """Messages that answer a stream of requests, of a call on a blocking channel.

    An asynchronous call whose server has refused the first request while another is on its way loses the refusal: it
    ends with INTERNAL, "Internal error from Core" (grpcio 1.85).
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __aiter__(self) -> "UpStream":
        return self

    async def __anext__(self) -> Any:
        try:
            message = await asyncio.to_thread(next, self._call, None)
        except grpc.RpcError as error:
            raise _as_asynchronous(error) from None
        if message is None:
            raise StopAsyncIteration
        return message

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()


class UpAnswer:
    """The one answer to a stream of requests, to be awaited; see `UpStream`."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answered().__await__()

    async def _answered(self) -> Any:
        try:
            return await asyncio.to_thread(self._call.result)
        except grpc.RpcError as error:
            raise _as_asynchronous(error) from None

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()


def _as_asynchronous(error: Any) -> grpc.aio.AioRpcError:
    """The same error as asynchronous calls raise it."""
    first, last = (grpc.aio.Metadata(*(found or ())) for found in (error.initial_metadata(), error.trailing_metadata()))
    return grpc.aio.AioRpcError(error.code(), first, last, error.details(), None)


def _channel(kind: Any, address: str, client: ClientSettings) -> Any:
    if client.tls_ca_file:
        return kind.secure_channel(address, credentials(client), options(client))
    return kind.insecure_channel(address, options(client))
