"""Structured logs on stderr."""

import logging
import sys
from typing import Literal

import structlog

from services.common import tracing


def configure(log_format: Literal["console", "json"] = "console", log_level: str = "info", service: str = "") -> None:
    """Send the process's logs to stderr as one JSON object or one readable line each; `service` goes into each.

    Lines that are written within a span say which (`trace_id`, `span_id`).
    """
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        # Plain, because a rich traceback shows local variables: weights, tokens.
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *([tracing.log_ids] if tracing.is_on() else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if log_format == "json" else []),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[log_level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if tracing.is_on():
        logging.getLogger("opentelemetry").handlers = [_ToStructlog()]
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.contextvars.bind_contextvars(service=service)


class _ToStructlog(logging.Handler):
    """What a library says of itself, such as that nobody takes our spans, in our own form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(record.levelno, record.getMessage())
