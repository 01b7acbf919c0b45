"""An aggregated API: an HTTPS server on loopback to which the API server forwards what is asked of one group."""

import contextlib
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import client

NAMESPACE = "kube-system"
Query = Mapping[str, list[str]]
Answer = Callable[[list[str], Query], dict[str, Any]]
"""(words of the path below the group and version, query) → the object; raises `NoMetrics`, or `LookupError` for 404."""


class NoMetrics(Exception):
    """Raised by whoever answers and wants the request to fail (503)."""


class AggregatedServer:
    """Serves what `answer` says for as long as a `with` lasts; `register` makes the API server ask here."""

    def __init__(self, certificate: tuple[Path, Path], group: str, version: str, service: str, answer: Answer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        members = {"root": f"/apis/{group}/{version}", "answerer": staticmethod(answer)}
        self._group, self._version, self._service = group, version, service
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), members))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """On loopback."""
        return int(self._server.server_address[1])

    def register(self, api: client.ApiClient) -> None:
        """The Service and the APIService that lead to this server."""
        spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]}
        service = {"metadata": {"name": self._service}, "spec": spec}
        client.CoreV1Api(api).create_namespaced_service(NAMESPACE, service)
        where = {"name": self._service, "namespace": NAMESPACE, "port": self.port}
        client.ApiregistrationV1Api(api).create_api_service(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{self._version}.{self._group}"},
                "spec": {
                    "service": where,
                    "group": self._group,
                    "version": self._version,
                    # The certificate names localhost, the API server asks for the Service's name.
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            }
        )

    def unregister(self, api: client.ApiClient) -> None:
        """Undo `register`."""
        client.ApiregistrationV1Api(api).delete_api_service(f"{self._version}.{self._group}")
        # The answer is not looked at: on 1.20 it is no Service, which the client would insist on.
        client.CoreV1Api(api).delete_namespaced_service(self._service, NAMESPACE, _preload_content=False)

    def __enter__(self) -> "AggregatedServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: str
    answerer: Answer

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        try:
            if not url.path.startswith(self.root):
                raise LookupError(f"nothing at {url.path}")
            words = url.path.removeprefix(self.root).strip("/").split("/")
            status, content = 200, self.answerer(words, urllib.parse.parse_qs(url.query))
        except NoMetrics as error:
            status, content = 503, _status(503, str(error))
        except LookupError as error:
            status, content = 404, _status(404, str(error))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # Whoever asked may have gone.
        with contextlib.suppress(OSError):
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
