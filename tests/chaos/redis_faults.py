"""A meta-training run while Redis is away, full, read-only, hanging, emptied, and replaced by its replica."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.cli.local import HOST
from services.common.client import connect
from services.common.health import ROLLOUTS
from tests.chaos.databases import RedisProcess
from tests.chaos.doorway import Doorway
from tests.chaos.scenario import create_task, follow, ledger, start_run, weights
from tests.chaos.system import System, running

EPOCHS, SEED = 150, 5
STEPS_BETWEEN = 5
NOTICED_S, ANSWER_S = 15.0, 2.0
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Fault:
    """How it begins and ends; `lasts`: whether health can see it."""

    name: str
    begin: Callable[[], Any]
    end: Callable[[], Any]
    lasts: bool = True


def faults(system: System, door: Doorway, replica: RedisProcess) -> list[Fault]:
    """In the order in which they are to come: after the last one the replica is the server."""
    client: Any = redis.Redis.from_url(system.redis.url)
    limit = client.config_get("maxmemory")["maxmemory"]

    def primary(number: int) -> None:
        assert system.redis.process is not None
        system.redis.process.send_signal(number)

    def restart() -> None:
        system.redis.start()
        system.redis.wait()

    def die_in_sync() -> None:
        replica.follow(system.redis)
        system.kill("redis")

    def take_over() -> None:
        replica.lead()
        door.lead_to(replica.port)

    return [
        Fault("full", lambda: client.config_set("maxmemory", 1), lambda: client.config_set("maxmemory", limit)),
        Fault("read-only", lambda: client.replicaof(HOST, "1"), lambda: client.replicaof("NO", "ONE")),
        Fault("hanging", lambda: primary(signal.SIGSTOP), lambda: primary(signal.SIGCONT)),
        Fault("empty", client.flushall, lambda: None, lasts=False),
        Fault("away", lambda: system.kill("redis"), restart),
        Fault("failed over", die_in_sync, take_over),
    ]


def endure(folder: Path, seconds: float, say: Callable[[str], None], binary: str | None = None) -> dict[str, Any]:
    """One run undisturbed, and one under every fault for so many seconds each; what came of both.

    Raises `AssertionError` where a service stays silent, does not say in time that it can't serve, or ends.
    """
    began, told = time.monotonic(), list[str]()
    with Doorway() as door, running(folder, redis_binary=binary, door=door) as system:
        replica = RedisProcess(folder / "replica", volatile=True, binary=binary)
        replica.start()
        try:
            task_id = create_task(system.clients)
            calm = follow(system.clients, start_run(system.clients, task_id, SEED, EPOCHS, "calm"), 300)
            _wait_for(system, SERVING)
            waiting, last = faults(system, door, replica), 0

            def tick(step: int) -> None:
                nonlocal last
                if not waiting or step < last + STEPS_BETWEEN:
                    return
                fault = waiting.pop(0)
                fault.begin()
                if fault.lasts:
                    _wait_for(system, NOT_SERVING)
                    _answers(system, task_id, time.monotonic() + seconds)
                fault.end()
                _wait_for(system, SERVING)
                told.append(fault.name)
                last = step
                say(f"step {step:4}  Redis was {fault.name}")

            run_id = start_run(system.clients, task_id, SEED, EPOCHS, "stormy")
            stormy = follow(system.clients, run_id, 300 + 6 * (seconds + 2 * NOTICED_S), tick)
            equal = weights(system.clients, stormy) == weights(system.clients, calm)
            for service in system.services.values():
                assert service.process is not None and service.process.poll() is None, f"{service.name} has ended"
        finally:
            replica.stop()
    found = ledger(stormy)
    balanced = found["made"] == found["used"] + found["dropped"] and not found["queued"]
    return found | {
        "seed": SEED,
        "faults": told,
        "seconds_each": seconds,
        "expected_used": ledger(calm)["used"],
        "weights_equal": equal,
        "wall_s": round(time.monotonic() - began, 1),
        "holds": equal and balanced and found["used"] == ledger(calm)["used"] and not waiting,
    }


def _rollouts(address: str) -> int:
    with connect(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=ROLLOUTS)
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=ANSWER_S).status)
        except grpc.RpcError:
            return 0


def _wait_for(system: System, status: int) -> None:
    for address in (system.addresses.learner, system.addresses.env):
        deadline = time.monotonic() + NOTICED_S
        while _rollouts(address) != status:
            assert time.monotonic() < deadline, f"{address} does not say {status}"
            time.sleep(0.1)


def _answers(system: System, task_id: str, until: float) -> None:
    """What needs no Redis is answered all the time."""
    clients = system.clients
    while time.monotonic() < until:
        clients.registry("GetTask", registry_pb2.GetTaskRequest(task_id=task_id), ANSWER_S)
        clients.env("ListEnvironments", env_pb2.ListEnvironmentsRequest(), ANSWER_S)
        runs = clients.registry("ListRuns", registry_pb2.ListRunsRequest(page_size=1), ANSWER_S).runs
        clients.learner("GetResults", learner_pb2.GetResultsRequest(run_id=runs[0].id), ANSWER_S)
        time.sleep(0.2)
