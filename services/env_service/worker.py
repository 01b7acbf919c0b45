"""The process of a collection worker, which imports torch and the simulator once requests come or are announced.

`python -m services.env_service.worker --name NAME --redis-url URL` runs one until SIGTERM; it then finishes the request
it has. Any number may run, anywhere: what a worker answers depends on the request only.
"""

import argparse
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import redis
import structlog

from lwmecps_core.errors import NotFound, QueueUnavailable
from lwmecps_core.rollout.redis_queue import check_url, connect
from lwmecps_core.rollout.streams import wanted
from services.common import logs
from services.common.ending import ending
from services.common.settings import read, without_password
from services.common.starting import begin
from services.common.worker_reports import WorkerReport, send_report
from services.env_service.settings import WORKER_PREFIX, WorkerSettings

log = structlog.get_logger(__name__)


class Working(Protocol):
    """What works: `collecting.Worker`."""

    def run(self) -> None:
        """Work until the process shall end."""

    def heartbeat(self) -> None:
        """Tell the queue that the current request is still being worked on."""


class LateWorker:
    """A worker that `make` makes once `wanted`, which is asked every `poll_s`, says so; `done`: it ended as it should.

    A Redis that is away is waited for.
    """

    def __init__(
        self, make: Callable[[], Working], wanted: Callable[[], bool], stop: threading.Event, poll_s: float
    ) -> None:
        self._make, self._wanted, self._stop, self._poll_s = make, wanted, stop, poll_s
        self._worker: Working | None = None
        self.done = False

    def run(self) -> None:
        """Wait until there is something to do, and work."""
        while not self._stop.is_set() and not self._is_wanted():
            self._stop.wait(self._poll_s)
        if not self._stop.is_set():
            self._worker = self._make()
            self._worker.run()
        self.done = True

    def heartbeat(self) -> None:
        """See `Working`; who waits has no request."""
        if self._worker is not None:
            self._worker.heartbeat()

    def _is_wanted(self) -> bool:
        try:
            return self._wanted()
        except QueueUnavailable as error:
            log.warning("no request can be read", error=str(error))
            self._stop.wait(1.0)
            return False


def redis_worker(client: "redis.Redis", report: WorkerReport, stop: threading.Event, cfg: WorkerSettings) -> LateWorker:
    """A worker on a Redis, which tells in `report` what it is doing."""

    def make() -> Working:
        from services.env_service.collecting import open_worker

        return open_worker(report, client, stop, cfg)

    return LateWorker(make, lambda: wanted(client), stop, cfg.block_s)


def main() -> None:
    """Run one worker until SIGTERM or the end of the process that started it."""
    parser = argparse.ArgumentParser(prog="python -m services.env_service.worker", description=main.__doc__)
    parser.add_argument("--name", default=f"worker-{os.getpid()}", help="identifier, unique over all workers")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
    parser.add_argument("--parent", type=int, default=os.getppid(), help="pid of a process that it won't outlive")
    parser.add_argument("--log-format", default="console", choices=("console", "json"))
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    args = parser.parse_args()
    try:
        check_url(args.redis_url)
    except ValueError as error:
        parser.error(f"--redis-url: {error}")
    logs.configure(args.log_format, args.log_level, service=args.name)
    # One thread per process: the machine's cores are used by as many workers.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    settings = read(WorkerSettings, WORKER_PREFIX)
    stop = ending()
    client, report = connect(args.redis_url), WorkerReport(worker_id=args.name)
    worker = redis_worker(client, report, stop, settings)
    working = threading.Thread(target=worker.run, name="worker")
    log.info("worker started", redis=without_password(args.redis_url))
    working.start()
    while working.is_alive():
        _beat(worker, client, report)
        working.join(settings.heartbeat_s)
        if os.getppid() != args.parent:
            stop.set()
    _beat(worker, client, report)
    log.info("worker ended", requests=report.requests, transitions=report.transitions)
    gc.freeze()  # see `services.common.server.serve`
    raise SystemExit(not worker.done)


def _beat(worker: LateWorker, client: "redis.Redis", report: WorkerReport) -> None:
    with suppress(QueueUnavailable, NotFound):
        worker.heartbeat()
        send_report(client, report)


if __name__ == "__main__":
    begin(main, "collection-worker")
