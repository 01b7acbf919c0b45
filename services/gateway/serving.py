"""The server of the gateway: an application on a socket, in a thread of its own, with a graceful end."""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import structlog
import uvicorn

from lwmecps_core.errors import ServiceUnavailable
from services.common import logs
from services.common.ending import ending
from services.common.settings import ClientSettings, check_files
from services.gateway.app import application
from services.gateway.settings import GatewaySettings, check_certificate

START_S = 30.0
"""How long the application may take until it serves."""
_log = structlog.get_logger(__name__)


class RunningGateway:
    """A gateway that listens on `address`; `close` ends it. Raises `InvalidInput` and `ServiceUnavailable`."""

    def __init__(self, settings: GatewaySettings, client: ClientSettings) -> None:
        check_files(settings)
        check_files(client)
        check_certificate(settings)
        self._grace_s = settings.grace_s
        self._socket = _bound(settings)
        self.port = int(self._socket.getsockname()[1])
        self.address = f"{settings.host}:{self.port}"
        self.url = f"{'https' if settings.tls_cert_file else 'http'}://{self.address}"
        self._server: uvicorn.Server = uvicorn.Server(
            _configuration(settings, client, lambda: self._server.should_exit)
        )
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
        self._thread.start()
        began = time.monotonic()
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() - began > START_S:
                raise ServiceUnavailable(f"the gateway on {self.address} did not start; its log says why")
            time.sleep(0.01)

    def _serve(self) -> None:
        with suppress(SystemExit):
            self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """End: no new requests, then wait for those that run, at most the settings' grace."""
        self._server.should_exit = True
        self._thread.join(self._grace_s + START_S)
        self._socket.close()


def serve(settings: GatewaySettings, client: ClientSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    check_files(settings)
    logs.configure(settings.log_format, settings.log_level, "gateway")
    stop = ending()
    gateway = RunningGateway(settings, client)
    _log.info("listening", address=gateway.address, url=gateway.url, pid=os.getpid())
    stop.wait()
    _log.info("draining", grace_s=settings.grace_s)
    gateway.close()
    _log.info("stopped")


def _configuration(settings: GatewaySettings, client: ClientSettings, ending: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application(settings, client, ending),
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=max(1, round(settings.grace_s)),
        ssl_certfile=settings.tls_cert_file or None,
        ssl_keyfile=settings.tls_key_file or None,
        ssl_keyfile_password="",
    )


def _bound(settings: GatewaySettings) -> socket.socket:
    host = settings.host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    where = f"can't listen on {settings.host}:{settings.port}"
    try:
        made.bind((host, settings.port))
        made.listen(1024)
    except OSError as error:
        made.close()
        if _has(host):
            advice = "is another one running? choose another port, or 0"
            raise ServiceUnavailable(f"{settings.variable('port')}: {where} ({error}): {advice}") from None
        advice = "give an address of this machine"
        raise ServiceUnavailable(f"{settings.variable('host')}: {where} ({error}): {advice}") from None
    return made


def _has(host: str) -> bool:
    """Whether a host is an address of this machine."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
