"""Spans of calls, for programs that use OpenTelemetry; nothing of it is imported here before they have."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from services.client.metadata import with_metadata

TRACER = "lwmecps"
OURS = ("/lwmecps.", "/externalscaler.", "/inference.")
"""Methods of our own contracts, and of those of others that we serve."""
UNFOLLOWED = frozenset({"ClaimRun", "Heartbeat", "StepSession"})
"""Methods without spans: what is asked again and again, and a step, which costs little more than a span."""


def in_use() -> bool:
    """Whether this program has set up OpenTelemetry: loaded it, as others do too, and named who takes its spans."""
    trace = sys.modules.get("opentelemetry.trace")
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def followed(method: str) -> bool:
    """Whether calls of a method (`/package.Service/Method`) get spans."""
    return method.startswith(OURS) and method.rpartition("/")[2] not in UNFOLLOWED


def call_attributes(method: str) -> dict[str, str]:
    """What a call's span says, in the words of OpenTelemetry's conventions."""
    service, _, name = method.lstrip("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


class CallSpans(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Gives every call a span, until its status is known, and tells the server which (`traceparent`)."""

    def _with_span(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        method: str = details.method
        if not followed(method):
            return continuation(details, request)
        from opentelemetry import propagate, trace

        span = trace.get_tracer(TRACER).start_span(
            method.lstrip("/"), kind=trace.SpanKind.CLIENT, attributes=call_attributes(method)
        )
        told: dict[str, str] = {}
        propagate.inject(told, trace.set_span_in_context(span))
        call = continuation(with_metadata(details, told.items()), request)
        call.add_done_callback(partial(_end, span))
        return call

    intercept_unary_unary: Any = _with_span
    intercept_unary_stream: Any = _with_span
    intercept_stream_unary: Any = _with_span
    intercept_stream_stream: Any = _with_span


def _end(span: Any, call: Any) -> None:
    from opentelemetry.trace import StatusCode

    code = call.code()
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):  # who leaves a stream has seen enough of it
        span.set_status(StatusCode.ERROR, code.name)
    span.end()
