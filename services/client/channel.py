"""Channels to the services: retries, keepalive, TLS, token and traces."""

import json
from collections.abc import Callable
from typing import Any

import grpc

from services.client import tracing
from services.client.metadata import with_metadata

KEEPALIVE_S, KEEPALIVE_ANSWER_S = 10.0, 5.0
"""After so long without a sign of life a server is asked for one; if it gives none, calls end as `UNAVAILABLE`."""
_MIB = 1024 * 1024
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# A step or placement that was lost may have been done, and doing it twice is another episode: those are not retried.
_NOT_TWICE = ("ResetSession", "StepSession", "StepStream", "ApplyPlacement")
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {"name": [{"service": "lwmecps.env.v1.EnvService", "method": method} for method in _NOT_TWICE]},
            {"name": [{}], "retryPolicy": _RETRY},
        ]
    }
)


def open_channel(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    token: Callable[[], str] | None = None,
    max_message_mib: int = 16,
) -> grpc.Channel:
    """A channel to `address` (`host:port`); connects at its first call and again whenever the connection was lost.

    Without `credentials` it has no TLS; `token` is asked for the bearer token of every call. Where the program uses
    OpenTelemetry, calls have spans.
    """
    options = channel_options(max_message_mib)
    if credentials is not None:
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    interceptors = [tracing.CallSpans()] if tracing.in_use() else []
    return grpc.intercept_channel(channel, *interceptors, *([_Token(token)] if token is not None else []))


def channel_options(max_message_mib: int) -> list[tuple[str, int | str]]:
    """How a channel behaves: retries, keepalive, limits."""
    return [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", max_message_mib * _MIB),
        ("grpc.max_send_message_length", max_message_mib * _MIB),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
        # Not `grpc.keepalive_timeout_ms`, which changes nothing below the 60 s that this one has by default.
        ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_ANSWER_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


class _Token(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Adds the bearer token to every call."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def _with_token(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        return continuation(with_metadata(details, [("authorization", f"Bearer {self._token()}")]), request)

    intercept_unary_unary: Any = _with_token
    intercept_unary_stream: Any = _with_token
    intercept_stream_unary: Any = _with_token
    intercept_stream_stream: Any = _with_token
