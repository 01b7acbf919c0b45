"""The application: calls by HTTP, the predecessor's endpoints, the document, and the page."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from services.common.health import CLOCK_KEY, VERSION, VERSION_KEY
from services.common.settings import ClientSettings
from services.gateway import openapi, page, predecessor, rest, statuses
from services.gateway.guarding import Guarding
from services.gateway.methods import UPSTREAMS
from services.gateway.settings import GatewaySettings
from services.gateway.upstream import Upstreams

STATIC = Path(__file__).resolve().parent / "static"
HEALTH_S = 2.0
NAMES = {404: "NOT_FOUND", 405: "UNIMPLEMENTED"}


def application(
    settings: GatewaySettings, client: ClientSettings, ending: Callable[[], bool] = lambda: False
) -> Starlette:
    """The gateway as an ASGI application; `ending` tells open streams that they should end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.upstreams = Upstreams(settings, client)
        yield
        await app.state.upstreams.close()

    routes = [
        *rest.routes(),
        *predecessor.routes(),
        *page.routes(),
        rest.route("/openapi.json", _document, "GET"),
        rest.route("/health", _health, "GET"),
        rest.route("/health/gateway", _alive, "GET"),
        rest.route("/", _file("index.html"), "GET"),
        rest.route("/docs", _file("docs.html"), "GET"),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guarding, settings=settings)],
        exception_handlers={HTTPException: _no_such},
    )
    app.router.redirect_slashes = False
    app.state.ending = ending
    return app


async def _document(request: Request) -> Response:
    return statuses.as_json(openapi.document())


def _file(name: str) -> rest.Endpoint:
    async def shown(request: Request) -> Response:
        return FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})

    return shown


async def _health(request: Request) -> Response:
    """Whether this process serves, and what the services say of themselves."""
    upstreams: Upstreams = request.app.state.upstreams
    asked = [_status(upstreams.channels[name], service) for name, service in UPSTREAMS.items()]
    found = dict(zip(UPSTREAMS, await asyncio.gather(*asked), strict=True))
    return statuses.as_json({"gateway": "SERVING"} | found)


async def _alive(request: Request) -> Response:
    """Whether this process serves, whatever the services do: what probes ask for.

    Version and clock come as headers, as the services send them with `grpc.health.v1.Health/List`.
    """
    about = {VERSION_KEY: VERSION, CLOCK_KEY: f"{time.time():.3f}"}
    return statuses.as_json({"gateway": "SERVING"}, headers=about)


async def _status(channel: grpc.aio.Channel, service: str) -> str:
    check: Any = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=HEALTH_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def _no_such(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    said = f"{request.method} {request.url.path}: there is no such endpoint; /docs lists them"
    answer = statuses.plain(code, NAMES.get(code, "UNKNOWN"), said)
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer
