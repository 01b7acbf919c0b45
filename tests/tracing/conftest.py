"""Spans of this process, which keeps them."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import tracing


class Spans:
    def __init__(self, kept: InMemorySpanExporter) -> None:
        self._kept = kept

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._kept.get_finished_spans())

    def of(self, name: str, kind: str) -> Any:
        """The one span whose name ends so."""
        found = [s for s in self if s.name.endswith(name) and s.kind.name == kind.upper()]
        assert len(found) == 1, [(s.name, s.kind.name) for s in self]
        return found[0]


@pytest.fixture(scope="session")
def _kept() -> InMemorySpanExporter:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)  # a process takes one
    return kept


@pytest.fixture
def spans(_kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Spans:
    """What this process is doing, as spans, as long as the test lasts."""
    _kept.clear()
    monkeypatch.setitem(tracing._state, "on", True)
    return Spans(_kept)
