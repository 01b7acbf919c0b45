"""The contract of the bounded work streams between learners and workers, whatever carries them."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput, QueueFull, Violation

MIB = 2**20


@config
class QueueLimits:
    """Bounds of one stream; `ttl_s` is how long an unused stream stays before it removes itself (0: for ever)."""

    max_entries: Annotated[int, Field(ge=1)] = 10_000
    max_bytes: Annotated[int, Field(ge=1)] = 256 * MIB
    max_deliveries: Annotated[int, Field(ge=1)] = 3
    max_dead: Annotated[int, Field(ge=1)] = 100
    ttl_s: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True)
class Entry:
    """One message as it was delivered: its payload of `size` bytes; `deliveries` counts from 1."""

    id: str
    payload: bytes
    size: int
    deliveries: int = 1

    def receipt(self) -> "Entry":
        """The entry without its payload: enough to acknowledge it later."""
        return replace(self, payload=b"")


@dataclass(frozen=True)
class QueueStats:
    """Entries and bytes in the stream; of the entries, those `pending` were read and not acknowledged yet.

    `dead` entries were given up and are not in the stream any more; at most `max_dead` of them are kept.
    """

    entries: int
    bytes: int
    pending: int
    dead: int

    @property
    def lag(self) -> int:
        """Entries that nobody has read yet."""
        return self.entries - self.pending


class WorkQueue(Protocol):
    """A bounded stream of messages with one consumer group: at-least-once delivery.

    Every implementation promises:
    * An entry stays until it is acknowledged or dead; nothing unread is ever trimmed, and neither `max_entries` nor
      `max_bytes` is ever exceeded.
    * `read` hands an entry to one consumer only; entries are read in the order of their publication.
    * An entry that its consumer neither acknowledges, fails nor touches for a while can be claimed by another; its
      `deliveries` goes up. After `max_deliveries` it is not delivered again but becomes a dead letter.
    * Any number of threads and processes may use one stream at a time.
    * A stream exists from `open` until `delete`; using one that does not exist raises `NotFound`.
    * A broker that can't be reached raises `QueueUnavailable`.
    """

    name: str
    limits: QueueLimits

    def open(self) -> None:
        """Create the stream unless it exists."""

    def exists(self) -> bool:
        """Whether the stream exists."""

    def publish(self, payloads: Sequence[bytes], deadline_s: float = 10.0) -> None:
        """Append messages, waiting up to `deadline_s` seconds for room.

        Raises `QueueFull` with those that did not fit in time (the others stay), `InvalidInput` when one alone is
        larger than the stream.
        """

    def read(self, consumer: str, count: int = 1, block_ms: int = 0) -> list[Entry]:
        """Up to `count` entries that nobody has read, waiting up to `block_ms` for the first."""

    def claim_stale(self, consumer: str, min_idle_ms: int, count: int = 1) -> list[Entry]:
        """Take over up to `count` entries that were delivered at least `min_idle_ms` ago and not touched since."""

    def touch(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Say that `consumer` still works on `entries`: their idle time starts again."""

    def ack(self, entries: Sequence[Entry]) -> int:
        """Acknowledge and delete; returns how many of them were still there."""

    def fail(self, consumer: str, entry: Entry, error: str, *, fatal: bool = False) -> bool:
        """Give an entry back after an error: it can be claimed at once.

        When it is `fatal`, or was the last delivery, the entry becomes a dead letter; returns whether it did.
        """

    def stats(self) -> QueueStats:
        """What the stream holds now."""

    def delete(self) -> None:
        """Remove the stream and all it holds."""


def unanswered(deliveries: int) -> str:
    """The error of an entry that was delivered too often by consumers that never answered."""
    return f"delivered {deliveries} times and never answered"


def publish_with_backoff(
    name: str,
    limits: QueueLimits,
    payloads: Sequence[bytes],
    deadline_s: float,
    offer: Callable[[Sequence[bytes]], list[bytes]],
) -> None:
    """Call `offer` (which returns what was refused) until all is accepted; pauses grow, with jitter, to 200 ms."""
    for payload in payloads:
        if len(payload) > limits.max_bytes:
            reason = f"{len(payload)} bytes; the whole stream holds {limits.max_bytes}"
            raise InvalidInput(name, [Violation("payload", reason)])
    end = time.monotonic() + deadline_s
    pause_s = 0.002
    rest = offer(payloads)
    while rest:
        left_s = end - time.monotonic()
        if left_s <= 0:
            text = f"{name}: {len(rest)} of {len(payloads)} messages did not fit within {deadline_s:g} s"
            raise QueueFull(text, rest)
        time.sleep(min(left_s, pause_s * random.uniform(0.5, 1.5)))
        pause_s = min(0.2, pause_s * 2)
        rest = offer(rest)
