"""The streams between learners and workers: names and bounds, and how a learner says that it will need workers."""

import redis

from lwmecps_core.errors import NotFound
from lwmecps_core.rollout.queue import MIB, QueueLimits
from lwmecps_core.rollout.redis_queue import RedisQueue, broker_errors

REQUEST_STREAM = "requests"
REQUEST_LIMITS = QueueLimits(max_entries=10_000, max_bytes=256 * MIB)
REPLY_LIMITS = QueueLimits(max_entries=20_000, max_bytes=256 * MIB, max_deliveries=1000, ttl_s=24 * 3600)
_WANTED, _WANTED_MS = "lwmecps:workers-wanted", 30_000


def reply_stream(run_id: str) -> str:
    """Name of the stream that takes a run's rollouts."""
    return f"rollouts:{run_id}"


def announce(client: "redis.Redis") -> None:
    """Say that requests will come soon, so that workers get ready while their learner does."""
    with broker_errors("announcement"):
        client.set(_WANTED, 1, px=_WANTED_MS)


def wanted(client: "redis.Redis") -> bool:
    """Whether requests wait to be worked on, or were announced."""
    with broker_errors("announcement"):
        if client.exists(_WANTED):
            return True
    try:
        return RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS).stats().entries > 0
    except NotFound:
        return False
