"""Channels to our services: retries, keepalive, TLS and token."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from lwmecps_core.errors import InvalidInput, Violation
from services.client.channel import channel_options, open_channel
from services.common.errors import rpc_errors
from services.common.reloading import Reloaded
from services.common.settings import ClientSettings, check_files, sendable

CALL_S = 30.0
"""Deadline of a unary call."""


def connect(address: str, settings: ClientSettings | None = None) -> grpc.Channel:
    """A channel to `address` (`host:port`); connects at its first call and again whenever the connection was lost."""
    settings = settings or ClientSettings()
    check_files(settings)
    return open_channel(
        address,
        credentials=credentials(settings) if settings.tls_ca_file else None,
        token=_current_token(settings) if settings.token or settings.token_file else None,
        max_message_mib=settings.max_message_mib,
    )


def options(settings: ClientSettings) -> list[tuple[str, int | str]]:
    """How a channel behaves: retries, keepalive, limits."""
    return channel_options(settings.max_message_mib)


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
        token = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("token_file", [Violation(file, f"can't be read: {type(error).__name__}")]) from None
    if not sendable(token):
        raise InvalidInput("token_file", [Violation(file, "must hold printable ASCII text")])
    return token


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
