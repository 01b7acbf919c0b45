"""The last lines that this process has logged about each run."""

import threading
from collections import OrderedDict, deque
from typing import Any

import structlog

LINES, RUNS = 100, 1000
"""Kept of a run, and runs of which any are."""
FIRST = ("timestamp", "level", "event")


class RunLogs:
    """A processor of structlog that keeps what is logged with a `run_id`, and changes nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, deque[str]] = OrderedDict()

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Keep a line."""
        if run_id := event.get("run_id"):
            line = _line(event)
            with self._lock:
                self._kept.setdefault(run_id, deque(maxlen=LINES)).append(line)
                self._kept.move_to_end(run_id)
                if len(self._kept) > RUNS:
                    self._kept.popitem(last=False)
        return event

    def attach(self) -> None:
        """See all that is logged from now on, as the last before it is written."""
        *others, render = structlog.get_config()["processors"]
        structlog.configure(processors=[*others, self, render])

    def read(self, run_id: str) -> list[str]:
        """The last lines about a run, the oldest first; none of a run that this process has not worked on."""
        with self._lock:
            return list(self._kept.get(run_id, ()))


def _line(event: structlog.typing.EventDict) -> str:
    said = [str(event[name]) for name in FIRST if name in event]
    known = (*FIRST, "run_id", "service", "exception", "exc_info")
    said += [f"{name}={value}" for name, value in event.items() if name not in known]
    return " ".join(" ".join(said).split())
