"""A stand-in for metrics-server: an HTTPS server on loopback that tells of pods' usage what a script wants it to tell.

It is an aggregated API (`metrics.k8s.io/v1beta1`): the API server forwards requests to it, so that whoever reads pod
metrics, the Horizontal Pod Autoscaler above all, reads them as from the real one.
"""

import contextlib
import datetime as dt
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import client

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
SERVICE, NAMESPACE = "pod-metrics", "kube-system"
_ROOT = f"/apis/{GROUP}/{VERSION}"


@dataclass(frozen=True)
class PodSample:
    """What one pod used over the `window_s` seconds before `at_s` (Unix time)."""

    pod: str
    cpu_millicores: int
    at_s: float
    window_s: float
    memory_mib: int | None = None


class NoMetrics(Exception):
    """Raised by an answerer that wants the request to fail (503)."""


Answerer = Callable[[str, str], Sequence[PodSample]]
"""(namespace, label selector) → what is known of its pods."""


class PodMetricsServer:
    """Serves what `answer` says for as long as a `with` lasts; `register` makes the API server ask here."""

    def __init__(self, certificate: tuple[Path, Path], answer: Answerer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        handler = type("Handler", (_Handler,), {"answerer": staticmethod(answer)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """On loopback."""
        return int(self._server.server_address[1])

    def register(self, api: client.ApiClient) -> None:
        """The Service and the APIService that lead to this server."""
        spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]}
        service = {"metadata": {"name": SERVICE}, "spec": spec}
        client.CoreV1Api(api).create_namespaced_service(NAMESPACE, service)
        where = {"name": SERVICE, "namespace": NAMESPACE, "port": self.port}
        client.ApiregistrationV1Api(api).create_api_service(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{VERSION}.{GROUP}"},
                "spec": {
                    "service": where,
                    "group": GROUP,
                    "version": VERSION,
                    # The certificate names localhost, the API server asks for the Service's name.
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            }
        )

    def __enter__(self) -> "PodMetricsServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answerer: Answerer

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        words = url.path.removeprefix(_ROOT).strip("/").split("/")
        if not url.path.startswith(_ROOT):
            self._send(404, _status(404, "only pods' metrics are served here"))
        elif words == [""]:
            self._send(200, _resources())
        elif len(words) == 3 and words[0] == "namespaces" and words[2] == "pods":
            selector = urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0]
            try:
                usages = self.answerer(words[1], selector)
            except NoMetrics as error:
                self._send(503, _status(503, str(error)))
            else:
                self._send(200, _listing(words[1], usages))
        else:
            self._send(404, _status(404, f"nothing at {url.path}"))

    def _send(self, status: int, content: dict[str, Any]) -> None:
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


def _resources() -> dict[str, Any]:
    pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": [pods]}


def _listing(namespace: str, usages: Sequence[PodSample]) -> dict[str, Any]:
    items = []
    for usage in usages:
        amounts = {"cpu": f"{usage.cpu_millicores}m"}
        if usage.memory_mib is not None:
            amounts["memory"] = f"{usage.memory_mib}Mi"
        items.append(
            {
                "metadata": {"name": usage.pod, "namespace": namespace},
                "timestamp": dt.datetime.fromtimestamp(usage.at_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "window": f"{usage.window_s:g}s",
                "containers": [{"name": "main", "usage": amounts}],
            }
        )
    return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}
