"""Traces by OpenTelemetry: off unless its standard variables say where to send them; until then nothing is imported.

What happens is told in spans: calls, and of a run its claim, every collection, and every worker's part of one. Which
trace a run belongs to is kept with the run, and travels in the requests to workers.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from lwmecps_core.errors import InvalidInput, Violation

TRACER = "lwmecps"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
EXPORTER = "OTEL_TRACES_EXPORTER"
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
TIMEOUT_S = 2.0
"""How long a batch of spans is offered to a collector that doesn't answer, at a process's end too."""
SENDER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
EXTRA = "needs the extra `otel`: pip install 'lwmecps[otel]', or unset it"
_state = {"on": False}


def wanted(environ: Mapping[str, str] = os.environ) -> str:
    """The variable that asks for traces; empty: none does, or they are turned off."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get(EXPORTER) == "none":
        return ""
    return next((name for name in ENDPOINTS if environ.get(name)), "")


def check(environ: Mapping[str, str] = os.environ) -> str:
    """As `wanted`; raises `InvalidInput` naming each variable that asks for traces in a way that we don't send them."""
    only = {EXPORTER: "otlp"} | dict.fromkeys(PROTOCOLS, PROTOCOL)
    variable = wanted(environ)
    wrong = [name for name, value in only.items() if variable and environ.get(name, value) != value]
    if wrong:
        raise InvalidInput("environment", [Violation(name, f"only {only[name]} is spoken here") for name in wrong])
    if variable and not _is_url(environ[variable]):
        reason = f"{environ[variable]!r} is no URL such as http://127.0.0.1:4318"
        raise InvalidInput("environment", [Violation(variable, reason)])
    try:
        if variable:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
    except ImportError:
        raise InvalidInput("environment", [Violation(variable, EXTRA)]) from None
    return variable


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def begin(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Trace this process, under the name of `service`, if variables ask for it.

    Spans are sent from a thread of its own, in batches, and at the process's end. To be called before channels are
    opened. Raises `InvalidInput` naming the variable that can't be followed.
    """
    variable = check(environ)
    if variable and not is_on():
        try:
            _set_up(service, None if any(environ.get(name) for name in TIMEOUTS) else TIMEOUT_S)
        except (ValueError, OSError) as error:
            raise InvalidInput("environment", [Violation("OTEL_…", f"can't be followed: {error}")]) from None
        logging.getLogger(SENDER).addFilter(_Lost(variable))
        _state["on"] = True


class _Lost(logging.Filter):
    """Of what is logged about sending spans, one line when a batch is lost, with the variable that says where to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = f"traces can't be sent to {self.name}: {record.getMessage()}", ()
        return record.levelno >= logging.ERROR


def _set_up(service: str, timeout_s: float | None) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": service, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout_s)))
    trace.set_tracer_provider(provider)


def is_on() -> bool:
    """Whether this process is traced."""
    return _state["on"]


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    within: Mapping[str, str] | None = None,
    kind: str = "internal",
    brief: bool = False,
) -> Iterator[None]:
    """A span of what is done inside, under the one that the headers `within` tell, or without them the one around it.

    A `brief` one ends, and is sent, at once: what comes after hangs on a span that is known even if this process is
    killed.
    """
    if not is_on():
        yield
        return
    from opentelemetry import trace

    around = None if within is None else _w3c().extract(within)
    made = trace.get_tracer(TRACER).start_span(
        name, around, kind=trace.SpanKind[kind.upper()], attributes=dict(attributes or {})
    )
    if brief:
        made.end()
    with trace.use_span(made, end_on_exit=not brief, record_exception=False):
        yield


def past(name: str, began_ns: int, attributes: Mapping[str, Any], failure: str = "") -> None:
    """A span that began at `began_ns` (since 1970), and ends now; `failure` says what went wrong."""
    if is_on():
        from opentelemetry import trace

        made = trace.get_tracer(TRACER).start_span(name, start_time=began_ns, attributes=dict(attributes))
        if failure:
            made.set_status(trace.StatusCode.ERROR, failure)
        made.end()


def failed(text: str) -> None:
    """What is done in the span around this went wrong."""
    if is_on():
        from opentelemetry import trace

        trace.get_current_span().set_status(trace.StatusCode.ERROR, text)


def traceparent() -> str:
    """The span around this, in W3C's form; empty without one."""
    return headers().get("traceparent", "")


def headers() -> dict[str, str]:
    """The headers by which a request from here tells its trace, in W3C's form."""
    carrier: dict[str, str] = {}
    if is_on():
        _w3c().inject(carrier)
    return carrier


def log_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of logs: lines within a span say which."""
    if is_on():
        from opentelemetry import trace

        if (context := trace.get_current_span().get_span_context()).is_valid:
            event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return event


def _w3c() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
