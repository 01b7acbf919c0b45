"""A collection worker: takes requests from the queue, runs the policy on simulated clusters, sends the rollouts back.

`python -m services.env_service.worker --name NAME --redis-url URL` runs one until SIGTERM; it then finishes the request
it has. Any number may run, anywhere: what a worker answers depends on the request only.
"""

import argparse
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import InvalidInput, LwmecpsError, NotFound, QueueFull, QueueUnavailable
from lwmecps_core.rollout.chunks import take_tasks
from lwmecps_core.rollout.codec import decode_request, encode_batch, encode_failure
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.messages import CollectionRequest, Origin
from lwmecps_core.rollout.policy_store import CachedPolicies, PolicyStore, RedisPolicyStore
from lwmecps_core.rollout.queue import Entry, WorkQueue
from lwmecps_core.rollout.queue_collector import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM
from lwmecps_core.rollout.redis_queue import RedisQueue, check_url, connect
from lwmecps_core.specs import TaskSpec
from services.common import logs, tracing
from services.common.ending import ending
from services.common.settings import read, without_password
from services.common.starting import begin
from services.common.worker_reports import WorkerReport, WorkerState, send_report
from services.env_service.settings import WORKER_PREFIX, WorkerSettings

log = structlog.get_logger(__name__)

Unroll = Callable[[Sequence[TaskSpec], PolicySnapshot, CollectionPlan], list[RolloutBatch]]


class Worker:
    """Works until `stop` is set; `report` always tells what it is doing."""

    def __init__(
        self,
        name: str,
        requests: WorkQueue,
        open_replies: Callable[[str], WorkQueue],
        store: PolicyStore,
        unroll: Unroll,
        stop: threading.Event,
        settings: WorkerSettings | None = None,
    ) -> None:
        self._requests, self._open_replies, self._unroll = requests, open_replies, unroll
        self._policies = CachedPolicies(store)
        self._stop = stop
        self._cfg = settings or WorkerSettings()
        self._epoch, self._sequence = time.time_ns(), 0
        self._current: Entry | None = None
        self._claimed_s = 0.0
        self.report = WorkerReport(worker_id=name)

    def run(self) -> None:
        """Take one request after the other; a broker that is away is waited for."""
        connected = False
        while not self._stop.is_set():
            try:
                if not connected:
                    self._requests.open()
                    connected = True
                for entry in self._next():
                    self.handle(entry)
            except (QueueUnavailable, NotFound) as error:
                connected = False
                self._note_error(error)
                log.warning("no request can be read", error=str(error))
                self._stop.wait(1.0)
        self.report.state = WorkerState.STOPPED

    def heartbeat(self) -> None:
        """Tell the queue that the current request is still being worked on (called from another thread)."""
        entry = self._current
        if entry is not None:
            self._requests.touch(self.report.worker_id, [entry])

    def handle(self, entry: Entry) -> None:
        """Answer one request, or give it back (after the last try: up, and tell the learner why)."""
        try:
            request = decode_request(entry.payload)
        except InvalidInput as error:
            self._note_error(error)
            self._requests.fail(self.report.worker_id, entry, str(error), fatal=True)
            return
        facts = {"run_id": request.run_id, "request_id": request.id, "tasks": len(request.tasks)}
        facts |= {"policy_version": request.snapshot.version, "delivery": entry.deliveries}
        within = {"traceparent": request.traceparent}
        with self._working_on(entry), tracing.span("rollout", facts, within=within, kind="consumer"):
            replies = self._open_replies(request.reply_stream)
            try:
                self._answer(request, replies)
            except QueueUnavailable:
                raise
            except Exception as error:
                self._give_back(entry, request, replies, error)
            else:
                self._requests.ack([entry])

    def _next(self) -> list[Entry]:
        me, now_s = self.report.worker_id, time.monotonic()
        if now_s - self._claimed_s >= self._cfg.claim_every_s:
            self._claimed_s = now_s
            if stale := self._requests.claim_stale(me, int(self._cfg.claim_idle_s * 1000)):
                return stale
        return self._requests.read(me, block_ms=int(self._cfg.block_s * 1000))

    @contextmanager
    def _working_on(self, entry: Entry) -> Iterator[None]:
        self._current, self.report.state = entry, WorkerState.COLLECTING
        try:
            yield
        finally:
            self._current, self.report.state = None, WorkerState.IDLE
            self.report.last_active_s = time.time()

    def _answer(self, request: CollectionRequest, replies: WorkQueue) -> None:
        start_s = time.perf_counter()
        snapshot = self._snapshot(request) if replies.exists() else None
        if snapshot is None:
            self.report.abandoned += 1
            return
        batches = self._unroll(request.tasks, snapshot, request.plan)
        payloads: list[bytes] = []
        for task, batch in enumerate(batches):
            payloads += encode_batch(request.id, task, batch, self._origin(len(payloads)))
        self._publish(replies, payloads)
        self._sequence += len(payloads)
        transitions = sum(batch.reward.size for batch in batches)
        self.report.requests += 1
        self.report.batches += len(payloads)
        self.report.transitions += transitions
        self.report.transitions_per_s = transitions / (time.perf_counter() - start_s)

    def _snapshot(self, request: CollectionRequest) -> PolicySnapshot | None:
        """The weights for the request's tasks; None when newer ones have taken their place: nobody waits any more."""
        try:
            whole = self._policies.get(request.run_id, request.snapshot)
        except NotFound:
            return None
        return take_tasks(whole, request.first_task, request.first_task + len(request.tasks))

    def _publish(self, replies: WorkQueue, payloads: list[bytes]) -> None:
        """Send, waiting for room; a stream that its run has removed takes nothing more, and that is fine."""
        end_s = time.monotonic() + self._cfg.publish_timeout_s
        rest: Sequence[bytes] = payloads
        while rest:
            try:
                replies.publish(rest, deadline_s=0.5)
                return
            except QueueFull as error:
                self.report.state = WorkerState.BLOCKED
                rest = error.refused
                if self._stop.is_set() or time.monotonic() > end_s:
                    raise
            except NotFound:
                self.report.abandoned += 1
                return

    def _give_back(self, entry: Entry, request: CollectionRequest, replies: WorkQueue, error: Exception) -> None:
        self._note_error(error)
        tracing.failed(str(error))
        log.error(
            "request failed",
            request_id=request.id,
            run_id=request.run_id,
            delivery=entry.deliveries,
            error=str(error),
            exc_info=not isinstance(error, LwmecpsError),
        )
        text = f"{type(error).__name__}: {error}"
        # What can't be used now never can; anything else may be this worker's trouble.
        if self._requests.fail(self.report.worker_id, entry, text, fatal=isinstance(error, InvalidInput)):
            with suppress(QueueFull):
                self._publish(replies, [encode_failure(request.id, self._origin(0), text)])
                self._sequence += 1

    def _origin(self, ahead: int) -> Origin:
        return Origin(self.report.worker_id, self._epoch, self._sequence + ahead)

    def _note_error(self, error: Exception) -> None:
        self.report.errors += 1
        self.report.last_error = f"{type(error).__name__}: {error}"
        self.report.last_active_s = time.time()


def redis_worker(
    name: str, redis_url: str, unroll: Unroll, stop: threading.Event, settings: WorkerSettings
) -> tuple[Worker, Callable[[], None]]:
    """A worker on a Redis, and its heartbeat: call that every `settings.heartbeat_s` while the worker runs."""
    client = connect(redis_url)
    worker = Worker(
        name,
        RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
        lambda stream: RedisQueue(client, stream, REPLY_LIMITS),
        RedisPolicyStore(client),
        unroll,
        stop,
        settings,
    )

    def beat() -> None:
        with suppress(QueueUnavailable, NotFound):
            worker.heartbeat()
            send_report(client, worker.report)

    return worker, beat


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
    import torch

    from lwmecps_core.envs.vector import warm_up
    from lwmecps_core.rollout.unroll import unroll

    torch.set_num_threads(1)
    warm_up()
    settings = read(WorkerSettings, WORKER_PREFIX)
    stop = ending()
    worker, beat = redis_worker(args.name, args.redis_url, unroll, stop, settings)
    working = threading.Thread(target=worker.run, name="worker")
    log.info("worker started", redis=without_password(args.redis_url))
    working.start()
    while working.is_alive():
        beat()
        working.join(settings.heartbeat_s)
        if os.getppid() != args.parent:
            stop.set()
    beat()
    log.info("worker ended", requests=worker.report.requests, transitions=worker.report.transitions)
    gc.freeze()  # see `services.common.server.serve`


if __name__ == "__main__":
    begin(main, "collection-worker")
