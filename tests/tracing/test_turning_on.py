"""Off unless the standard variables say so, which are honoured or refused; in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from services.common import tracing

from .collector import collecting

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:1"
USED = """
tracing.begin("a service")
logs.configure()
services.client.channel.open_channel("127.0.0.1:1")
with tracing.span("nothing"):
    tracing.past("nothing", 0, {})
    tracing.failed("nothing")
    assert tracing.traceparent() == ""
"""
WITHOUT_REDIS = ("services.cli.main", "services.task_registry.__main__", "services.gateway.__main__")
WITH_REDIS = ("services.cli.local", "services.env_service.worker", "services.learner_service.__main__")
"""Its client imports OpenTelemetry itself, where that is installed."""


def _python(code: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=clean | environ, capture_output=True, text=True, check=False)


def test_what_is_off_imports_nothing() -> None:
    code = f"""
import sys, services.client, {", ".join(WITHOUT_REDIS)}
from services.common import logs, tracing
{USED}
sys.exit(", ".join(name for name in sys.modules if name.startswith("opentelemetry")) or 0)
"""
    done = _python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_off_needs_nothing() -> None:
    code = f"""
import sys
sys.modules["opentelemetry"] = None
import services.client, {", ".join(WITH_REDIS)}
from services.common import logs, tracing
{USED}
"""
    done = _python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": URL}, False),
    ],
)
def test_a_place_to_send_traces_to_turns_them_on(environ: dict[str, str], on: bool) -> None:
    assert bool(tracing.wanted(environ)) is on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:99999"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tracing.begin("a service", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, name: value})
    assert [v.field for v in caught.value.violations] == [name]


def test_what_the_sdk_refuses_is_a_line() -> None:
    code = "from services.common.starting import begin\nbegin(lambda: None, 'a service')"
    done = _python(code, OTEL_EXPORTER_OTLP_ENDPOINT=URL, OTEL_BSP_SCHEDULE_DELAY="-1")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "OTEL_" in line and "schedule_delay_millis" in line


def test_without_the_packages_a_service_says_in_a_line_what_it_needs() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
from services.common.starting import begin
begin(lambda: None, "a service")
"""
    done = _python(code, OTEL_EXPORTER_OTLP_ENDPOINT=URL)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line and "pip install 'lwmecps[otel]'" in line


SPAN = "from services.common import tracing; tracing.begin('ours')\nwith tracing.span('s'): pass"


@pytest.mark.parametrize(
    ("given", "name"), [({}, "ours"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")], ids=["ours", "mine"]
)
def test_a_process_sends_its_spans_when_it_ends_under_its_name(given: dict[str, str], name: str) -> None:
    with collecting() as collector:
        done = _python(SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **given)
    assert (done.returncode, done.stderr) == (0, "")
    assert [(span.service, span.name, span.parent) for span in collector.spans] == [(name, "s", "")]


def test_a_collector_that_is_away_holds_no_process_up() -> None:
    began = time.monotonic()
    done = _python(SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=URL)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 0 and "traces can't be sent to OTEL_EXPORTER_OTLP_ENDPOINT: Failed to export" in line
    assert time.monotonic() - began < 8, "the SDK's own patience"


def test_nothing_is_sent_of_what_is_not_sampled() -> None:
    with collecting() as collector:
        _python(SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    assert collector.spans == []
