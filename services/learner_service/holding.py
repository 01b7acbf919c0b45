"""Holding on to a claimed run: reasons to stop, and the signs of life that keep its lease."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

import structlog

from lwmecps_core.errors import Conflict
from services.learner_service.jobs import Wish

log = structlog.get_logger(__name__)


class Stop(IntEnum):
    """Why a run must stop; the highest reason wins."""

    NO = 0
    SHUTDOWN = 1
    PAUSE = 2
    CANCEL = 3
    LOST = 4


class StopSignal:
    """A reason to stop that several threads may raise."""

    def __init__(self, shutdown: threading.Event) -> None:
        self._shutdown = shutdown
        self._reason = Stop.NO
        self._lock = threading.Lock()

    @property
    def reason(self) -> Stop:
        """The highest reason so far."""
        return max(self._reason, Stop.SHUTDOWN if self._shutdown.is_set() else Stop.NO)

    def __call__(self) -> bool:
        """Whether the run must stop."""
        return self.reason is not Stop.NO

    def demand(self, reason: Stop) -> None:
        """Ask for a stop."""
        with self._lock:
            self._reason = max(self._reason, reason)

    def hear(self, wish: Wish) -> None:
        """Turn what the registry answered into a reason."""
        self.demand({Wish.PAUSE: Stop.PAUSE, Wish.CANCEL: Stop.CANCEL}.get(wish, Stop.NO))


@contextmanager
def heartbeats(beat: Callable[[], Wish], stop: StopSignal, every_s: float) -> Iterator[None]:
    """Keep the lease from a thread of its own while the body runs."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(every_s):
            try:
                stop.hear(beat())
            except Conflict:
                stop.demand(Stop.LOST)
                return
            except Exception as error:  # the next beat may succeed; the lease is what decides
                log.debug("heartbeat failed", error=str(error))

    thread = threading.Thread(target=keep, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=every_s + 1.0)
