"""Plain JSON over the official client's connections: its model objects cost more time than the requests themselves."""

import json
import time
from collections.abc import Iterator
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

REQUEST_DEADLINE_S = 10.0
WATCH_S = 300
RECONNECT_S = 0.3


class ApiRefused(Exception):
    """An answer of the API server other than success; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text[:300]}")
        self.status = status


class Rest:
    """The API server of a kubeconfig; errors are ApiRefused and, where there is no answer, OSError."""

    def __init__(self, kubeconfig: str, connections: int) -> None:
        settings = client.Configuration()
        config.load_kube_config(kubeconfig, client_configuration=settings)
        settings.connection_pool_maxsize = connections
        self._server = settings.host
        self._pool = client.ApiClient(settings).rest_client.pool_manager

    def get(self, path: str) -> dict[str, Any]:
        """The object or list at a path."""
        return self._request("GET", path, None, "application/json")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return self._request("POST", path, body, "application/json")

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change an object by a strategic merge patch."""
        return self._request("PATCH", path, body, "application/strategic-merge-patch+json")

    def delete(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Delete an object, with DeleteOptions as the body."""
        return self._request("DELETE", path, body, "application/json")

    def watch(self, path: str, selector: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """For ever: ("SYNCED", the list), then ("ADDED" | "MODIFIED" | "DELETED", object); again after an outage."""
        while True:
            try:
                found = self.get(f"{path}?{selector}")
                yield "SYNCED", found
                yield from self._events(path, selector, found["metadata"]["resourceVersion"])
            except (ApiRefused, OSError) as error:
                print(f"watch of {path}: {error}", flush=True)
                time.sleep(RECONNECT_S)

    def _events(self, path: str, selector: str, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The changes after a version, over as many watches as it takes; ends when the version has expired."""
        while True:
            url = f"{path}?{selector}&watch=1&allowWatchBookmarks=1&timeoutSeconds={WATCH_S}&resourceVersion={version}"
            answer = self._send("GET", url, None, "application/json", WATCH_S + REQUEST_DEADLINE_S, stream=True)
            try:
                for line in _lines(answer):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
            except HTTPError as error:
                raise OSError(f"the watch broke: {error}") from error
            finally:
                answer.close()

    def _request(self, method: str, path: str, body: dict[str, Any] | None, kind: str) -> dict[str, Any]:
        return json.loads(self._send(method, path, body, kind, REQUEST_DEADLINE_S).data)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, kind: str, deadline_s: float, stream: bool = False
    ) -> Any:
        try:
            answer = self._pool.request(
                method,
                self._server + path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": kind, "Accept": "application/json"},
                timeout=deadline_s,
                retries=False,
                preload_content=not stream,
            )
            if answer.status >= 300:
                raise ApiRefused(answer.status, answer.data.decode(errors="replace"))
            return answer
        except HTTPError as error:
            raise OSError(str(error)) from error


def _lines(answer: Any) -> Iterator[bytes]:
    """The lines of a streamed answer as they come."""
    rest = b""
    for chunk in answer.stream(amt=None):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
