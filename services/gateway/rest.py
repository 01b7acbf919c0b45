"""Every call of the table as an HTTP endpoint."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from services.common import tracing
from services.gateway import json_forms, statuses
from services.gateway.guarding import TooLargeBody
from services.gateway.methods import RemoteCall, methods
from services.gateway.streams import CallerLeft, Flow, chunks, events, first_of, unless_gone
from services.gateway.upstream import Upstreams, metadata_of, trace_of

TENSORS = "tensors"
"""Parameter of every endpoint: `lists` for answers whose tensors are nested lists."""
FILE = "application/octet-stream"
EVENTS = "text/event-stream; charset=utf-8"
UNFOLLOWED = frozenset({"/", "/docs", "/health", "/openapi.json"})
"""Paths without spans."""
Endpoint = Callable[[Request], Awaitable[Response]]
_log = structlog.get_logger(__name__)


def routes() -> list[Route]:
    """An endpoint for every row of the table."""
    return [route(_starlette_path(m), _endpoint(m), m.verb) for m in methods()]


def route(path: str, endpoint: Endpoint, verb: str) -> Route:
    """A route of one verb, whose errors are answers."""
    made = Route(
        path, answering(endpoint if path in UNFOLLOWED else _followed(f"{verb} {path}", endpoint)), methods=[verb]
    )
    made.methods = {verb}  # Starlette would answer HEAD where GET is
    return made


def answering(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with what it raises as an answer."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CallerLeft:
            return statuses.plain(499, "CANCELLED", "the client left")
        except TooLargeBody:
            raise
        except Exception as error:
            if not isinstance(error, LwmecpsError | grpc.aio.AioRpcError):
                _log.error("request failed", path=request.url.path, exc_info=error)
            return statuses.answer(statuses.of_error(error))

    return answered


def _followed(name: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint in a span, where this process is traced, until its answer begins."""

    async def followed(request: Request) -> Response:
        with tracing.span(name, within=trace_of(request), kind="server"):
            return await endpoint(request)

    return followed


def _starlette_path(method: RemoteCall) -> str:
    """The path as Starlette has it: a field at its end may hold slashes, as the names of memories do."""
    return method.path[:-1] + ":path}" if method.path.endswith("{name}") else method.path


def _endpoint(method: RemoteCall) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        lists = _wants_lists(request)
        asked = await requests_of(method, request)
        upstreams: Upstreams = request.app.state.upstreams
        call = upstreams.call(method, asked, metadata_of(request))
        if not method.sends_stream:
            return statuses.as_json(json_forms.show(await unless_gone(request, _result(call)), lists))
        first, others = await unless_gone(request, first_of(call))
        if method.sends_file and FILE in request.headers.get("accept", ""):
            return Flow(chunks(call, others), FILE, {"Content-Length": str(_size(first))})
        return Flow(events(call, first, others, lists, request.app.state.ending), EVENTS)

    return endpoint


async def requests_of(method: RemoteCall, request: Request) -> list[Message]:
    """The messages that an HTTP request asks with; raises `InvalidInput`."""
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name != TENSORS]
    if not method.takes_body:
        plain: Any = json_forms.from_query(method.request, pairs)
        return [json_forms.read(method.request_class, _with_path(plain, request.path_params))]
    if pairs:
        raise InvalidInput("request", [Violation(pairs[0][0], "can't stand in the query: put it into the body")])
    body = await request.body()
    if not method.takes_stream:
        plain = json_forms.parse(body) if body.strip() else {}
        return [json_forms.read(method.request_class, _with_path(plain, request.path_params))]
    whole = (
        json_forms.parse(body) if body.lstrip()[:1] == b"[" else [json_forms.parse(x) for x in body.splitlines() if x]
    )
    if not whole:
        raise InvalidInput("request", [Violation(".", "must be a list of at least one message, or a line for each")])
    return [json_forms.read(method.request_class, one) for one in whole]


def _with_path(plain: Any, in_path: dict[str, Any]) -> Any:
    if not isinstance(plain, dict):
        return plain
    for name, value in in_path.items():
        spellings = {name, "".join(part.title() if i else part for i, part in enumerate(name.split("_")))}
        if given := [plain[key] for key in spellings & plain.keys()]:
            if given != [value]:
                raise InvalidInput("request", [Violation(name, f"{given[0]!r} contradicts the path, {value!r}")])
            plain = {key: one for key, one in plain.items() if key not in spellings}
    return plain | in_path


def _wants_lists(request: Request) -> bool:
    given = request.query_params.get(TENSORS, "base64")
    if given not in ("base64", "lists"):
        raise InvalidInput("request", [Violation(TENSORS, f"{given!r} is none of base64, lists")])
    return given == "lists"


async def _result(call: Any) -> Any:
    try:
        return await call
    finally:
        call.cancel()


def _size(first: Any) -> int:
    header = first.header
    return int(header.artefact.size_bytes if header.DESCRIPTOR.name == "CheckpointHeader" else header.size_bytes)
