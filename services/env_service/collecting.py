"""A collection worker: takes requests from the queue, runs the policy on simulated clusters, sends the rollouts back.

`worker.py` is its process, which imports this when there is something to do.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import redis
import structlog
import torch

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import InvalidInput, LwmecpsError, NotFound, QueueFull, QueueUnavailable
from lwmecps_core.rollout.chunks import take_tasks
from lwmecps_core.rollout.codec import decode_request, encode_batch, encode_failure
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.messages import CollectionRequest, Origin
from lwmecps_core.rollout.policy_store import CachedPolicies, PolicyStore, RedisPolicyStore
from lwmecps_core.rollout.queue import Entry, WorkQueue
from lwmecps_core.rollout.redis_queue import RedisQueue
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM
from lwmecps_core.rollout.unroll import unroll
from lwmecps_core.specs import TaskSpec
from services.common import tracing
from services.common.worker_reports import WorkerReport, WorkerState
from services.env_service.settings import WorkerSettings

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
        report: WorkerReport | None = None,
    ) -> None:
        self._requests, self._open_replies, self._unroll = requests, open_replies, unroll
        self._policies = CachedPolicies(store)
        self._stop = stop
        self._cfg = settings or WorkerSettings()
        self._epoch, self._sequence = time.time_ns(), 0
        self._current: Entry | None = None
        self._claimed_s = 0.0
        self.report = report or WorkerReport(worker_id=name)

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


def open_worker(report: WorkerReport, client: "redis.Redis", stop: threading.Event, settings: WorkerSettings) -> Worker:
    """A worker on the simulator and on a Redis, which goes on with `report`."""
    torch.set_num_threads(1)
    return Worker(
        report.worker_id,
        RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
        lambda stream: RedisQueue(client, stream, REPLY_LIMITS),
        RedisPolicyStore(client),
        unroll,
        stop,
        settings,
        report,
    )
