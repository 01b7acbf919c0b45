"""What every request must be before it is looked at, and what every answer says to browsers."""

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from services.common.settings import is_loopback
from services.gateway import statuses
from services.gateway.settings import GatewaySettings

_MIB = 1024 * 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class TooLargeBody(Exception):
    """A body is beyond the limit."""


class Guarding:
    """The outermost layer: who asks from a foreign page, by a foreign name or with too much is refused.

    A page of another site can make a browser send requests to a server on loopback, and by a name of its own (DNS
    rebinding) read the answers: there, the header `Host` must be an address, localhost or a name among the settings',
    and `Origin`, where there is one, the same.
    """

    def __init__(self, app: Callable[..., Any], settings: GatewaySettings) -> None:
        self._app, self._most = app, settings.max_body_mib * _MIB
        self._names = {name.lower() for name in settings.hosts}
        self._any_name = not is_loopback(settings.host)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, started = Headers(scope=scope), False

        async def sending(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    given.setdefault(name, value)
            await send(message)

        if refusal := self._refusal(headers):
            await statuses.plain(*refusal)(scope, receive, sending)
            return
        try:
            await self._app(scope, self._counting(receive), sending)
        except TooLargeBody:
            if started:
                raise
            await statuses.plain(*self._too_large())(scope, receive, sending)

    def _refusal(self, headers: Headers) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._any_name and not self._known(host):
            return 421, "INVALID_ARGUMENT", f"no such host here: {host!r}; LWMECPS_GATEWAY_HOSTS lists names that are"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "PERMISSION_DENIED", f"pages of {origin} may not ask here"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._most:
            return self._too_large()
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _too_large(self) -> tuple[int, str, str]:
        return 413, "RESOURCE_EXHAUSTED", f"the body is larger than {self._most // _MIB} MiB (max_body_mib)"

    def _counting(self, receive: Any) -> Callable[[], Any]:
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                raise TooLargeBody
            return message

        return counted
