"""One run's queues and store with workers in threads, and what tests of collection compare."""

import threading
import uuid
from contextlib import contextmanager

from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector, QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import RedisQueue
from services.env_service.collecting import Worker, WorkerSettings
from tests.rollout.factory import assert_equal, fake_unroll
from tests.rollout.memory import DeadLetter, MemoryPolicyStore, MemoryQueue

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
            name or f"w{len(self.workers)}",
            self.requests,
            lambda stream: self.replies,
            self.store,
            unroll,
            stop or threading.Event(),
            WORKER,
        )
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


def local(tasks_, snapshot_, plan_):
    return fake_unroll(tasks_, snapshot_, plan_)


def assert_all_equal(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert_equal(a, b)


def balanced(ledger):
    return ledger.made == ledger.used + ledger.dropped + ledger.queued


def dead_letters(queue):
    """What a queue has given up, oldest first, as people find it in Redis."""
    if isinstance(queue, MemoryQueue):
        return list(queue.dead)
    found = queue._redis.xrange(queue._dead)
    return [DeadLetter(f[b"p"], f[b"error"].decode(), int(f[b"deliveries"])) for _, f in found]
