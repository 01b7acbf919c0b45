"""The HTTP port of a service: metrics for Prometheus, and health for probes that know no gRPC or no TLS."""

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import prometheus_client

from services.common.health import SERVING, HealthOfServer

HEALTH = "/health"
"""`/health` is the empty name of the health service, `/health/NAME` any other."""


class MetricsServer:
    """Serves on `host` and `port` (0: a free one) from threads of its own until `close`; raises `OSError`."""

    def __init__(self, host: str, port: int, health: HealthOfServer) -> None:
        self._health, self._metrics = health, prometheus_client.make_wsgi_app()
        host = host.strip("[]")
        self._server = make_server(host, port, self._answer, _server_class(host), _Quiet)
        self.port = int(self._server.server_port)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path != HEALTH and not path.startswith(f"{HEALTH}/"):
            return self._metrics(environ, start)
        status = self._health.statuses().get(path.removeprefix(HEALTH).removeprefix("/"))
        if status is None:
            code, text = "404 Not Found", "SERVICE_UNKNOWN"
        else:
            code, text = ("200 OK", "SERVING") if status == SERVING else ("503 Service Unavailable", "NOT_SERVING")
        start(code, [("Content-Type", "text/plain")])
        return [f"{text}\n".encode()]


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape is no event."""


def _server_class(host: str) -> type[_Threaded]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return type("_ServerOfFamily", (_Threaded,), {"address_family": family})
