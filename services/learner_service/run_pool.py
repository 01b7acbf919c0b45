"""A pool of run slots: each claims a run, works on it, and claims the next."""

import random
import threading
import time
from collections.abc import Callable

import structlog

from lwmecps_core.errors import LwmecpsError
from services.common import memory
from services.learner_service.jobs import Job, JobRegistry

log = structlog.get_logger(__name__)


Work = Callable[[Job, threading.Event], None]
"""Works on a claimed run until it ends, must stop, or the event is set (see `Workshop.work`)."""


class RunPool:
    """`count` threads that work on the registry's runs, from `start` until `stop`."""

    def __init__(self, registry: JobRegistry, work: Work, count: int, poll_every_s: float = 0.5) -> None:
        self._registry, self._work, self._poll_every_s = registry, work, poll_every_s
        self._shutdown = threading.Event()
        self._wake = threading.Condition()
        self._threads = [threading.Thread(target=self._serve, name=f"slot-{i}", daemon=True) for i in range(count)]

    @property
    def shutdown(self) -> threading.Event:
        """Set once the slots must come to an end."""
        return self._shutdown

    @property
    def busy(self) -> bool:
        """Whether a slot has not come to its end."""
        return any(thread.is_alive() for thread in self._threads)

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
        return not self.busy

    def _serve(self) -> None:
        while not self._shutdown.is_set():
            try:
                job = self._registry.claim()
                if job is not None:
                    self._work(job, self._shutdown)
                    memory.give_back()
                    continue
            except LwmecpsError as error:
                log.warning("no run can be claimed", error=str(error))
            except Exception:
                log.exception("a slot recovered from an error")
            with self._wake:
                if not self._shutdown.is_set():
                    self._wake.wait(self._poll_every_s * random.uniform(0.75, 1.25))
