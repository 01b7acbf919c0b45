"""A gRPC server with health, reflection, metrics and a graceful end; what every service's main function calls."""

import gc
import os
import threading
from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import prometheus_client
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lwmecps_core.errors import ServiceUnavailable
from services.common import logs
from services.common.auth import guard
from services.common.calls import Calls
from services.common.ending import ending
from services.common.settings import ServerSettings
from services.common.tls import server_credentials

_log = structlog.get_logger(__name__)
_MIB = 1024 * 1024
CHECK_EVERY_S = 1.0
KEEPALIVE_S, KEEPALIVE_ANSWER_S = 20.0, 10.0
"""After so long without a sign of life a client is asked for one; if it gives none, its calls end."""
ROLLOUTS = "rollouts"
"""What health calls the way of rollouts through Redis."""
Checks = Mapping[str, Callable[[], None]]
"""Name that health knows → raises when what the name stands for can't be served now."""


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


class _Health(health.HealthServicer):  # type: ignore[misc]
    """Answers on threads of its own, so that it does when all others are busy."""

    def Check(self, request: Any, context: Any) -> Any:
        return super().Check(request, context)


_Health.Check.experimental_thread_pool = ThreadPoolExecutor(2, "health")  # type: ignore[attr-defined]


class RunningServer:
    """A server that listens on `address`; `metrics_port` is None when metrics are off.

    Its health says under the empty name whether the process lives and is not draining, and under a name in `checks`
    whether that works, at most `CHECK_EVERY_S` late.
    """

    def __init__(self, settings: ServerSettings, services: Sequence[Service], checks: Checks | None = None) -> None:
        self._pool = _Pool(settings)
        self._calls = Calls(settings.max_streams, settings.max_streams_per_client, guard(settings), self._pool.admits)
        self._grpc = grpc.server(self._pool, interceptors=[self._calls], options=_options(settings))
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        for service in services:
            service.add(service.servicer, self._grpc)
        names = [service.descriptor.full_name for service in services]
        if settings.reflection:
            reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._grpc)
        self.port = _bind(self._grpc, settings)
        self.address = f"{settings.host}:{self.port}"
        if settings.exposed:
            _log.warning("insecure: others can reach this server without TLS or unknown", address=self.address)
        self._grpc.start()
        self._metrics, self.metrics_port = _start_metrics(settings)
        for name in ["", *names]:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._drained = threading.Event()
        for name, check in (checks or {}).items():
            threading.Thread(target=self._watch, args=(name, check), name=f"check-{name}", daemon=True).start()

    def _watch(self, name: str, check: Callable[[], None]) -> None:
        well: bool | None = None
        while not self._drained.is_set():
            before, why = well, ""
            try:
                check()
                well = True
            except Exception as error:  # whatever it is, it is why this can't be served
                well, why = False, str(error)
            if well is not before:
                statuses = health_pb2.HealthCheckResponse
                self._health.set(name, statuses.SERVING if well else statuses.NOT_SERVING)
                if well:
                    _log.info("serving", what=name)
                else:
                    _log.warning("not serving", what=name, error=why)
            self._drained.wait(CHECK_EVERY_S)

    def drain(self, grace_s: float) -> None:
        """End gracefully: unhealthy first, then no new calls, then wait for those that run, at most `grace_s`."""
        self._drained.set()
        self._health.enter_graceful_shutdown()
        self._calls.draining.set()
        self._grpc.stop(grace_s).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._metrics is not None:
            self._metrics.shutdown()
            self._metrics.server_close()


def start(settings: ServerSettings, services: Sequence[Service], checks: Checks | None = None) -> RunningServer:
    """Start serving and return; raises `ServiceUnavailable` naming the address when it can't be listened on."""
    return RunningServer(settings, services, checks)


def serve(
    settings: ServerSettings,
    services: Sequence[Service],
    *,
    name: str,
    on_stop: Sequence[Callable[[], None]] = (),
    checks: Checks | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then call each of `on_stop` and drain.

    `on_stop` tells a process's own threads to end; they are called while open calls may still go on.
    """
    logs.configure(settings.log_format, settings.log_level, name)
    stop = ending()
    server = start(settings, services, checks)
    _log.info("listening", address=server.address, metrics_port=server.metrics_port, pid=os.getpid())
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
        raise ServiceUnavailable(f"can't listen on {address}: {error}") from None


def _start_metrics(settings: ServerSettings) -> tuple[Any, int | None]:
    if settings.metrics_port is None:
        return None, None
    server, _thread = prometheus_client.start_http_server(settings.metrics_port, settings.host)
    return server, int(server.server_port)
