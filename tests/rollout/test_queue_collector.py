import threading
import time

import pytest

from lwmecps_core.errors import CollectionStopped, CollectionTimeout
from lwmecps_core.rollout.chunks import chunks, take_tasks
from lwmecps_core.rollout.queue import QueueLimits
from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from tests.rollout.factory import fake_unroll, plan, snapshot, tasks
from tests.rollout.running import Bench, assert_all_equal, balanced, local


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
    collector = bench.collector(QueueCollectorConfig(tasks_per_request=1, keep_bytes=5000, timeout_s=10, block_ms=20))
    args = (tasks(12), snapshot(), plan(12))
    with bench.working():
        assert_all_equal(collector.collect(*args), local(*args))
    assert collector.ledger.released > 0
    assert bench.replies.stats().bytes <= 5000


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
