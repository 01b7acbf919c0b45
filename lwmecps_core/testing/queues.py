"""What every work stream promises (see `WorkQueue`)."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lwmecps_core.errors import InvalidInput, NotFound, QueueFull
from lwmecps_core.rollout.queue import Entry, QueueLimits, WorkQueue

MakeQueue = Callable[..., WorkQueue]
DeadLetters = Callable[[WorkQueue], Sequence[Any]]
"""Every one with `payload`, `error` and `deliveries`."""


def payloads(entries: Sequence[Entry]) -> list[bytes]:
    """What was published."""
    return [entry.payload for entry in entries]


class QueueConformance:
    """Subclass it and give it two fixtures, a maker of fresh, open queues and a reader of what they have given up:
    `make_queue(limits=None)` and `dead_letters(queue)`, oldest first.
    """

    def test_entries_are_read_once_and_in_order(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a", b"b", b"c"])
        assert payloads(queue.read("first", count=2)) == [b"a", b"b"]
        assert payloads(queue.read("second", count=2)) == [b"c"]
        assert queue.read("second") == []

    def test_opening_again_keeps_what_is_there(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a"])
        queue.open()
        assert payloads(queue.read("c")) == [b"a"]

    def test_read_waits_for_an_entry(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        writer = threading.Timer(0.05, queue.publish, [[b"late"]])
        writer.start()
        assert payloads(queue.read("c", block_ms=2000)) == [b"late"]
        writer.join()

    def test_read_gives_up_after_its_block_time(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        start = time.monotonic()
        assert queue.read("c", block_ms=50) == []
        assert 0.04 < time.monotonic() - start < 1

    def test_acknowledged_entries_are_gone_and_free_their_room(self, make_queue: MakeQueue) -> None:
        queue = make_queue(QueueLimits(max_entries=2))
        queue.publish([b"12345", b"678"])
        entries = queue.read("c", count=2)
        assert queue.ack(entries) == 2
        assert queue.ack(entries) == 0
        assert queue.stats().entries == queue.stats().bytes == queue.stats().pending == 0
        queue.publish([b"x", b"y"], deadline_s=0)

    def test_receipt_is_enough_to_acknowledge(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"12345"])
        (receipt,) = [entry.receipt() for entry in queue.read("c")]
        assert receipt.payload == b""
        assert queue.ack([receipt]) == 1
        assert queue.stats().bytes == 0

    def test_stats_tell_unread_from_unacknowledged(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"aaa", b"bb", b"c"])
        queue.read("c", count=1)
        stats = queue.stats()
        assert (stats.entries, stats.bytes, stats.pending, stats.lag, stats.dead) == (3, 6, 1, 2, 0)

    @pytest.mark.parametrize("limits", [QueueLimits(max_entries=2), QueueLimits(max_bytes=8)])
    def test_full_queue_refuses_within_the_deadline_and_trims_nothing(
        self, make_queue: MakeQueue, limits: QueueLimits
    ) -> None:
        queue = make_queue(limits)
        queue.publish([b"old1", b"old2"])
        start = time.monotonic()
        with pytest.raises(QueueFull, match="1 of 1"):
            queue.publish([b"new"], deadline_s=0.1)
        assert 0.1 <= time.monotonic() - start < 1
        assert payloads(queue.read("c", count=9)) == [b"old1", b"old2"]

    def test_read_but_unacknowledged_entries_still_take_room(self, make_queue: MakeQueue) -> None:
        queue = make_queue(QueueLimits(max_entries=1))
        queue.publish([b"a"])
        queue.read("c")
        with pytest.raises(QueueFull):
            queue.publish([b"b"], deadline_s=0)

    def test_waiting_producer_goes_on_when_room_appears(self, make_queue: MakeQueue) -> None:
        queue = make_queue(QueueLimits(max_entries=1))
        queue.publish([b"a"])
        threading.Timer(0.05, lambda: queue.ack(queue.read("c"))).start()
        queue.publish([b"b"], deadline_s=5)
        assert payloads(queue.read("c")) == [b"b"]

    def test_bounds_hold_under_many_producers(self, make_queue: MakeQueue) -> None:
        queue = make_queue(QueueLimits(max_entries=5, max_bytes=1000))

        def produce() -> None:
            for _ in range(10):
                queue.publish([b"x" * 100], deadline_s=20)

        producers = [threading.Thread(target=produce) for _ in range(4)]
        for thread in producers:
            thread.start()
        got = 0
        while got < 40:
            entries = queue.read("c", count=3, block_ms=1000)
            assert queue.stats().entries <= 5
            got += queue.ack(entries)
        for thread in producers:
            thread.join()
        assert queue.stats().bytes == 0

    def test_message_larger_than_the_stream_is_refused_at_once(self, make_queue: MakeQueue) -> None:
        queue = make_queue(QueueLimits(max_bytes=10))
        with pytest.raises(InvalidInput, match="11 bytes"):
            queue.publish([b"x" * 11], deadline_s=10)

    def test_binary_and_empty_payloads_survive(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        sent = [b"", bytes(range(256)), b"\r\n\x00" * 1000]
        queue.publish(sent)
        assert payloads(queue.read("c", count=3)) == sent

    def test_entry_of_a_quiet_consumer_is_claimed_and_counted(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a"])
        assert queue.read("dead")[0].deliveries == 1
        assert queue.claim_stale("alive", min_idle_ms=60_000) == []
        (entry,) = queue.claim_stale("alive", min_idle_ms=0)
        assert (entry.payload, entry.deliveries) == (b"a", 2)
        assert queue.ack([entry]) == 1

    def test_touched_entry_is_not_stale(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a", b"b"])
        a, _ = queue.read("slow", count=2)
        time.sleep(0.2)
        queue.touch("slow", [a])
        assert payloads(queue.claim_stale("other", min_idle_ms=150, count=9)) == [b"b"]

    def test_touch_takes_nothing_back(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a"])
        (entry,) = queue.read("slow")
        queue.claim_stale("other", min_idle_ms=0)
        time.sleep(0.1)
        queue.touch("slow", [entry])
        assert len(queue.claim_stale("third", min_idle_ms=80)) == 1

    def test_failed_entry_is_delivered_again_at_once_then_dead_with_its_error(
        self, make_queue: MakeQueue, dead_letters: DeadLetters
    ) -> None:
        queue = make_queue(QueueLimits(max_deliveries=2))
        queue.publish([b"poison"])
        (entry,) = queue.read("c")
        assert not queue.fail("c", entry, "first error")
        (entry,) = queue.claim_stale("c", min_idle_ms=60_000)
        assert queue.fail("c", entry, "second error")
        (dead,) = dead_letters(queue)
        assert (dead.payload, dead.error, dead.deliveries) == (b"poison", "second error", 2)
        stats = queue.stats()
        assert (stats.entries, stats.bytes, stats.pending, stats.dead) == (0, 0, 0, 1)

    def test_fatal_failure_is_dead_at_once(self, make_queue: MakeQueue, dead_letters: DeadLetters) -> None:
        queue = make_queue()
        queue.publish([b"poison"])
        (entry,) = queue.read("c")
        assert queue.fail("c", entry, "can't be read", fatal=True)
        assert queue.claim_stale("c", 0) == []
        assert dead_letters(queue)[0].error == "can't be read"

    def test_entry_that_kills_its_consumers_dies_after_the_last_delivery(
        self, make_queue: MakeQueue, dead_letters: DeadLetters
    ) -> None:
        queue = make_queue(QueueLimits(max_deliveries=2))
        queue.publish([b"killer"])
        queue.read("first")
        assert len(queue.claim_stale("second", 0)) == 1
        assert queue.claim_stale("third", 0) == []
        assert "never answered" in dead_letters(queue)[0].error

    def test_dead_letters_are_bounded(self, make_queue: MakeQueue, dead_letters: DeadLetters) -> None:
        queue = make_queue(QueueLimits(max_dead=2))
        queue.publish([b"1", b"2", b"3"])
        for entry in queue.read("c", count=3):
            queue.fail("c", entry, "no", fatal=True)
        assert [dead.payload for dead in dead_letters(queue)] == [b"2", b"3"]

    def test_removed_queue_says_so_instead_of_coming_back(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        queue.publish([b"a"])
        queue.delete()
        assert not queue.exists()
        for use in (
            lambda: queue.publish([b"b"]),
            lambda: queue.read("c"),
            lambda: queue.claim_stale("c", 0),
            queue.stats,
        ):
            with pytest.raises(NotFound):
                use()
        assert not queue.exists()

    def test_reader_that_waits_is_told_when_the_queue_is_removed(self, make_queue: MakeQueue) -> None:
        queue = make_queue()
        threading.Timer(0.1, queue.delete).start()
        with pytest.raises(NotFound):
            for _ in range(2):  # an old server only tells the next reader
                queue.read("c", block_ms=500)
