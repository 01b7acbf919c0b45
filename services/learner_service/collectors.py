"""Collectors of runs: rollouts made by the collection workers behind Redis."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Protocol

import redis

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import QueueUnavailable
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.rollout.inbox import Ledger
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector, QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import RedisQueue
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from lwmecps_core.specs import TaskSpec
from services.common import tracing
from services.common.worker_reports import read_reports
from services.learner_service.counted import EVENTS, FATES, LAG, ROLLOUT_EVENTS, TRANSITIONS

TOLD_EVERY_S = 5
"""A run that waits says for how long in steps of so much."""


class RunCollector(Collector, Protocol):
    """A collector that belongs to one run."""

    def ledger(self) -> Ledger | None:
        """What became of the run's transitions so far; None where nothing can be lost on the way."""

    def waiting_for(self) -> str:
        """What a collection that goes on waits for, in words; empty for nothing. Asked from another thread."""

    def resume(self, ledger: Ledger) -> None:
        """Go on counting from a former learner's ledger."""

    def commit(self) -> None:
        """What was delivered so far is in a checkpoint."""

    def close(self, *, ended: bool) -> None:
        """Let go; `ended` removes what the run holds, else another learner may go on with it."""


OpenCollector = Callable[[str, Callable[[], bool], int], RunCollector]
"""Opens a run's collector, given its id, a question to ask while waiting (must it stop?), and the fencing token."""


class RedisCollectors:
    """Opens collectors over one Redis server; call it as an `OpenCollector`."""

    def __init__(self, client: "redis.Redis", settings: QueueCollectorConfig) -> None:
        self._client, self._settings = client, settings

    def __call__(self, run_id: str, stop: Callable[[], bool], token: int) -> "MeteredCollector":
        requests = RedisQueue(self._client, REQUEST_STREAM, REQUEST_LIMITS)
        replies = RedisQueue(self._client, reply_stream(run_id), REPLY_LIMITS, token)
        store = RedisPolicyStore(self._client, token=token)
        inner = QueueCollector(run_id, requests, replies, store, self._settings, stop, tracing.traceparent)
        return MeteredCollector(run_id, inner, lambda: len(read_reports(self._client)))


class MeteredCollector:
    """A `RunCollector` over a queue whose ledger and lag are Prometheus metrics; `workers` counts those that report."""

    def __init__(self, run_id: str, inner: QueueCollector, workers: Callable[[], int] = lambda: 0) -> None:
        self._run_id, self._inner, self._workers = run_id, inner, workers
        self._published = replace(inner.ledger)

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """As `QueueCollector.collect`."""
        try:
            return self._inner.collect(tasks, snapshot, plan)
        finally:
            self._publish()

    def ledger(self) -> Ledger:
        """What became of the run's transitions so far."""
        return replace(self._inner.ledger)

    def waiting_for(self) -> str:
        """See `RunCollector`; a wait that has only begun is none."""
        wait = self._inner.wait
        waited_s = int(time.monotonic() - wait.since_s) // TOLD_EVERY_S * TOLD_EVERY_S if wait else 0
        if wait is None or not waited_s:
            return ""
        if wait.trouble:
            return f"Redis, for {waited_s} s: {wait.trouble}"
        try:
            workers = self._workers()
        except QueueUnavailable as error:
            return f"Redis, for {waited_s} s: {error}"
        if not workers:
            return f"a worker: none has reported for {waited_s} s"
        if wait.unsent:
            return f"room in the queue of requests, for {waited_s} s: {wait.unsent} are not sent"
        return f"rollouts: no batch from {workers} workers for {waited_s} s"

    def resume(self, ledger: Ledger) -> None:
        """Go on counting from a former learner's ledger, which that learner has published."""
        self._inner.resume(ledger)
        self._published = replace(self._inner.ledger)

    def commit(self) -> None:
        """Acknowledge what was delivered."""
        self._inner.commit()
        LAG.labels(self._run_id).set(self._inner.lag())

    def close(self, *, ended: bool) -> None:
        """Remove the run's stream and snapshots if it has ended."""
        self._publish()
        with suppress(KeyError):
            LAG.remove(self._run_id)
        if ended:
            self._inner.close()

    def _publish(self) -> None:
        now, before = asdict(self._inner.ledger), asdict(self._published)
        for name in FATES:
            TRANSITIONS.labels(name).inc(now[name] - before[name])
        for name in ROLLOUT_EVENTS:
            EVENTS.labels(name).inc(now[name] - before[name])
        self._published = replace(self._inner.ledger)
