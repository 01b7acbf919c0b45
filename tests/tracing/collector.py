"""An OTLP collector of the tests' own: it keeps what it is sent, and prints traces as trees."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    failed: str
    attributes: dict[str, Any]


class CollectorDouble:
    def __init__(self, url: str) -> None:
        self.url = url
        self._spans: list[CollectedSpan] = []
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send traces here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    @property
    def spans(self) -> list[CollectedSpan]:
        with self._lock:
            return sorted(self._spans, key=lambda span: span.start_ns)

    def take(self, body: bytes) -> None:
        found = [
            _span(resource, span)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += found

    def named(self, name: str, service: str = "") -> list[CollectedSpan]:
        return [s for s in self.spans if s.name.endswith(name) and service in ("", s.service)]

    def wait(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, "\n".join(self.tree())
            time.sleep(0.02)

    def tree(self, trace: str = "") -> list[str]:
        """A line for each span, below its parent."""
        shown = [span for span in self.spans if trace in ("", span.trace)]
        known = {span.id for span in shown}

        def lines(parent: CollectedSpan | None, depth: int) -> Iterator[str]:
            for span in shown:
                if span.parent == parent.id if parent else span.parent not in known:
                    ms = (span.end_ns - span.start_ns) / 1e6
                    yield f"{'  ' * depth}{span.service}: {span.name}  {ms:.1f} ms"
                    yield from lines(span, depth + 1)

        return list(lines(None, 0))


@contextmanager
def collecting() -> Iterator[CollectorDouble]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            double.take(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double = CollectorDouble(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield double
        server.shutdown()


def _span(resource: Any, span: Any) -> CollectedSpan:
    about = {a.key: a.value.string_value for a in resource.resource.attributes}
    attributes = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
    return CollectedSpan(
        service=about["service.name"],
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.message if span.status.code == 2 else "",
        attributes=attributes,
    )
