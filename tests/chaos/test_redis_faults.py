"""A Redis that hangs, is full, read-only after a failover, or empty: services stay up, say so, and resume."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.local import HOST
from services.common.client import connect
from services.common.local_redis import bundled_binary
from services.common.server import ROLLOUTS
from tests.chaos.scenario import create_task, follow, ledger, start_run, weights
from tests.chaos.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

EPOCHS, SEED = 150, 5
FAULT_S = 3.0
Fault = tuple[int, str, Callable[[], Any], Callable[[], Any]]


def _rollouts(address: str) -> int:
    with connect(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=ROLLOUTS)
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=2).status)
        except grpc.RpcError:
            return 0


def _wait_for(address: str, status: int, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while _rollouts(address) != status:
        assert time.monotonic() < deadline, f"{address} does not say {status}"
        time.sleep(0.1)


def _faults(system: System, client: "redis.Redis") -> list[Fault]:
    """Step, name, how it begins and how it ends."""
    server = system.redis.process
    assert server is not None
    limit = client.config_get("maxmemory")["maxmemory"]
    return [
        (5, "full", lambda: client.config_set("maxmemory", 1), lambda: client.config_set("maxmemory", limit)),
        (15, "read-only", lambda: client.replicaof(HOST, "1"), lambda: client.replicaof("NO", "ONE")),
        (25, "hangs", lambda: server.send_signal(signal.SIGSTOP), lambda: server.send_signal(signal.SIGCONT)),
        (35, "empty", client.flushall, lambda: None),
    ]


def test_services_live_through_every_fault_of_redis_and_the_run_goes_on(tmp_path: Path) -> None:
    with running(tmp_path / "state", redis_binary=bundled_binary()) as system:  # the oldest that we support
        clients = system.clients
        client: Any = redis.Redis.from_url(system.redis.url)
        task_id = create_task(clients)
        calm = follow(clients, start_run(clients, task_id, SEED, EPOCHS, "calm"), 150)
        learner = system.addresses.learner
        _wait_for(learner, health_pb2.HealthCheckResponse.SERVING)
        waiting, told = _faults(system, client), list[str]()

        def tick(step: int) -> None:
            if waiting and step >= waiting[0][0]:
                _, name, begin, end = waiting.pop(0)
                begin()
                if name != "empty":
                    for address in (learner, system.addresses.env):
                        _wait_for(address, health_pb2.HealthCheckResponse.NOT_SERVING)
                    time.sleep(FAULT_S)
                end()
                told.append(name)
                _wait_for(learner, health_pb2.HealthCheckResponse.SERVING)

        stormy = follow(clients, start_run(clients, task_id, SEED, EPOCHS, "stormy"), 240, tick)
        assert told == ["full", "read-only", "hangs", "empty"]
        assert weights(clients, stormy) == weights(clients, calm)
        found = ledger(stormy)
        assert found["used"] == ledger(calm)["used"]
        assert found["made"] == found["used"] + found["dropped"] and not found["queued"]
        for service in system.services.values():
            assert service.process is not None and service.process.poll() is None, f"{service.name} has ended"
