"""Spans of the calls that a server answers, under those of who called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from services.client.tracing import call_attributes, followed
from services.common import tracing

_CODE = grpc.StatusCode
FAULTS = {
    *(_CODE.UNKNOWN, _CODE.DEADLINE_EXCEEDED, _CODE.UNIMPLEMENTED),
    *(_CODE.INTERNAL, _CODE.UNAVAILABLE, _CODE.DATA_LOSS),
}
"""What is the server's fault, by OpenTelemetry's conventions."""
Behaviour = Callable[[Any, grpc.ServicerContext], Any]


def answering(method: str, behaviour: Behaviour) -> Behaviour:
    """`behaviour` of a call with one answer, in a span; itself where there are none."""
    if not (tracing.is_on() and followed(method)):
        return behaviour

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        with _span(method, context):
            return behaviour(request, context)

    return answer


def streaming(method: str, behaviour: Behaviour) -> Behaviour:
    """`behaviour` of a call with many answers, likewise: its span is as long as the stream."""
    if not (tracing.is_on() and followed(method)):
        return behaviour

    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _span(method, context):
            yield from behaviour(request, context)

    return stream


@contextmanager
def _span(method: str, context: Any) -> Iterator[None]:
    from opentelemetry import propagate, trace

    told = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
    with trace.get_tracer(tracing.TRACER).start_as_current_span(
        method.lstrip("/"),
        propagate.extract(told),
        kind=trace.SpanKind.SERVER,
        attributes=call_attributes(method),
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield
        finally:
            code = context.code() or (_CODE.OK if context.is_active() else _CODE.CANCELLED)
            made.set_attribute("rpc.grpc.status_code", code.value[0])
            if code in FAULTS:
                made.set_status(trace.StatusCode.ERROR, code.name)
