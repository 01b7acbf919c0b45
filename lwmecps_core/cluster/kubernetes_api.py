"""Requests to a Kubernetes API server: plain JSON, deadlines, retries, and typed errors.

Whole pods as objects of the client's model classes take too long to make when there are thousands of them.
"""

import json
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from yaml import YAMLError

from lwmecps_core.errors import (
    AccessDenied,
    ClusterUnavailable,
    Conflict,
    InvalidInput,
    LwmecpsError,
    NotFound,
    Violation,
)

Json = dict[str, Any]

FIELD_MANAGER = "lwmecps"
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
REQUEST_TIMEOUT_S = 10.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 5.0
RETRIED = frozenset({0, 409, 429, 500, 502, 503, 504})
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(r"/(?:api|apis/[^/]+)/[^/]+(?:/namespaces/([^/]+))?/([^/?]+)(?:/([^/?]+))?")


class ApiFailure(Exception):
    """An answer other than success (`status`), or none at all (status 0); `retry_after_s` is what the server asked."""

    def __init__(self, status: int, message: str, retry_after_s: float = 0.0) -> None:
        self.status, self.message, self.retry_after_s = status, message, retry_after_s
        super().__init__(f"{status}: {message}")


class Api:
    """One API server, safe for threads: `KUBECONFIG`, else the pod's service account, else the user's own file.

    Raises `InvalidInput` where none of them can be read.
    """

    def __init__(self, kubeconfig: Path | str | None = None) -> None:
        settings = client.Configuration()
        source = kubeconfig or os.environ.get("KUBECONFIG")
        try:
            if source is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                source = "service account"
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                source = source or config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=str(source), client_configuration=settings
                )
        except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, YAMLError) as error:
            raise InvalidInput(str(source), [Violation(".", f"no access to a cluster: {error}")]) from None
        settings.retries = False  # this class retries, and knows which answers are final
        settings.connection_pool_maxsize = 32
        self.address: str = settings.host
        self._client = client.ApiClient(settings)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
        content_type: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Json:
        """One request, tried once; raises `ApiFailure`."""
        response = self._open(method, path, query, body, content_type, (min(timeout_s, 5.0), timeout_s))
        try:
            answer = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise ApiFailure(0, f"the answer broke off: {error}") from None
        return answer if isinstance(answer, dict) else {}

    def persist(
        self,
        deadline_s: float,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
        content_type: str = JSON,
    ) -> Json:
        """A request that is tried again until `deadline_s` seconds have passed; raises what `failure` makes of it."""
        end, delay = time.monotonic() + deadline_s, FIRST_DELAY_S
        while True:
            try:
                return self.request(method, path, query, body, content_type)
            except ApiFailure as error:
                wait = max(error.retry_after_s, delay * random.uniform(0.5, 1.0))
                if error.status not in RETRIED or time.monotonic() + wait > end:
                    raise self.failure(error, method, path) from None
            time.sleep(wait)
            delay = min(2.0 * delay, LONGEST_DELAY_S)

    def watch(self, path: str, query: Mapping[str, object], read_timeout_s: float) -> "Events":
        """Open a watch; raises `ApiFailure`."""
        return Events(self._open("GET", path, {**query, "watch": 1}, None, JSON, (5.0, read_timeout_s)))

    def failure(self, error: ApiFailure, method: str, path: str) -> LwmecpsError:
        """The library's error for an answer: it names the verb and the resource."""
        found = _PATH.match(path)
        namespace, resource, name = found.groups() if found else (None, path, None)
        where = f" in namespace {namespace}" if namespace else ""
        verb = "list" if method == "GET" and name is None else VERBS[method]
        what = f"{verb} {resource}{' ' + name if name else ''}{where}"
        if error.status in (401, 403):
            return AccessDenied(f"the cluster does not let us {what}: {error.message}")
        if error.status == 404:
            return NotFound(f"{resource}{where}", name or resource)
        if error.status == 409:
            return Conflict(f"could not {what}: {error.message}")
        return ClusterUnavailable(f"could not {what} at {self.address}: {error.message}")

    def close(self) -> None:
        """Drop the connections."""
        self._client.rest_client.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: Json | None,
        content_type: str,
        timeout: tuple[float, float],
    ) -> Any:
        headers = {"Accept": JSON, "Content-Type": content_type}
        parameters = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*parameters, _request_timeout=timeout).response
            if response.status < 400:
                return response
            text = response.data.decode(errors="replace")
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise ApiFailure(0, f"no answer: {_reason(error)}") from None
        raise ApiFailure(response.status, _message(text), _seconds(response.headers.get("Retry-After")))


class Events:
    """The events of one open watch, until the server ends it; raises `ApiFailure`."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Json]:
        rest = b""
        try:
            for chunk in self._response.stream(2**16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield _event(json.loads(line))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiFailure(0, f"the watch broke off: {_reason(error)}") from None
        finally:
            self._response.close()

    def shut(self) -> None:
        """End the watch under the hands of the thread that reads it."""
        with suppress(RuntimeError, ValueError, OSError):
            self._response.shutdown()


def _event(event: Json) -> Json:
    if event["type"] == "ERROR":
        told = event["object"]
        raise ApiFailure(int(told.get("code", 500)), str(told.get("message", told)))
    return event


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500] or "no reason given"


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or 0.0), 0.0), 60.0)
    except ValueError:
        return 0.0
