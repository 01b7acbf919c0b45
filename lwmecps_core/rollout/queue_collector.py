"""The collector whose work is done by others, behind a queue."""

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import config
from lwmecps_core.errors import CollectionStopped, CollectionTimeout, NotFound, QueueFull, QueueUnavailable
from lwmecps_core.rollout.assembly import Assembly
from lwmecps_core.rollout.chunks import TASKS_PER_CHUNK, chunks
from lwmecps_core.rollout.codec import make_request
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.inbox import Inbox, Ledger
from lwmecps_core.rollout.policy_store import FrozenSnapshot, PolicyStore, freeze
from lwmecps_core.rollout.queue import MIB, WorkQueue
from lwmecps_core.specs import Positive, TaskSpec


@config
class QueueCollectorConfig:
    """How a queue collector cuts its work and how long it waits.

    `timeout_s` and `ask_again_s` are times without any news; the second doubles each time. Delivered rollouts stay in
    the stream until `commit`, but at most `keep_bytes` of them: they can be asked for again and come out equal.
    """

    tasks_per_request: Annotated[int, Field(ge=1)] = TASKS_PER_CHUNK
    timeout_s: Positive = 300.0
    ask_again_s: Positive = 30.0
    max_policy_lag: Annotated[int, Field(ge=0)] = 0
    keep_bytes: Annotated[int, Field(ge=0)] = 64 * MIB
    read_count: Annotated[int, Field(ge=1)] = 64
    block_ms: Annotated[int, Field(ge=1)] = 100


@dataclass(frozen=True)
class Wait:
    """A collection that has had no news since `since_s` (of the monotonic clock): why, as far as the collector knows.

    `trouble` is what the broker said when it was asked last, `unsent` the requests that found no room there.
    """

    since_s: float
    trouble: str = ""
    unsent: int = 0


class QueueCollector:
    """`Collector` that publishes requests and assembles the rollouts that workers send back.

    One run uses one collector at a time, in one thread. `stop` is asked between waits; once it is true, `collect`
    raises `CollectionStopped`. What a former learner of the run left in the stream is used if it is asked for again.
    `trace` gives the trace that a collection belongs to (`traceparent`).
    """

    def __init__(
        self,
        run_id: str,
        requests: WorkQueue,
        replies: WorkQueue,
        store: PolicyStore,
        settings: QueueCollectorConfig | None = None,
        stop: Callable[[], bool] = lambda: False,
        trace: Callable[[], str] = lambda: "",
    ) -> None:
        self._run_id, self._requests, self._replies, self._store = run_id, requests, replies, store
        self._cfg = settings or QueueCollectorConfig()
        self._stop, self._trace = stop, trace
        self._inbox = Inbox(replies, self._cfg.keep_bytes, self._cfg.max_policy_lag)
        self.wait: Wait | None = None
        """What a collection that goes on waits for; may be read by other threads."""

    @property
    def ledger(self) -> Ledger:
        """What became of the transitions so far, in the life of the run."""
        return self._inbox.ledger

    def resume(self, ledger: Ledger) -> None:
        """Go on counting from the ledger in the checkpoint of a former learner of this run."""
        self._inbox.ledger = ledger.inherited()

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`; also raises `CollectionFailed` with a worker's error, and `CollectionStopped`."""
        frozen = freeze(snapshot)
        made = [
            make_request(self._run_id, part, frozen.ref, start, part_plan, self._replies.name, self._trace())
            for start, part, part_plan in chunks(tasks, plan, self._cfg.tasks_per_request)
        ]
        assembly = Assembly([request for request, _ in made])
        try:
            with self._inbox.expecting(assembly, snapshot.version):
                self._gather(assembly, {request.id: payload for request, payload in made}, frozen)
        finally:
            self.wait = None
        return assembly.result()

    def commit(self) -> None:
        """Acknowledge everything delivered so far: the update that used it is in a checkpoint."""
        self._inbox.commit()

    def close(self) -> None:
        """Remove what the run holds in the broker; while that is away, it is left to its time to live."""
        with suppress(QueueUnavailable):
            self._replies.delete()
            self._store.delete(self._run_id)

    def lag(self) -> int:
        """Rollout batches that wait unread in the run's stream; 0 while the broker is away."""
        with suppress(QueueUnavailable, NotFound):
            return self._replies.stats().lag
        return 0

    def _gather(self, assembly: Assembly, payloads: Mapping[str, bytes], snapshot: FrozenSnapshot) -> None:
        """Ask, wait, and ask again until nothing is missing; a broker that goes away is waited for."""
        unsent: deque[str] = deque()
        connected, lost, trouble = False, False, "no worker answered"
        quiet_since, ask_again_s = time.monotonic(), self._cfg.ask_again_s
        while missing := assembly.missing():
            if self._stop():
                raise CollectionStopped(f"run {self._run_id}: collection stopped")
            news = False
            try:
                if not connected:
                    self._connect(snapshot, again=lost)
                    unsent.extend(assembly.missing())
                    self.ledger.asked_again += len(unsent) if lost else 0
                    connected = True
                self._send(unsent, payloads)
                news = self._inbox.poll(self._cfg.read_count, self._cfg.block_ms)
            except (QueueUnavailable, NotFound) as error:
                lost, connected, trouble = lost or connected, False, str(error)
                unsent.clear()
                time.sleep(random.uniform(0.05, 0.2))
            quiet_s = time.monotonic() - quiet_since
            self.wait = Wait(quiet_since, "" if connected else trouble, len(unsent))
            if news:
                quiet_since, ask_again_s = time.monotonic(), self._cfg.ask_again_s
            elif quiet_s > self._cfg.timeout_s:
                reason = f"{len(unsent)} requests found no room in the queue" if unsent else trouble
                raise CollectionTimeout(
                    f"run {self._run_id}: {len(missing)} of {len(payloads)} requests got no rollouts within "
                    f"{self._cfg.timeout_s:g} s: {reason}"
                )
            elif quiet_s > ask_again_s and not unsent:
                ask_again_s *= 2
                connected, lost = False, True  # something was lost on the way, in either direction

    def _connect(self, snapshot: FrozenSnapshot, *, again: bool) -> None:
        self._requests.open()
        self._replies.open()
        self._store.put(self._run_id, snapshot)
        self._inbox.inherit(again)

    def _send(self, unsent: deque[str], payloads: Mapping[str, bytes]) -> None:
        """Publish what there is room for now."""
        try:
            while unsent:
                self._requests.publish([payloads[unsent[0]]], deadline_s=0)
                unsent.popleft()
        except QueueFull:
            time.sleep(random.uniform(0.005, 0.02))
