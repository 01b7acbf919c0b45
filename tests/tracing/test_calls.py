"""Spans of calls: whose children they are, what became of them, and which calls have none."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lwmecps_core.errors import NotFound
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common import convert, tracing
from services.common.client import connect
from services.common.server import Service, start
from services.common.settings import ServerSettings
from services.gateway.rest import route
from services.gateway.upstream import metadata_of
from tests.learner_service.fakes import task

from .conftest import Spans

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TracedEnvService(env_pb2_grpc.EnvServiceServicer):
    """Says which trace it is in, and fails as it is told."""

    def CreateSession(self, request: Any, context: grpc.ServicerContext) -> Any:
        return env_pb2.CreateSessionResponse(session_id=tracing.traceparent())

    def CloseSession(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise NotFound("session", "s") if request.session_id == "gone" else ValueError("a fault")

    def StepSession(self, request: Any, context: grpc.ServicerContext) -> Any:
        return env_pb2.StepSessionResponse()

    def StepStream(self, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in requests:
            tracing.failed("seen inside")
            yield env_pb2.StepStreamResponse()


@contextmanager
def _stub() -> Iterator[env_pb2_grpc.EnvServiceStub]:
    descriptor = env_pb2.DESCRIPTOR.services_by_name["EnvService"]
    service = Service(descriptor, TracedEnvService(), env_pb2_grpc.add_EnvServiceServicer_to_server)
    server = start(ServerSettings(), [service])
    with connect(server.address) as channel:
        yield env_pb2_grpc.EnvServiceStub(channel)  # type: ignore[no-untyped-call]
    server.drain(0)


def _wait(spans: Spans, count: int) -> None:
    """Until so many have ended: a server's span ends after its answer was sent."""
    end_s = time.monotonic() + 10
    while len(list(spans)) < count:
        assert time.monotonic() < end_s, [s.name for s in spans]
        time.sleep(0.002)


def test_a_server_goes_on_in_the_trace_of_its_client(spans: Spans) -> None:
    with _stub() as stub, tracing.span("around", within={"traceparent": GIVEN}):
        answer = stub.CreateSession(env_pb2.CreateSessionRequest(task=convert.task_to_message(task())))
    _wait(spans, 3)
    around, asked, answered = (
        spans.of(*x) for x in (("around", "internal"), ("/CreateSession", "client"), ("/CreateSession", "server"))
    )
    assert f"{around.context.trace_id:032x}" == GIVEN.split("-")[1]
    assert f"{around.parent.span_id:016x}" == GIVEN.split("-")[2]
    assert asked.parent.span_id == around.context.span_id
    assert answered.parent.span_id == asked.context.span_id
    assert answer.session_id.split("-")[2] == f"{answered.context.span_id:016x}", "what is done inside is its child"
    assert dict(answered.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "lwmecps.env.v1.EnvService",
        "rpc.method": "CreateSession",
        "rpc.grpc.status_code": 0,
    }


@pytest.mark.parametrize(
    ("session", "code", "client", "server"), [("gone", 5, "NOT_FOUND", None), ("bad", 13, "INTERNAL", "INTERNAL")]
)
def test_a_call_that_fails_says_how_and_whose_fault_it_was(
    spans: Spans, session: str, code: int, client: str, server: str | None
) -> None:
    with _stub() as stub, pytest.raises(grpc.RpcError):
        stub.CloseSession(env_pb2.CloseSessionRequest(session_id=session))
    _wait(spans, 2)
    for kind, status in (("client", client), ("server", server)):
        span = spans.of("/CloseSession", kind)
        assert span.attributes["rpc.grpc.status_code"] == code
        assert (span.status.description, span.status.is_ok) == (status, status is None)


def test_a_stream_is_one_span_on_either_side_until_its_client_leaves(spans: Spans) -> None:
    sent: SimpleQueue[Any] = SimpleQueue()  # which stays open: a stream that has had all requests may end by itself
    with _stub() as stub:
        sent.put(env_pb2.StepStreamRequest(session_id="s", reset=env_pb2.Reset()))
        answers = stub.StepStream(iter(sent.get, None))
        next(answers)
        assert not list(spans), "it is still open"
        answers.cancel()
        sent.put(None)
        _wait(spans, 2)
    for kind in ("client", "server"):
        assert spans.of("/StepStream", kind).name == "lwmecps.env.v1.EnvService/StepStream"
    assert spans.of("/StepStream", "client").status.is_unset
    assert spans.of("/StepStream", "server").status.description == "seen inside", "the stream's own work is in its span"


def test_steps_and_checks_have_no_spans(spans: Spans) -> None:
    with _stub() as stub:
        action = env_pb2.StepSessionRequest(session_id="s")
        with pytest.raises(grpc.RpcError):
            stub.StepSession(action)
    assert not list(spans)


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        ({"traceparent": GIVEN, "tracestate": "a=b"}, {"traceparent": GIVEN, "tracestate": "a=b"}),
        ({"traceparent": "00-x", "tracestate": "a=b"}, {}),
        ({"traceparent": GIVEN, "tracestate": "ü"}, {"traceparent": GIVEN}),
        ({}, {}),
    ],
)
def test_the_gateway_passes_a_trace_on_that_is_one(headers: dict[str, str], passed: dict[str, str]) -> None:
    assert dict(metadata_of(_request(headers))) == passed


async def _answered(request: Request) -> Response:
    return PlainTextResponse(dict(metadata_of(request))["traceparent"])


def test_the_gateway_has_a_span_of_its_own_where_it_is_traced(spans: Spans) -> None:
    app = Starlette(routes=[route("/v1/runs", _answered, "GET"), route("/health", _answered, "GET")])

    async def ask(path: str) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get(path, headers={"traceparent": GIVEN})).text

    passed = asyncio.run(ask("/v1/runs")).split("-")
    span = spans.of("GET /v1/runs", "server")
    assert passed[1:3] == [GIVEN.split("-")[1], f"{span.context.span_id:016x}"]
    assert f"{span.parent.span_id:016x}" == GIVEN.split("-")[2]
    assert asyncio.run(ask("/health")) == GIVEN, "without a span it is passed on"


def _request(headers: dict[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "method": "GET", "path": "/"})
