"""A learner that was paused for longer than its lease changes nothing in Redis, and what a connection lost is found."""

import threading
import uuid

import pytest

from lwmecps_core.errors import Conflict, NotFound
from lwmecps_core.rollout.inbox import CONSUMER, Inbox, Ledger
from lwmecps_core.rollout.policy_store import RedisPolicyStore, freeze
from lwmecps_core.rollout.queue_collector import QueueCollector, QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import RedisQueue
from tests.rollout.factory import plan, snapshot, tasks
from tests.rollout.running import QUICK, Bench, assert_all_equal, balanced, dead_letters, local


@pytest.fixture
def make_stream(redis_client):
    name = f"fenced-{uuid.uuid4().hex}"

    def make(token):
        stream = RedisQueue(redis_client, name, token=token)
        stream.open()
        return stream

    yield make
    redis_client.delete(*redis_client.keys(f"*{name}*"))


def test_a_newer_token_takes_the_stream_and_all_that_was_not_acknowledged(make_stream):
    old = make_stream(1)
    old.publish([b"a", b"b", b"c"])
    a, b = old.read(CONSUMER, count=2)
    assert old.ack([a]) == 1
    new = make_stream(2)
    assert [entry.payload for entry in new.read(CONSUMER, count=9)] == [b"b", b"c"]
    for forbidden in (
        lambda: old.read(CONSUMER),
        lambda: old.ack([b]),
        lambda: old.fail(CONSUMER, b, "no", fatal=True),
        lambda: old.claim_stale(CONSUMER, 0, count=9),
    ):
        with pytest.raises(NotFound):
            forbidden()
    with pytest.raises(Conflict, match="token 1 is stale, the newest is 2"):
        old.open()
    assert new.stats().pending == new.stats().entries == 2
    assert dead_letters(new) == []


def test_opening_again_under_the_same_token_changes_nothing(make_stream):
    first = make_stream(3)
    first.publish([b"a"])
    first.read(CONSUMER)
    again = make_stream(3)
    assert again.read(CONSUMER) == []
    assert again.stats().pending == 1


def test_a_fence_outlives_its_stream(make_stream):
    old, new = make_stream(1), make_stream(2)
    new.delete()
    with pytest.raises(Conflict):
        old.open()
    assert not new.exists()


def test_a_stale_snapshot_is_refused_and_pushes_none_out(redis_client):
    run_id = uuid.uuid4().hex
    old, new = RedisPolicyStore(redis_client, token=1), RedisPolicyStore(redis_client, token=2)
    old.put(run_id, freeze(snapshot(version=1)))
    current = freeze(snapshot(version=2))
    new.put(run_id, current)
    with pytest.raises(Conflict, match="token 1 is stale"):
        old.put(run_id, freeze(snapshot(version=3)))
    assert new.get(run_id, current.ref).version == 2
    new.delete(run_id)


def test_a_learner_that_wakes_up_too_late_stops_and_its_successor_never_notices(redis_client):
    bench = Bench(redis_client)
    replies = {token: RedisQueue(redis_client, bench.replies.name, token=token) for token in (1, 2)}
    collectors = {
        token: QueueCollector(bench.run_id, bench.requests, stream, bench.store, QUICK)
        for token, stream in replies.items()
    }
    args = (tasks(3), snapshot(), plan(3))
    stopped: list[BaseException] = []

    def sleeper():
        try:
            collectors[1].collect(*args)  # nobody works yet: it waits
        except Conflict as error:
            stopped.append(error)

    asleep = threading.Thread(target=sleeper)
    asleep.start()
    while bench.requests.stats().entries < 1:
        pass
    replies[2].open()
    with bench.working():
        got = collectors[2].collect(*args)
        asleep.join(10)
    assert len(stopped) == 1
    assert_all_equal(got, local(*args))
    assert balanced(collectors[1].ledger) and balanced(collectors[2].ledger)
    collectors[2].commit()
    replies[2].delete()
    bench.delete()


def test_entries_whose_delivery_was_lost_are_found_before_anything_is_made_again(bench):
    args = (tasks(2), snapshot(), plan(2))
    collector = bench.collector(QueueCollectorConfig(ask_again_s=0.2, timeout_s=10, block_ms=20))
    got = []
    learner = threading.Thread(target=lambda: got.append(collector.collect(*args)))
    bench.replies.open()
    real, lost = bench.replies.read, []

    def read(*a, **kw):
        entries = real(*a, **kw)
        if entries and not lost:
            lost.extend(entries)
            return []
        return entries

    bench.replies.read = read
    with bench.working():
        learner.start()
        learner.join(10)
    assert lost and got
    assert_all_equal(got[0], local(*args))
    assert balanced(collector.ledger)
    assert collector.ledger.used == 2 * 3 * 12


def test_a_ledger_goes_on_in_a_successor_and_closes_with_a_reason_for_everything():
    before = Ledger(made=100, used=60, dropped=10, queued=30, stale=10)
    after = before.inherited()
    assert (after.made, after.used, after.dropped, after.queued) == (70, 60, 10, 0)
    closed = before.closed()
    assert (closed.made, closed.queued, closed.dropped, closed.leftover) == (100, 0, 40, 30)
    assert closed.dropped == closed.duplicates + closed.stale + closed.unfit + closed.abandoned + closed.leftover


def test_what_is_dropped_has_a_reason(bench):
    collector = bench.collector()
    assert isinstance(collector._inbox, Inbox)
    with bench.working():
        collector.collect(tasks(2), snapshot(), plan(2))
        late = bench.replies.claim_stale("x", 0, 99)
        bench.replies.publish([entry.payload for entry in late] * 2)
        collector.collect(tasks(2), snapshot(version=2), plan(2))
    ledger = collector.ledger.closed()
    assert ledger.dropped > 0
    assert ledger.dropped == ledger.duplicates + ledger.stale + ledger.unfit + ledger.abandoned + ledger.leftover
