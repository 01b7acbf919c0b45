"""A gRPC server with health, reflection, metrics and a graceful end; what every service's main function calls."""

import gc
import os
import socket
import threading
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc

from lwmecps_core.errors import ServiceUnavailable
from services.common import logs, reflection
from services.common.auth import guard
from services.common.calls import Calls
from services.common.ending import ending
from services.common.health import SERVICE_NAME, Checks, HealthOfServer
from services.common.metrics_server import MetricsServer
from services.common.settings import ServerSettings, check_files, files_named
from services.common.tls import server_credentials

_log = structlog.get_logger(__name__)
_MIB = 1024 * 1024
KEEPALIVE_S, KEEPALIVE_ANSWER_S = 20.0, 10.0
"""After so long without a sign of life a client is asked for one; if it gives none, its calls end."""


@dataclass(frozen=True)
class Service:
    """A service to serve: its descriptor, who implements it, and the generated `add_…Servicer_to_server`."""

    descriptor: ServiceDescriptor
    servicer: Any
    add: Callable[[Any, Any], None]


class _Pool(ThreadPoolExecutor):
    """Threads that know how many calls they have, of each client too, those that wait included."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings.workers, thread_name_prefix="rpc")
        self._most, self._most_of_one = settings.workers + settings.max_waiting, settings.max_calls_per_client
        self.calls, self._of_clients, self._counting = 0, Counts[str](), threading.Lock()
        self._next = ""

    def admits(self, client: str) -> bool:
        """Whether one more call has room; the next one that is submitted is of this client (empty: unknown).

        gRPC asks the interceptors and submits the call in one thread.
        """
        self._next = client
        with self._counting:
            return self.calls < self._most and (not client or self._of_clients[client] < self._most_of_one)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """As the base class."""
        client = self._next
        self._count(client, 1)
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._count(client, -1)
            raise
        future.add_done_callback(lambda _: self._count(client, -1))
        return future

    def _count(self, client: str, change: int) -> None:
        with self._counting:
            self.calls += change
            if client:
                self._of_clients[client] += change
                if not self._of_clients[client]:
                    del self._of_clients[client]


class RunningServer:
    """A server that listens on `address`; `metrics_port` is None when metrics are off.

    Its health is that of `services.common.health`, with `checks` of what the services depend on.
    """

    def __init__(self, settings: ServerSettings, services: Sequence[Service], checks: Checks | None = None) -> None:
        self._pool = _Pool(settings)
        self._calls = Calls(settings.max_streams, settings.max_streams_per_client, guard(settings), self._pool.admits)
        self._grpc = grpc.server(self._pool, interceptors=[self._calls], options=_options(settings))
        names = [service.descriptor.full_name for service in services]
        self._health = HealthOfServer(names, checks or {})
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        for service in services:
            service.add(service.servicer, self._grpc)
        if settings.reflection:
            reflection.enable([*names, SERVICE_NAME], self._grpc)
        self.port = _bind(self._grpc, settings)
        self.address = f"{settings.host}:{self.port}"
        if settings.exposed:
            _log.warning("insecure: others can reach this server without TLS or unknown", address=self.address)
        self._grpc.start()
        try:
            self._metrics = _start_metrics(settings, self._health)
        except ServiceUnavailable:
            self._grpc.stop(None)
            raise
        self.metrics_port = self._metrics.port if self._metrics else None
        self._health.begin()

    def drain(self, grace_s: float) -> None:
        """End gracefully: unhealthy first, then no new calls, then wait for those that run, at most `grace_s`."""
        self._health.end()
        self._calls.draining.set()
        self._grpc.stop(grace_s).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._metrics is not None:
            self._metrics.close()


def start(settings: ServerSettings, services: Sequence[Service], checks: Checks | None = None) -> RunningServer:
    """Start serving and return; raises `ServiceUnavailable` naming the address when it can't be listened on."""
    return RunningServer(settings, services, checks)


def serve(
    settings: ServerSettings,
    services: Sequence[Service],
    *,
    name: str,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
    checks: Checks | None = None,
) -> None:
    """Serve, call each of `on_start`, and at SIGTERM or SIGINT each of `on_stop`, and drain.

    `on_stop` tells a process's own threads to end; they are called while open calls may still go on.
    """
    check_files(settings)
    logs.configure(settings.log_format, settings.log_level, name)
    stop = ending()
    with files_named(settings):
        server = start(settings, services, checks)
    _log.info("listening", address=server.address, metrics_port=server.metrics_port, pid=os.getpid())
    for call in on_start:
        call()
    stop.wait()
    _log.info("draining", grace_s=settings.grace_s)
    for call in on_stop:
        call()
    server.drain(settings.grace_s)
    _log.info("stopped")
    gc.freeze()  # collecting all of a framework's objects once more, at the interpreter's end, takes a second


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_mib * _MIB),
        ("grpc.max_send_message_length", settings.max_message_mib * _MIB),
        ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
        ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_ANSWER_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        # Clients may keep idle connections alive with a ping every 10 s (see `client`).
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def _bind(server: grpc.Server, settings: ServerSettings) -> int:
    address = f"{settings.host}:{settings.port}"
    try:
        if settings.tls_cert_file:
            return int(server.add_secure_port(address, server_credentials(settings)))
        return int(server.add_insecure_port(address))
    except RuntimeError as error:
        raise ServiceUnavailable(_taken(settings, "port", settings.port, error)) from None


def _start_metrics(settings: ServerSettings, health: HealthOfServer) -> MetricsServer | None:
    if settings.metrics_port is None:
        return None
    try:
        return MetricsServer(settings.host, settings.metrics_port, health)
    except OSError as error:
        raise ServiceUnavailable(_taken(settings, "metrics_port", settings.metrics_port, error)) from None


def _taken(settings: ServerSettings, field: str, port: int, error: Exception) -> str:
    """Why nobody can be served there, and what to do."""
    where, host = f"can't listen on {settings.host}:{port}", settings.host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except OSError as no_host:
        return f"{settings.variable('host')}: {where} ({no_host}): give an address of this machine"
    return f"{settings.variable(field)}: {where} ({error}): is another one running? choose another port, or 0"
