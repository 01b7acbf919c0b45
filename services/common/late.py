"""Parts of a process that are made when they are first needed, since what they import takes time and memory."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Late(Generic[T]):
    """What `make` returns, made by the first thread that calls this; the others wait for it.

    A `make` that fails ends the process, as it would have at its start: SIGTERM drains it, and `check` raises.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._failure: BaseException | None = None
        self.made: T | None = None
        """None: nobody has asked for it."""

    def __call__(self) -> T:
        """The part."""
        if self.made is not None:
            return self.made
        with self._lock:
            self.check()
            if self.made is None:
                try:
                    self.made = self._make()
                except BaseException as error:
                    self._failure = error
                    os.kill(os.getpid(), signal.SIGTERM)
                    raise
            return self.made

    def check(self) -> None:
        """Raise what making it raised, if it did."""
        if self._failure is not None:
            raise self._failure


class LateServicer:
    """A gRPC servicer whose methods are those of the one that `find` returns, which is asked at each call."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, method: str) -> Callable[[Any, Any], Any]:
        return lambda request, context: getattr(self._find(), method)(request, context)
