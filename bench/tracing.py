"""Collections through Redis with traces on against the same without, in turn: two workers, one of them traced."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from opentelemetry import trace

from bench.policies import snapshot, v3
from bench.processes import running
from bench.report import BenchRow
from bench.rollout_path import WORKER
from bench.timing import Paired, interleave, wall_rate
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from services.cli.processes import free_port
from services.common import tracing
from services.common.local_redis import LocalRedis

USUAL, SHORT = (16, 64), (1, 4)
"""Tasks and episodes of one collection: those of `rollout_path`, and as few as any run has."""
ROUND_S, ROUNDS = 0.3, 41
"""Short rounds, and many: what else runs on the machine changes from second to second."""
FLOOR = 0.97


def run() -> BenchRow:
    port = free_port()
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    with running("bench.otlp_sink", [str(port)], {}), _collector(to) as traced, _collector({}) as plain:
        os.environ.update(to)
        tracing.begin("bench")
        for name in to:  # what is started later is not traced
            del os.environ[name]
        usual, short = (_compared(_collecting(traced, *size), _collecting(plain, *size)) for size in (USUAL, SHORT))
        trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]  # while somebody takes its last spans
    return BenchRow(
        name="tracing",
        value=usual.measured,
        unit="transitions/s",
        ratio=usual.ratio,
        against="the same without traces",
        floor=f">= {FLOOR:g} times",
        met=usual.ratio >= FLOOR,
        detail=usual.detail() | {"short": short.detail() | {"ratio": short.ratio, "measured": short.measured}},
    )


@contextmanager
def _collector(env: dict[str, str]) -> Iterator[QueueCollector]:
    """A collector over a Redis and a worker of its own, with these variables."""
    with LocalRedis() as server, running(WORKER, ["--redis-url", server.url, "--log-level", "error"], env):
        client = connect(server.url)
        made = QueueCollector(
            "bench",
            RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
            RedisQueue(client, reply_stream("bench"), REPLY_LIMITS),
            RedisPolicyStore(client),
            trace=tracing.traceparent if env else lambda: "",
        )
        yield made
        made.close()


def _compared(traced: Callable[[], int], plain: Callable[[], int]) -> Paired:
    def with_spans() -> int:
        with tracing.span("collect", {"tasks": 1}):  # as `StoppableCollector` has it
            return traced()

    return interleave(lambda: wall_rate(with_spans, ROUND_S), lambda: wall_rate(plain, ROUND_S), rounds=ROUNDS)


def _collecting(collector: QueueCollector, tasks: int, episodes: int) -> Callable[[], int]:
    task = v3()
    policy: Any = snapshot(task)
    seeds = count()

    def collect() -> int:
        plan = CollectionPlan(seeds=tuple(next(seeds) for _ in range(tasks)), episodes=episodes)
        batches = collector.collect([task] * tasks, policy, plan)
        collector.commit()
        return sum(batch.reward.size for batch in batches)

    return collect
