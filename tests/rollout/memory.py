"""The rollout path's queue and store inside one process: what takes Redis' place where a test needs none of it."""

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lwmecps_core.errors import NotFound
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.rollout.messages import SnapshotRef
from lwmecps_core.rollout.policy_store import KEEP, FrozenSnapshot, thaw
from lwmecps_core.rollout.queue import Entry, QueueLimits, QueueStats, publish_with_backoff, unanswered


@dataclass(frozen=True)
class DeadLetter:
    """An entry that was given up, and why."""

    payload: bytes
    error: str
    deliveries: int


@dataclass
class _Pending:
    entry: Entry
    consumer: str
    since: float


class MemoryQueue:
    """`WorkQueue` in this process's memory; without time to live."""

    def __init__(self, name: str = "memory", limits: QueueLimits | None = None) -> None:
        self.name = name
        self.limits = limits or QueueLimits()
        self._changed = threading.Condition()
        self._ids = itertools.count()
        self._exists = False
        self._clear()

    def _clear(self) -> None:
        self._unread: deque[Entry] = deque()
        self._pending: dict[str, _Pending] = {}
        self.dead: deque[DeadLetter] = deque(maxlen=self.limits.max_dead)
        self._bytes = 0

    def _check(self) -> None:
        if not self._exists:
            raise NotFound("queue", self.name)

    def open(self) -> None:
        """Create the stream unless it exists."""
        with self._changed:
            self._exists = True

    def exists(self) -> bool:
        """Whether the stream exists."""
        return self._exists

    def publish(self, payloads: Sequence[bytes], deadline_s: float = 10.0) -> None:
        """Append messages, waiting for room."""
        publish_with_backoff(self.name, self.limits, payloads, deadline_s, self._offer)

    def _offer(self, payloads: Sequence[bytes]) -> list[bytes]:
        refused = []
        with self._changed:
            self._check()
            for payload in payloads:
                full = len(self._unread) + len(self._pending) >= self.limits.max_entries
                if full or self._bytes + len(payload) > self.limits.max_bytes:
                    refused.append(payload)
                    continue
                self._bytes += len(payload)
                self._unread.append(Entry(str(next(self._ids)), payload, len(payload), 0))
            self._changed.notify_all()
        return refused

    def read(self, consumer: str, count: int = 1, block_ms: int = 0) -> list[Entry]:
        """Up to `count` unread entries."""
        with self._changed:
            self._check()
            self._changed.wait_for(lambda: self._unread or not self._exists, block_ms / 1000)
            self._check()
            return [self._deliver(self._unread.popleft(), consumer) for _ in range(min(count, len(self._unread)))]

    def _deliver(self, entry: Entry, consumer: str) -> Entry:
        delivered = replace(entry, deliveries=entry.deliveries + 1)
        self._pending[entry.id] = _Pending(delivered, consumer, time.monotonic())
        return delivered

    def claim_stale(self, consumer: str, min_idle_ms: int, count: int = 1) -> list[Entry]:
        """Take over entries whose consumer has gone quiet."""
        with self._changed:
            self._check()
            before = time.monotonic() - min_idle_ms / 1000
            claimed: list[Entry] = []
            for pending in [p for p in self._pending.values() if p.since <= before]:
                if len(claimed) == count:
                    break
                if pending.entry.deliveries >= self.limits.max_deliveries:
                    self._bury(pending.entry, unanswered(pending.entry.deliveries))
                else:
                    claimed.append(self._deliver(pending.entry, consumer))
            return claimed

    def touch(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Restart the idle time of `entries`."""
        with self._changed:
            for entry in entries:
                if (pending := self._pending.get(entry.id)) and pending.consumer == consumer:
                    pending.since = time.monotonic()

    def ack(self, entries: Sequence[Entry]) -> int:
        """Acknowledge and delete."""
        with self._changed:
            self._check()
            return sum(self._remove(entry) for entry in entries)

    def _remove(self, entry: Entry) -> bool:
        removed = self._pending.pop(entry.id, None)
        self._bytes -= removed.entry.size if removed else 0
        return removed is not None

    def fail(self, consumer: str, entry: Entry, error: str, *, fatal: bool = False) -> bool:
        """Give an entry back, or up."""
        with self._changed:
            self._check()
            if fatal or entry.deliveries >= self.limits.max_deliveries:
                self._bury(entry, error)
                return True
            if (pending := self._pending.get(entry.id)) and pending.consumer == consumer:
                pending.since = float("-inf")
            return False

    def _bury(self, entry: Entry, error: str) -> None:
        if self._remove(entry):
            self.dead.append(DeadLetter(entry.payload, error, entry.deliveries))

    def stats(self) -> QueueStats:
        """What the stream holds now."""
        with self._changed:
            self._check()
            entries = len(self._unread) + len(self._pending)
            return QueueStats(entries, self._bytes, len(self._pending), len(self.dead))

    def delete(self) -> None:
        """Remove the stream and all it holds."""
        with self._changed:
            self._exists = False
            self._clear()
            self._changed.notify_all()


class MemoryPolicyStore:
    """`PolicyStore` in this process's memory."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._runs: dict[str, OrderedDict[str, bytes]] = {}

    def put(self, run_id: str, snapshot: FrozenSnapshot) -> None:
        """Store a snapshot as the newest."""
        with self._lock:
            kept = self._runs.setdefault(run_id, OrderedDict())
            kept[snapshot.ref.hash] = snapshot.data
            kept.move_to_end(snapshot.ref.hash)
            while len(kept) > self._keep:
                kept.popitem(last=False)

    def get(self, run_id: str, ref: SnapshotRef) -> PolicySnapshot:
        """The snapshot that `ref` names."""
        with self._lock:
            data = self._runs.get(run_id, OrderedDict()).get(ref.hash)
        if data is None:
            raise NotFound("policy snapshot", ref.hash)
        return thaw(data)

    def delete(self, run_id: str) -> None:
        """Remove a run's snapshots."""
        with self._lock:
            self._runs.pop(run_id, None)
