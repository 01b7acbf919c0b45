"""What only the Redis stream has to get right."""

import time

import pytest

from lwmecps_core.errors import InvalidInput, QueueFull, QueueUnavailable
from lwmecps_core.rollout.queue import QueueLimits
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from services.common.local_redis import LocalRedis, bundled_binary


def test_unused_stream_removes_itself(redis_client):
    queue = RedisQueue(redis_client, "short-lived", QueueLimits(ttl_s=0.05))
    queue.open()
    queue.publish([b"a"])
    time.sleep(0.15)
    assert redis_client.keys("*short-lived*") == []


@pytest.mark.parametrize("binary", [None, bundled_binary()])
def test_entry_deleted_under_its_consumer_is_forgotten(binary):
    with LocalRedis(binary=binary) as server, connect(server.url) as client:
        queue = RedisQueue(client, "holes")
        queue.open()
        queue.publish([b"a", b"b"])
        gone, _ = queue.read("dead", count=2)
        client.xdel("lwmecps:queue:{holes}:entries", gone.id)
        assert [entry.payload for entry in queue.claim_stale("alive", 0, count=9)] == [b"b"]
        assert queue.stats().pending == 1


@pytest.mark.parametrize("binary", [None, bundled_binary()])
def test_server_out_of_memory_is_a_full_queue_that_can_be_emptied(binary):
    with LocalRedis(binary=binary) as server, connect(server.url) as client:
        queue = RedisQueue(client, "greedy")
        queue.open()
        queue.publish([b"a", b"b"])
        client.config_set("maxmemory", 1)
        with pytest.raises(QueueFull) as caught:
            queue.publish([b"c"], deadline_s=0.05)
        assert caught.value.refused == (b"c",)
        with pytest.raises(QueueUnavailable, match="memory limit"):
            RedisQueue(client, "another").open()
        a, b = queue.read("c", count=2)
        assert queue.ack([a]) == 1
        assert queue.fail("c", b, "no", fatal=True)
        assert queue.stats().bytes == 0


def test_stopped_server_is_named_as_unavailable_and_leaves_no_process():
    server = LocalRedis()
    with connect(server.url, connect_timeout_s=0.2) as client:
        queue = RedisQueue(client, "q")
        queue.open()
        server.close()
        assert server.pid is None
        with pytest.raises(QueueUnavailable):
            queue.publish([b"a"], deadline_s=0.1)


@pytest.mark.parametrize("binary", [None, bundled_binary()])
def test_a_server_that_became_a_replica_is_unavailable_to_every_write(binary):
    with LocalRedis(binary=binary) as server, connect(server.url) as client:
        queue = RedisQueue(client, "demoted")
        queue.open()
        queue.publish([b"a", b"b"])
        (entry,) = queue.read("c")
        client.replicaof("127.0.0.1", "1")
        writes = [
            lambda: queue.publish([b"c"], deadline_s=0.05),
            queue.open,
            lambda: queue.read("c"),
            lambda: queue.ack([entry]),
            lambda: queue.fail("c", entry, "no", fatal=True),
            queue.delete,
        ]
        for write in writes:
            with pytest.raises(QueueUnavailable):
                write()
        client.replicaof("NO", "ONE")
        assert queue.ack([entry]) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("protocol=3", ["protocol=3"]),
        ("decode_responses=True&legacy_responses=no", ["decode_responses=True", "legacy_responses=False"]),
        ("encoding=latin-1", ["encoding=latin-1"]),
        ("retry_on_timeout=yes", ["retry_on_timeout=True"]),
        ("retry_on_error=x&parser_class=y", ["retry_on_error", "parser_class=y"]),
        ("compress=1", ["compress=1"]),
        ("ssl_cert_reqs=none", ["ssl_cert_reqs"]),  # without rediss://
        ("db=first", ["'db'"]),
    ],
)
def test_options_of_a_url_that_say_more_than_how_to_reach_redis_are_refused_by_name(options, named):
    with pytest.raises(InvalidInput) as caught:
        connect(f"redis://user:secret@127.0.0.1:1/0?{options}")
    assert all(name in str(caught.value) for name in named) and "secret" not in str(caught.value)


def test_options_of_a_url_that_say_what_is_set_anyway_or_how_to_reach_redis_change_no_reply():
    with LocalRedis() as server:
        options = "protocol=2&decode_responses=False&legacy_responses=True&client_name=us&socket_keepalive=yes"
        with connect(f"{server.url}?{options}") as client:
            queue = RedisQueue(client, "named")
            queue.open()
            queue.publish([b"\xff"])
            assert [entry.payload for entry in queue.read("c")] == [b"\xff"]
            assert client.client_getname() == "us"
