"""From a worker process through Redis into the learner's tensors, against the worker's own rate."""

from collections.abc import Callable
from itertools import count
from typing import Any

import redis

from bench.policies import snapshot, v3
from bench.processes import running
from bench.report import BenchRow
from bench.timing import interleave, wall_rate
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.rollout.codec import encode_batch
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.messages import Origin
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from lwmecps_core.rollout.unroll import LocalCollector
from services.common.local_redis import LocalRedis

WORKER = "services.env_service.worker"
TASKS, EPISODES = 16, 64
ROUND_S = 2.0
FLOOR = 0.5
RUN_ID = "bench"


def run() -> BenchRow:
    with LocalRedis() as server, running(WORKER, ["--redis-url", server.url, "--log-level", "error"], {}):
        client = connect(server.url)
        collector = QueueCollector(
            RUN_ID,
            RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
            RedisQueue(client, reply_stream(RUN_ID), REPLY_LIMITS),
            RedisPolicyStore(client),
        )
        path, worker, raw = collecting(collector), collecting(LocalCollector()), _raw_redis(client)
        pair = interleave(lambda: wall_rate(path, ROUND_S), lambda: wall_rate(worker, ROUND_S), rounds=3, warm_up=1)
        raw_rate = wall_rate(raw, ROUND_S)
        collector.close()
    return BenchRow(
        name="rollout_path",
        value=pair.measured,
        unit="transitions/s",
        ratio=pair.ratio,
        against="the worker alone, in this process",
        floor=f">= {FLOOR:g} times",
        met=pair.ratio >= FLOOR,
        detail={
            "tasks": TASKS,
            "episodes": EPISODES,
            **pair.detail(),
            "raw_redis_transitions_per_s": raw_rate,
            "against_raw_redis": pair.measured / raw_rate,
        },
    )


def collecting(collector: Any) -> Callable[[], int]:
    """A function that collects for all tasks and has the result as tensors."""
    task = v3()
    policy = snapshot(task)
    seeds = count()

    def run() -> int:
        plan = CollectionPlan(seeds=tuple(next(seeds) for _ in range(TASKS)), episodes=EPISODES)
        reward = stacked(collector.collect([task] * TASKS, policy, plan))["reward"]
        if isinstance(collector, QueueCollector):
            collector.commit()
        return reward.numel()

    return run


def _raw_redis(client: "redis.Redis") -> Callable[[], int]:
    """A function that only moves the same bytes through a stream: pipelined writes, one read, one removal."""
    task = v3()
    plan = CollectionPlan(seeds=(0,), episodes=EPISODES)
    batch = LocalCollector().collect([task], snapshot(task), plan)[0]
    payloads = encode_batch("request", 0, batch, Origin("worker", 0, 0))

    def run() -> int:
        with client.pipeline(transaction=False) as pipe:
            for payload in payloads:
                pipe.xadd("raw", {"p": payload})
            pipe.execute()
        read: Any = client.xread({"raw": "0"}, count=len(payloads))
        client.delete("raw")
        assert len(read[0][1]) == len(payloads)
        return batch.reward.size

    return run
