"""Answers that go on: events for a stream of messages, bytes for a file; and calls whose caller may leave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from services.gateway import json_forms, statuses

T = TypeVar("T")
ALIVE_S = 15.0
"""After so long without a message a comment is sent, so that proxies keep the connection."""
DRAINING_S = 0.5
"""How soon an open stream notices that the process is to end."""
NO_LONGER = "the gateway is shutting down"


class CallerLeft(Exception):
    """The client closed its connection before it was answered."""


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves; its body must have been read before."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeft
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Flow(Response):
    """An answer in pieces, which ends, and with it the call behind it, as soon as the client leaves."""

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str, headers: dict[str, str] | None = None) -> None:
        self._pieces = pieces
        super().__init__(None, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"} | (headers or {}))
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        self.headers["content-type"] = media_type
        if headers and "Content-Length" in headers:
            self.headers["content-length"] = headers["Content-Length"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_gone(Request(scope, receive)))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (sending, gone):
                one.cancel()
            results = await asyncio.gather(sending, gone, return_exceptions=True)
        if isinstance(results[0], Exception) and not isinstance(results[0], OSError):
            raise results[0]

    async def _send(self, send: Any) -> None:
        async with aclosing(self._pieces) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def first_of(call: Any) -> tuple[Any, AsyncIterator[Any]]:
    """The first message of a stream (None: it is empty) and the others; whoever gives up waiting ends the call."""
    others = aiter(call)
    try:
        return await anext(others, None), others
    except BaseException:
        call.cancel()
        raise


async def events(
    call: Any, first: Any, others: AsyncIterator[Any], lists: bool, ending: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Server-sent events of a stream whose first message has come: one for each message, then `end` or `error`."""
    try:
        if first is not None:
            yield event("message", json_forms.show(first, lists))
            async for message in _patiently(others, ending):
                yield b": alive\n\n" if message is None else event("message", json_forms.show(message, lists))
        yield event("end", {})
    except Exception as error:  # whatever it is, the client has a status for it
        yield event("error", statuses.body(statuses.of_error(error)))
    finally:
        call.cancel()


async def _patiently(following: AsyncIterator[Any], ending: Callable[[], bool]) -> AsyncIterator[Any]:
    """Messages of a stream; None when none came for a while."""
    waited_s = 0.0
    coming = asyncio.ensure_future(anext(following, _END))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=DRAINING_S)
            if done:
                message = coming.result()
                if message is _END:
                    return
                coming, waited_s = asyncio.ensure_future(anext(following, _END)), 0.0
                yield message
            elif ending():
                from lwmecps_core.errors import ServiceUnavailable

                raise ServiceUnavailable(NO_LONGER)
            elif (waited_s := waited_s + DRAINING_S) >= ALIVE_S:
                waited_s = 0.0
                yield None
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming


_END = object()


async def chunks(call: Any, others: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """The bytes of a file whose header has come."""
    try:
        async for message in others:
            yield message.chunk
    finally:
        call.cancel()


def event(name: str, value: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(value, allow_nan=False, separators=(',', ':'))}\n\n".encode()
