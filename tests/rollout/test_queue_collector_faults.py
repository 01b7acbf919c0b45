import threading
import time

import numpy as np
import pytest

from lwmecps_core.errors import CollectionFailed, InvalidInput, QueueUnavailable
from lwmecps_core.rollout.codec import decode_request, encode_batch
from lwmecps_core.rollout.messages import Origin
from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from tests.rollout.factory import fake_unroll, plan, random_batch, snapshot, tasks
from tests.rollout.running import assert_all_equal, balanced, dead_letters, local


def test_request_of_a_dead_worker_is_answered_by_another(bench):
    args = (tasks(2), snapshot(), plan(2))
    collector = bench.collector()
    got = []
    learner = threading.Thread(target=lambda: got.append(collector.collect(*args)))
    learner.start()
    assert bench.requests.read("dying", block_ms=5000)
    with bench.working():
        learner.join()
    assert_all_equal(got[0], local(*args))
    assert collector.ledger.asked_again == 0


def test_lost_request_is_asked_for_again(bench):
    args = (tasks(2), snapshot(), plan(2))
    settings = QueueCollectorConfig(ask_again_s=0.1, timeout_s=10, block_ms=20)
    collector = bench.collector(settings)
    got = []
    learner = threading.Thread(target=lambda: got.append(collector.collect(*args)))
    learner.start()
    (lost,) = bench.requests.read("thief", block_ms=5000)
    bench.requests.ack([lost])
    with bench.working():
        learner.join()
    assert_all_equal(got[0], local(*args))
    assert collector.ledger.asked_again >= 1


def test_duplicates_have_no_effect(bench):
    args = (tasks(3), snapshot(), plan(3))
    collector = bench.collector()
    with bench.working(1, unroll=fake_unroll):
        collector.collect(*args)
    late = [entry for entry in bench.replies.claim_stale("x", 0, 99)]
    bench.replies.publish([entry.payload for entry in late] * 2)
    second = (tasks(3), snapshot(version=2), plan(3))
    with bench.working():
        assert_all_equal(collector.collect(*second), local(*second))
    while bench.replies.stats().lag:
        collector._inbox.poll(64, 10)
    assert collector.ledger.duplicates == 2 * 3 * 3 * 12
    assert balanced(collector.ledger)
    assert collector.ledger.used == 2 * 3 * 3 * 12


def test_rollouts_that_nobody_asked_for_are_dropped(bench):
    bench.replies.open()
    stranger = random_batch(np.random.default_rng(0), version=0)
    bench.replies.publish(encode_batch("unknown", 0, stranger, Origin("w", 0, 0)))
    collector = bench.collector()
    with bench.working():
        collector.collect(tasks(1), snapshot(version=9), plan(1))
    assert collector.ledger.stale == stranger.reward.size
    assert balanced(collector.ledger)


def test_damaged_rollout_goes_to_the_dead_letters_and_work_goes_on(bench):
    bench.replies.open()
    bench.replies.publish([b"not a rollout"])
    collector = bench.collector()
    with bench.working():
        collector.collect(tasks(1), snapshot(), plan(1))
    assert collector.ledger.damaged == 1
    assert dead_letters(bench.replies)[0].payload == b"not a rollout"


def test_error_that_stays_reaches_the_learner_and_the_dead_letters(bench):
    def broken(tasks, snapshot, plan):
        raise ZeroDivisionError("boom")

    collector = bench.collector()
    with bench.working(unroll=broken), pytest.raises(CollectionFailed, match="ZeroDivisionError: boom"):
        collector.collect(tasks(1), snapshot(), plan(1))
    (dead,) = dead_letters(bench.requests)
    assert (dead.error, dead.deliveries) == ("ZeroDivisionError: boom", 3)
    assert decode_request(dead.payload).tasks == tuple(tasks(1))


def test_error_that_passes_is_never_seen(bench):
    calls = []

    def flaky(*args):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("once")
        return fake_unroll(*args)

    with bench.working(unroll=flaky):
        assert_all_equal(bench.collector().collect(tasks(1), snapshot(), plan(1)), local(tasks(1), snapshot(), plan(1)))
    assert bench.workers[0].report.last_error == "OSError: once"


def test_invalid_task_is_not_tried_again(bench):
    calls = []

    def refusing(*args):
        calls.append(1)
        raise InvalidInput("task", [])

    with bench.working(unroll=refusing), pytest.raises(CollectionFailed):
        bench.collector().collect(tasks(1), snapshot(), plan(1))
    assert len(calls) == 1


def test_poison_request_does_not_stop_the_worker(bench):
    bench.requests.publish([b"\xff\xff poison"])
    with bench.working():
        bench.collector().collect(tasks(1), snapshot(), plan(1))
    assert dead_letters(bench.requests)[0].payload == b"\xff\xff poison"


def test_broker_that_goes_away_for_a_while_is_waited_for(bench):
    collector, real, failures = bench.collector(), bench.replies.read, [3]

    def read(*args, **kw):
        if failures[0]:
            failures[0] -= 1
            raise QueueUnavailable("gone")
        return real(*args, **kw)

    bench.replies.read = read
    with bench.working():
        got = collector.collect(tasks(2), snapshot(), plan(2))
    assert_all_equal(got, local(tasks(2), snapshot(), plan(2)))


def test_broker_that_forgets_everything_is_told_again(make_bench):
    bench = make_bench()
    collector, forgot = bench.collector(), []

    def forgetful(*args):
        if not forgot:
            forgot.append(True)
            bench.delete()
        return fake_unroll(*args)

    with bench.working(unroll=forgetful):
        got = collector.collect(tasks(3), snapshot(), plan(3))
    assert_all_equal(got, local(tasks(3), snapshot(), plan(3)))


def test_commit_lag_and_close_survive_a_broker_that_is_away(bench):
    collector = bench.collector()
    with bench.working():
        collector.collect(tasks(1), snapshot(), plan(1))

    def away(*args, **kw):
        raise QueueUnavailable("gone")

    ack, stats, delete = bench.replies.ack, bench.replies.stats, bench.replies.delete
    bench.replies.ack = bench.replies.stats = bench.replies.delete = away
    collector.commit()
    assert collector.lag() == 0
    collector.close()
    bench.replies.ack, bench.replies.stats, bench.replies.delete = ack, stats, delete
    collector.commit()
    assert bench.replies.stats().entries == 0


def test_a_collection_says_what_it_waits_for(bench):
    settings = QueueCollectorConfig(timeout_s=10, block_ms=20)
    collector = bench.collector(settings)
    assert collector.wait is None
    got = []
    learner = threading.Thread(target=lambda: got.append(collector.collect(tasks(2), snapshot(), plan(2))))
    learner.start()
    assert bench.requests.read("nobody", block_ms=5000)
    first = _waited(collector)
    assert (first.trouble, first.unsent) == ("", 0)
    bench.replies.delete()
    while not _waited(collector).trouble:
        assert learner.is_alive()
    assert _waited(collector).since_s == first.since_s
    with bench.working():
        learner.join()
    assert got and collector.wait is None


def _waited(collector):
    end = time.monotonic() + 10
    while (wait := collector.wait) is None:
        assert time.monotonic() < end
        time.sleep(0.001)
    return wait
