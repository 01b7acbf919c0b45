import threading
import time
import uuid
from contextlib import contextmanager

import numpy as np
import pytest

from lwmecps_core.errors import CollectionFailed, CollectionStopped, CollectionTimeout, InvalidInput, QueueUnavailable
from lwmecps_core.rollout.chunks import chunks, take_tasks
from lwmecps_core.rollout.codec import decode_request, encode_batch
from lwmecps_core.rollout.memory_queue import MemoryQueue
from lwmecps_core.rollout.messages import Origin
from lwmecps_core.rollout.policy_store import MemoryPolicyStore, RedisPolicyStore
from lwmecps_core.rollout.queue import QueueLimits
from lwmecps_core.rollout.queue_collector import QueueCollector, QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import RedisQueue
from services.env_service.worker import Worker, WorkerSettings
from tests.rollout.factory import assert_equal, fake_unroll, plan, random_batch, snapshot, tasks

QUICK = QueueCollectorConfig(tasks_per_request=2, timeout_s=10, ask_again_s=5, block_ms=20)
WORKER = WorkerSettings(block_s=0.02, claim_idle_s=0.2, claim_every_s=0.05, publish_timeout_s=2)


class Bench:
    """One run's queues and store, in memory or in Redis, with workers in threads."""

    def __init__(self, client=None, reply_limits=None):
        self.run_id = uuid.uuid4().hex
        self.store = RedisPolicyStore(client) if client else MemoryPolicyStore()
        make = (lambda name, limits=None: RedisQueue(client, name, limits)) if client else MemoryQueue
        self.requests, self.replies = make(f"requests-{self.run_id}"), make(f"rollouts-{self.run_id}", reply_limits)
        self.requests.open()
        self.workers = []

    def collector(self, settings=QUICK, **kw):
        return QueueCollector(self.run_id, self.requests, self.replies, self.store, settings, **kw)

    def worker(self, unroll=fake_unroll, name=None, stop=None):
        worker = Worker(
            name or f"w{len(self.workers)}", self.requests, lambda stream: self.replies, self.store, unroll,
            stop or threading.Event(), WORKER,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    @contextmanager
    def working(self, count=1, unroll=fake_unroll):
        stop = threading.Event()
        threads = [threading.Thread(target=self.worker(unroll, stop=stop).run) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def delete(self):
        self.requests.delete()
        self.replies.delete()
        self.store.delete(self.run_id)


@pytest.fixture(params=["memory", "redis"])
def make_bench(request):
    client = request.getfixturevalue("redis_client") if request.param == "redis" else None
    made = []

    def make(**kw):
        made.append(Bench(client, **kw))
        return made[-1]

    yield make
    for bench in made:
        bench.delete()


@pytest.fixture
def bench(make_bench):
    return make_bench()


def local(tasks_, snapshot_, plan_):
    return fake_unroll(tasks_, snapshot_, plan_)


def assert_all_equal(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert_equal(a, b)


def balanced(ledger):
    return ledger.made == ledger.used + ledger.dropped + ledger.queued


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("per_task", [0, 5])
def test_result_equals_the_local_one_bit_for_bit(bench, workers, per_task):
    args = (tasks(5), snapshot(per_task=per_task), plan(5))
    with bench.working(workers):
        got = bench.collector().collect(*args)
    assert_all_equal(got, local(*args))


def test_large_rollouts_arrive_in_parts_and_equal(bench):
    args = (tasks(2), snapshot(), plan(2, episodes=70, length=200))
    with bench.working():
        got = bench.collector().collect(*args)
    assert sum(worker.report.batches for worker in bench.workers) > 4
    assert_all_equal(got, local(*args))
    assert got[0].obs.flags.c_contiguous and got[0].obs.flags.writeable


def test_many_rounds_leave_nothing_behind_and_the_ledger_balances(bench):
    collector = bench.collector()
    with bench.working(2):
        for version in range(20):
            collector.collect(tasks(4), snapshot(version=version), plan(4))
            assert balanced(collector.ledger)
            collector.commit()
            assert bench.replies.stats().entries == bench.replies.stats().bytes == 0
    assert bench.requests.stats().entries == 0
    assert collector.ledger.used == collector.ledger.made == 20 * 4 * 3 * 12
    assert sum(worker.report.transitions for worker in bench.workers) == collector.ledger.made


def test_delivered_rollouts_stay_in_the_stream_until_commit(bench):
    collector = bench.collector()
    with bench.working():
        collector.collect(tasks(3), snapshot(), plan(3))
    assert bench.replies.stats().pending == 3
    collector.commit()
    assert bench.replies.stats().entries == 0


def test_uncommitted_rollouts_of_a_dead_learner_are_used_again_without_work(bench):
    args = (tasks(4), snapshot(), plan(4))
    with bench.working():
        first = bench.collector().collect(*args)
    successor = bench.collector()
    assert_all_equal(successor.collect(*args), first)  # no worker is there any more
    assert successor.ledger.used == successor.ledger.made
    successor.commit()
    assert bench.replies.stats().entries == 0


def test_leftovers_that_nobody_asks_for_are_dropped_as_stale(bench):
    with bench.working():
        bench.collector().collect(tasks(2), snapshot(version=3), plan(2))
        successor = bench.collector()
        successor.collect(tasks(2), snapshot(version=2), plan(2))
        assert successor.ledger.queued == 2 * 3 * 12
        successor.collect(tasks(2), snapshot(version=4), plan(2))
    assert successor.ledger.queued == 0
    assert successor.ledger.stale == successor.ledger.dropped == 2 * 3 * 12
    assert balanced(successor.ledger)


def test_held_rollouts_are_bounded_so_that_rare_commits_block_nobody(make_bench):
    bench = make_bench(reply_limits=QueueLimits(max_entries=4))
    collector = bench.collector(QueueCollectorConfig(tasks_per_request=1, hold_bytes=5000, timeout_s=10, block_ms=20))
    args = (tasks(12), snapshot(), plan(12))
    with bench.working():
        assert_all_equal(collector.collect(*args), local(*args))
    assert collector.ledger.released > 0
    assert bench.replies.stats().bytes <= 5000


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
    assert bench.replies.dead_letters()[0].payload == b"not a rollout"


def test_error_that_stays_reaches_the_learner_and_the_dead_letters(bench):
    def broken(tasks, snapshot, plan):
        raise ZeroDivisionError("boom")

    collector = bench.collector()
    with bench.working(unroll=broken), pytest.raises(CollectionFailed, match="ZeroDivisionError: boom"):
        collector.collect(tasks(1), snapshot(), plan(1))
    (dead,) = bench.requests.dead_letters()
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
    assert bench.requests.dead_letters()[0].payload == b"\xff\xff poison"


def test_without_workers_the_collection_times_out(bench):
    collector = bench.collector(QueueCollectorConfig(timeout_s=0.2, block_ms=20))
    with pytest.raises(CollectionTimeout, match=r"1 of 1 requests.*0.2 s"):
        collector.collect(tasks(1), snapshot(), plan(1))
    assert balanced(collector.ledger)


def test_full_request_queue_is_named_when_time_is_up(make_bench):
    bench = make_bench()
    bench.requests.limits = QueueLimits(max_entries=1)
    bench.requests.publish([b"somebody else's"])
    start = time.monotonic()
    with pytest.raises(CollectionTimeout, match="no room"):
        bench.collector(QueueCollectorConfig(timeout_s=0.3, block_ms=20)).collect(tasks(1), snapshot(), plan(1))
    assert time.monotonic() - start < 2


def test_stop_ends_a_collection_at_once(bench):
    stop = threading.Event()
    collector = bench.collector(stop=stop.is_set)
    threading.Timer(0.1, stop.set).start()
    start = time.monotonic()
    with pytest.raises(CollectionStopped):
        collector.collect(tasks(1), snapshot(), plan(1))
    assert time.monotonic() - start < 1


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


def test_requests_of_a_run_that_is_over_are_skipped(bench):
    collector = bench.collector(QueueCollectorConfig(timeout_s=0.1, block_ms=20))
    with pytest.raises(CollectionTimeout):
        collector.collect(tasks(1), snapshot(), plan(1))
    collector.close()
    worker = bench.worker()
    for entry in bench.requests.read("w", 9):
        worker.handle(entry)
    assert worker.report.abandoned == 1
    assert not bench.replies.exists()
    assert bench.requests.stats().entries == 0


def test_worker_that_finds_no_room_gives_the_request_back_in_time(make_bench):
    bench = make_bench(reply_limits=QueueLimits(max_entries=1))
    bench.replies.open()
    bench.replies.publish([b"in the way"])
    collector = bench.collector(QueueCollectorConfig(timeout_s=0.1, block_ms=5))
    bench.replies.read("learner")
    with pytest.raises(CollectionTimeout):
        collector.collect(tasks(1), snapshot(), plan(1))
    bench.replies.publish([b"again"], deadline_s=0)
    worker = bench.worker()
    start = time.monotonic()
    (entry,) = bench.requests.read(worker.report.worker_id)
    worker.handle(entry)
    assert 1 < time.monotonic() - start < 5
    assert "QueueFull" in worker.report.last_error
    assert len(bench.requests.claim_stale("other", 60_000)) == 1


def test_chunks_are_what_workers_unroll(bench):
    seen = []

    def spy(part, snap, plan_):
        seen.append((tuple(part), snap.params["actor"]["w"].tolist(), plan_))
        return fake_unroll(part, snap, plan_)

    whole = snapshot(per_task=5)
    with bench.working(unroll=spy):
        bench.collector().collect(tasks(5), whole, plan(5))
    expected = [
        (part, take_tasks(whole, start, start + len(part)).params["actor"]["w"].tolist(), plan_)
        for start, part, plan_ in chunks(tasks(5), plan(5), 2)
    ]
    assert seen == expected


def test_redis_memory_does_not_grow_over_rounds(redis_client):
    bench = Bench(redis_client)
    collector = bench.collector()
    used = []
    with bench.working():
        for version in range(60):
            collector.collect(tasks(2), snapshot(version=version), plan(2, episodes=8, length=50))
            collector.commit()
            if version in (19, 59):
                used.append(redis_client.info("memory")["used_memory"])
    collector.close()
    bench.requests.delete()
    assert used[1] - used[0] < 300_000
    assert not redis_client.keys(f"*{bench.run_id}*")
