"""The learner's end of a run's rollout stream: every entry goes where it belongs, and is accounted for."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from lwmecps_core.errors import CollectionFailed, InvalidInput, NotFound, QueueUnavailable
from lwmecps_core.rollout.assembly import Assembly
from lwmecps_core.rollout.codec import decode_part
from lwmecps_core.rollout.messages import RolloutPart
from lwmecps_core.rollout.queue import Entry, WorkQueue

CONSUMER = "learner"


@dataclass
class Ledger:
    """What became of the transitions that reached a run's learner: made = used + dropped + queued, at any time.

    `duplicates`, `stale` (made by weights too old), `unfit` (of a shape that nobody asked for), `abandoned` (delivered
    to a collection that did not end well) and `leftover` (never asked for) are the reasons in `dropped`. `damaged`
    counts entries that could not be read, `asked_again` requests that were repeated, `released` transitions that left
    the stream before they were committed.
    """

    made: int = 0
    used: int = 0
    dropped: int = 0
    queued: int = 0
    duplicates: int = 0
    stale: int = 0
    unfit: int = 0
    abandoned: int = 0
    leftover: int = 0
    damaged: int = 0
    asked_again: int = 0
    released: int = 0

    def closed(self) -> "Ledger":
        """As it is once the run has ended: what still waits is dropped, because nobody will ask for it."""
        return replace(self, queued=0, dropped=self.dropped + self.queued, leftover=self.leftover + self.queued)

    def inherited(self) -> "Ledger":
        """As a successor goes on from it: what waits is in the stream, and is counted when it is read again."""
        return replace(self, made=self.made - self.queued, queued=0)


@dataclass(frozen=True)
class _Arrival:
    receipt: Entry
    transitions: int


class Inbox:
    """Reads a run's stream for one assembly after the other.

    What was delivered stays in the stream until `commit`, but at most `keep_bytes` of it: were the rest always kept, a
    learner that rarely commits would block its own workers. A learner that resumes asks for what is gone again.
    """

    def __init__(self, replies: WorkQueue, keep_bytes: int, max_policy_lag: int) -> None:
        self._replies, self._keep_bytes, self._max_lag = replies, keep_bytes, max_policy_lag
        self._kept: deque[_Arrival] = deque()
        self._kept_bytes = 0
        self._early: list[tuple[RolloutPart, _Arrival]] = []  # not asked for yet: made for a learner that is gone
        self._finished: list[Entry] = []
        self._unreadable: list[tuple[Entry, str]] = []
        self._inherited = False
        self._done: deque[str] = deque(maxlen=4096)
        self._oldest_version = 0
        self._assembly = Assembly([])
        self._delivered = 0
        self.ledger = Ledger()

    @contextmanager
    def expecting(self, assembly: Assembly, version: int) -> Iterator[None]:
        """Deliver to `assembly` inside the block; what it got counts as used if the block succeeds, else as dropped."""
        self._assembly, self._delivered = assembly, 0
        self._oldest_version = version - self._max_lag
        try:
            waiting, self._early = self._early, []
            for part, arrival in waiting:
                self._sort(part, arrival)
            yield
        except BaseException:
            self.ledger.queued -= self._delivered
            self.ledger.dropped += self._delivered
            self.ledger.abandoned += self._delivered
            raise
        else:
            self.ledger.queued -= self._delivered
            self.ledger.used += self._delivered
            self._done.extend(assembly.ids())
        finally:
            self._assembly = Assembly([])

    def inherit(self, again: bool = False) -> None:
        """Take in what was read and not committed, but never got here; once, unless `again`. Raises `CollectionFailed`.

        That is what a former learner of this run had read, or what the broker had sent when the connection broke.
        """
        if again or not self._inherited:
            found = self._replies.claim_stale(CONSUMER, 0, count=self._replies.limits.max_entries)
            self._inherited = True
            known = {entry.id for entry in self._finished} | {entry.id for entry, _ in self._unreadable}
            known |= {arrival.receipt.id for arrival in (*self._kept, *(arrival for _, arrival in self._early))}
            self._take([entry for entry in found if entry.id not in known])

    def poll(self, count: int, block_ms: int) -> bool:
        """Read up to `count` entries; whether any was news to the assembly. Raises `CollectionFailed`."""
        before = self._delivered
        self._take(self._replies.read(CONSUMER, count, block_ms))
        return self._delivered > before

    def commit(self) -> None:
        """Acknowledge all that was delivered; a broker that is away is told with the next entries."""
        self._finished.extend(arrival.receipt for arrival in self._kept)
        self._kept.clear()
        self._kept_bytes = 0
        with suppress(QueueUnavailable, NotFound):
            self._settle()

    def _take(self, entries: Sequence[Entry]) -> None:
        """Sort all entries before the broker is told, so that none is lost between when it fails."""
        failure = ""
        for entry in entries:
            try:
                part = decode_part(entry.payload)
            except InvalidInput as error:
                self._give_up(entry, error)
                continue
            if part.batch is None:
                self._finished.append(entry.receipt())
                failure = part.error if self._assembly.wants(part.request_id) else failure
                continue
            arrival = _Arrival(entry.receipt(), part.batch.reward.size)
            self.ledger.made += arrival.transitions
            self.ledger.queued += arrival.transitions
            self._sort(part, arrival)
        self._settle()
        if failure:
            raise CollectionFailed(failure)

    def _sort(self, part: RolloutPart, arrival: _Arrival) -> None:
        assert part.batch is not None
        if self._assembly.wants(part.request_id):
            self._deliver(part, arrival)
        elif part.request_id in self._done:
            self.ledger.duplicates += arrival.transitions
            self._drop(arrival)
        elif part.batch.policy_version < self._oldest_version:
            self.ledger.stale += arrival.transitions
            self._drop(arrival)
        else:
            self._early.append((part, arrival))

    def _deliver(self, part: RolloutPart, arrival: _Arrival) -> None:
        try:
            new = self._assembly.add(part)
        except InvalidInput as error:
            self.ledger.unfit += arrival.transitions
            self._drop(arrival)
            self._finished.pop()
            self._give_up(arrival.receipt, error)
            return
        if new:
            self._delivered += arrival.transitions
            self._keep(arrival)
        else:
            self.ledger.duplicates += arrival.transitions
            self._drop(arrival)

    def _keep(self, arrival: _Arrival) -> None:
        self._kept.append(arrival)
        self._kept_bytes += arrival.receipt.size
        while self._kept_bytes > self._keep_bytes:
            oldest = self._kept.popleft()
            self._kept_bytes -= oldest.receipt.size
            self.ledger.released += oldest.transitions
            self._finished.append(oldest.receipt)

    def _drop(self, arrival: _Arrival) -> None:
        self.ledger.queued -= arrival.transitions
        self.ledger.dropped += arrival.transitions
        self._finished.append(arrival.receipt)

    def _give_up(self, entry: Entry, error: InvalidInput) -> None:
        self.ledger.damaged += 1
        self._unreadable.append((entry, str(error)))

    def _settle(self) -> None:
        """Tell the broker what is finished with."""
        while self._unreadable:
            self._replies.fail(CONSUMER, *self._unreadable[-1], fatal=True)
            self._unreadable.pop()
        if self._finished:
            self._replies.ack(self._finished)
            self._finished.clear()
