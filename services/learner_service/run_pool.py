"""A pool of run slots: each claims a run, works on it, and claims the next."""

import random
import threading
import time

import structlog

from lwmecps_core.errors import LwmecpsError
from services.learner_service.runs import RunSession, Workshop

log = structlog.get_logger(__name__)


class RunPool:
    """`count` threads that work on runs, from `start` until `stop`."""

    def __init__(self, workshop: Workshop, count: int, poll_every_s: float = 0.5) -> None:
        self._workshop, self._poll_every_s = workshop, poll_every_s
        self._shutdown = threading.Event()
        self._wake = threading.Condition()
        self._threads = [threading.Thread(target=self._serve, name=f"slot-{i}", daemon=True) for i in range(count)]

    @property
    def shutdown(self) -> threading.Event:
        """Set once the slots must come to an end."""
        return self._shutdown

    def start(self) -> None:
        """Begin to claim runs."""
        for thread in self._threads:
            thread.start()

    def nudge(self) -> None:
        """Look for runs now: one was just created."""
        with self._wake:
            self._wake.notify_all()

    def stop(self, timeout_s: float) -> bool:
        """Let go of all runs with their state saved; whether that was done in time."""
        self._shutdown.set()
        self.nudge()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        while not self._shutdown.is_set():
            try:
                job = self._workshop.registry.claim()
                if job is not None:
                    RunSession(job, self._workshop, self._shutdown).work()
                    continue
            except LwmecpsError as error:
                log.warning("no run can be claimed", error=str(error))
            except Exception:
                log.exception("a slot recovered from an error")
            with self._wake:
                if not self._shutdown.is_set():
                    self._wake.wait(self._poll_every_s * random.uniform(0.75, 1.25))
