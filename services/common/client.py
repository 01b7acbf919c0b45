"""Channels to our services: retries, keepalive, TLS and token."""

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from lwmecps_core.errors import InvalidInput, Violation
from services.common.errors import rpc_errors
from services.common.reloading import Reloaded
from services.common.settings import ClientSettings, check_files

CALL_S = 30.0
"""Deadline of a unary call."""
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


def connect(address: str, settings: ClientSettings | None = None) -> grpc.Channel:
    """A channel to `address` (`host:port`); connects at its first call and again whenever the connection was lost."""
    settings = settings or ClientSettings()
    check_files(settings)
    if settings.tls_ca_file:
        channel = grpc.secure_channel(address, credentials(settings), options(settings))
    else:
        channel = grpc.insecure_channel(address, options(settings))
    if settings.token or settings.token_file:
        return grpc.intercept_channel(channel, _Token(_current_token(settings)))
    return channel


def options(settings: ClientSettings) -> list[tuple[str, int | str]]:
    """How a channel behaves: retries, keepalive, limits."""
    return [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", settings.max_message_mib * _MIB),
        ("grpc.max_send_message_length", settings.max_message_mib * _MIB),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
        # Not `grpc.keepalive_timeout_ms`, which changes nothing below the 60 s that this one has by default.
        ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_ANSWER_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def credentials(settings: ClientSettings) -> grpc.ChannelCredentials:
    """What the files hold, once they were proved to be certificates: gRPC itself would only say that nobody answers."""
    context, field = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "tls_ca_file"
    try:
        context.load_verify_locations(settings.tls_ca_file)
        if settings.tls_cert_file:
            field = "tls_cert_file"
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    except OSError as error:  # ssl.SSLError is one
        reason = f"{getattr(settings, field)}: no certificate, or none with this key: {error}"
        raise InvalidInput("environment", [Violation(settings.variable(field), reason)]) from None
    ca, key, cert = (
        Path(file).read_bytes() if file else None
        for file in (settings.tls_ca_file, settings.tls_key_file, settings.tls_cert_file)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def _current_token(settings: ClientSettings) -> Callable[[], str]:
    if file := settings.token_file:
        return Reloaded([file], lambda: _read_token(file))
    return lambda: settings.token


def _read_token(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("token_file", [Violation(file, f"can't be read: {type(error).__name__}")]) from None


class _Details(NamedTuple):
    """A call's details with other metadata (gRPC's own type has no public constructor)."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


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
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token()}")]
        call = _Details(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready, details.compression
        )
        return continuation(call, request)

    intercept_unary_unary: Any = _with_token
    intercept_unary_stream: Any = _with_token
    intercept_stream_unary: Any = _with_token
    intercept_stream_stream: Any = _with_token


@dataclass(frozen=True)
class Caller:
    """One service at one address."""

    address: str
    stub: Any

    def __call__(self, method: str, request: Any, timeout_s: float = CALL_S) -> Any:
        """Call a unary method by name; errors come back as the domain errors that the service raised."""
        with rpc_errors(self.address, request):
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
