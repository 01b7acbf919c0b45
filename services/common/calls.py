"""What happens to every call before and after a service's own method: one interceptor.

In order: refuse calls that the guard does not let through, past their deadline, or beyond the limit of streams; check
the request against the rules in its contract; map what the method raises to a status; log and count. Everything that
does not depend on the call is looked up once per method, because the whole must stay cheap beside an empty call.
"""

import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status
from prometheus_client import Counter, Gauge, Histogram

from lwmecps_core.errors import InvalidInput, LwmecpsError, QueueFull, ServiceUnavailable, Violation
from services.client.tracing import OURS
from services.common import call_spans
from services.common.auth import HEALTH, AccessGuard
from services.common.errors import code_of, from_rpc_error, to_status
from services.common.texts import fields_with_nul

SECONDS = Histogram(
    "lwmecps_call_seconds",
    "Duration of calls.",
    ["method"],
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
CALLS = Counter("lwmecps_calls_total", "Calls that ended.", ["method", "code"])
STREAMS = Gauge("lwmecps_open_streams", "Streams that are open, of the methods that are streams.", ["method"])

_log = structlog.get_logger(__name__)
_validator = protovalidate.Validator()

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


class _Undecodable:
    """In place of a request whose bytes are no message of its method: gRPC itself would call that INTERNAL."""


def _tolerant(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            return _Undecodable()

    return read


def check(message: Message | _Undecodable) -> None:
    """Raise `InvalidInput` naming each field of `message` that breaks a rule of its contract, or holds a NUL."""
    if isinstance(message, _Undecodable):
        raise InvalidInput("request", [Violation(".", "the bytes are no message of this method")])
    if violations := _validator.collect_violations(message):
        raise InvalidInput("request", [Violation(_path(v.proto.field), v.proto.message) for v in violations])
    if wrong := [Violation(field, "must not hold the character NUL") for field in fields_with_nul(message)]:
        raise InvalidInput("request", wrong)


@dataclass
class Calls(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """The interceptor of one server; setting `draining` asks open streams to end."""

    max_streams: int
    max_streams_per_client: int
    guard: AccessGuard | None = None
    admits: Callable[[str], bool] = lambda client: True
    """Whether one more call can wait, of a client with this name (empty: unknown); asked right before it does."""
    draining: threading.Event = field(default_factory=threading.Event)
    _handlers: dict[str, Any] = field(default_factory=dict)
    _streams: Counts[str] = field(default_factory=Counts)
    """Streams that are open, by client."""
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, wrapped; unknown methods are left to gRPC."""
        method = handler_call_details.method
        refusal, client = None, ""
        if self.guard:
            refusal, client = self.guard(method, handler_call_details.invocation_metadata)
        if not self.admits(client) and not method.startswith(HEALTH):
            CALLS.labels("any", "RESOURCE_EXHAUSTED").inc()
            return _overload
        if refusal:
            return refusal
        if (known := self._handlers.get(method)) is not None:
            return known
        handler = continuation(handler_call_details)
        if handler is None or not method.startswith(OURS):
            return handler
        return self._handlers.setdefault(method, self._wrap(method, handler))

    def _wrap(self, method: str, handler: Any) -> Any:
        run = _Method(method)
        codecs = {
            "request_deserializer": _tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            behaviour = call_spans.answering(method, run.unary(handler.unary_unary))
            return grpc.unary_unary_rpc_method_handler(behaviour, **codecs)
        if handler.stream_unary:
            behaviour = call_spans.answering(method, run.unary(self._limited(run, handler.stream_unary), checked=False))
            return grpc.stream_unary_rpc_method_handler(behaviour, **codecs)
        if handler.unary_stream:
            behaviour = call_spans.streaming(method, self._streaming(run, handler.unary_stream, True))
            return grpc.unary_stream_rpc_method_handler(behaviour, **codecs)
        behaviour = call_spans.streaming(method, self._streaming(run, handler.stream_stream, False))
        return grpc.stream_stream_rpc_method_handler(behaviour, **codecs)

    def _limited(self, run: "_Method", behaviour: Behaviour) -> Behaviour:
        opened = STREAMS.labels(run.method)

        def upload(requests: Iterator[Message], context: grpc.ServicerContext) -> Any:
            with self._place(context), opened.track_inprogress():
                return behaviour(_checked(requests), context)

        return upload

    def _streaming(self, run: "_Method", behaviour: Behaviour, one_request: bool) -> Behaviour:
        opened = STREAMS.labels(run.method)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start = time.perf_counter()
            watched: Any = _Draining(context, self.draining)
            try:
                with self._place(context), opened.track_inprogress():
                    if one_request:
                        check(request)
                    yield from behaviour(request if one_request else _checked(request), watched)
                    if watched.told:
                        raise ServiceUnavailable("the server is shutting down")
                    run.done(start)
            except GeneratorExit:  # the caller hung up
                run.gone(start)
                raise
            except Exception as error:
                run.failed(error, context, start)

        return stream

    @contextmanager
    def _place(self, context: grpc.ServicerContext) -> Iterator[None]:
        """One of the server's streams, for as long as the context lasts."""
        if self.draining.is_set():
            raise ServiceUnavailable("the server is shutting down")
        client = self._client(context)
        with self._counting:
            if client and self._streams[client] >= self.max_streams_per_client:
                open_already = self._streams[client]
                raise QueueFull(f"{client} has {open_already} streams here already; end one, or try again later")
            if self._streams.total() >= self.max_streams:
                raise QueueFull(f"all {self.max_streams} streams of this server are in use; try again later")
            self._streams[client] += 1
        try:
            yield
        finally:
            with self._counting:
                self._streams[client] -= 1
                self._streams += Counts[str]()  # forgets clients without streams

    def _client(self, context: grpc.ServicerContext) -> str:
        """Who calls: the token's owner, else the certificate's, else the host, whatever its number of connections."""
        principal = self.guard.principal(context.invocation_metadata()) if self.guard else None
        if principal is not None:
            return principal.client
        certificate: Mapping[str, Any] = context.auth_context()
        for name in certificate.get("x509_common_name", ()):
            return str(name.decode(errors="replace"))
        return str(context.peer()).rpartition(":")[0]  # without its port


class _Method:
    """The part of the wrapping that is the same for all kinds of calls, with the method's counters at hand."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.seconds = SECONDS.labels(method)
        self.ok = CALLS.labels(method, "OK")

    def unary(self, behaviour: Behaviour, checked: bool = True) -> Behaviour:
        """`behaviour` for calls with one answer."""

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            start = time.perf_counter()
            try:
                if not context.is_active():
                    raise _Gone
                if checked:
                    check(request)
                answer = behaviour(request, context)
            except Exception as error:
                return self.failed(error, context, start)
            self.done(start)
            return answer

        return call

    def done(self, start: float) -> None:
        """Count a call that succeeded."""
        self.seconds.observe(time.perf_counter() - start)
        self.ok.inc()

    def gone(self, start: float) -> None:
        """Count a call whose caller no longer waits for it."""
        self.seconds.observe(time.perf_counter() - start)
        CALLS.labels(self.method, "CANCELLED").inc()

    def failed(self, error: Exception, context: grpc.ServicerContext, start: float) -> None:
        """Log and count a call that failed, and end it with the error's status."""
        if not context.is_active():  # the caller hung up, or its deadline has passed: nobody listens
            self.gone(start)
            return
        seconds = time.perf_counter() - start
        self.seconds.observe(seconds)
        if isinstance(error, grpc.RpcError):
            error = from_rpc_error(error)
        code = code_of(error)
        CALLS.labels(self.method, code.name).inc()
        if code is grpc.StatusCode.INTERNAL:
            _log.error("call failed", method=self.method, seconds=round(seconds, 6), exc_info=error)
        else:
            _log.info("call refused", method=self.method, code=code.name, error=str(error), seconds=round(seconds, 6))
        context.abort_with_status(rpc_status.to_status(to_status(error)))


class _Gone(LwmecpsError):
    """The caller hung up, or its deadline has passed, before the call began."""


class _Draining:
    """A call's context that is no longer active when the server drains, so that streams end by themselves."""

    def __init__(self, context: grpc.ServicerContext, draining: threading.Event) -> None:
        self._context, self._draining = context, draining
        self.told = False

    def is_active(self) -> bool:
        """Whether the stream should go on."""
        if self._draining.is_set():
            self.told = True
        return not self.told and bool(self._context.is_active())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _checked(requests: Iterator[Message]) -> Iterator[Message]:
    for request in requests:
        check(request)
        yield request


def _path(path: Any) -> str:
    """`spec.cluster.nodes[0].name` from protovalidate's path."""
    text = ""
    for element in path.elements if path else ():
        text += f".{element.field_name}"
        if element.subscript is not None:
            text += f"[{element.subscript.value}]"
    return text.lstrip(".") or "."


def _overloaded(_request: Any, context: grpc.ServicerContext) -> None:
    error = QueueFull("too many calls wait for this server already, or too many of yours; try again later")
    context.abort_with_status(rpc_status.to_status(to_status(error)))


# On threads of its own: those of the server are busy when this is the answer.
_overloaded.experimental_thread_pool = ThreadPoolExecutor(2, "refuse")  # type: ignore[attr-defined]
_overload = grpc.unary_unary_rpc_method_handler(_overloaded)
