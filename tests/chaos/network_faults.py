"""A meta-training run while services in network namespaces lose packets, wait for them, and lose one another."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lwmecps_core.errors import LwmecpsError
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from tests.chaos.network import HERE, Network, Pair, Weather, between
from tests.chaos.scenario import create_task, follow, ledger, start_run, weights
from tests.chaos.system import System, running

SEED = 6
STEPS_BETWEEN = 6
"""Of the run, from one partition to the next."""
BAD = Weather(delay_ms=5.0, jitter_ms=4.0, loss=0.01)
LEARNERS = ("learner", "learner-2")
HOSTS = ("registry", "env", *LEARNERS, "redis")
ANSWER_S, HEALED_S = 5.0, 60.0


@dataclass(frozen=True)
class Partition:
    """What is cut, asked when it begins (`holder` is the learner that has the run), and who still serves us here."""

    name: str
    pairs: Callable[[str], frozenset[Pair]]
    serving: tuple[str, ...]


def _alone(host: str) -> frozenset[Pair]:
    return between([host], [HERE, *HOSTS])


PARTITIONS = (
    Partition("the run's learner from all", _alone, ("registry", "env")),
    Partition("learners from the registry", lambda _: between(LEARNERS, ["registry"]), ("registry", "env")),
    Partition("learners from Redis", lambda _: between(LEARNERS, ["redis"]), ("registry", "env")),
    Partition("workers from Redis", lambda _: between(["env"], ["redis"]), ("registry", "env")),
    Partition("Redis from all", lambda _: _alone("redis"), ("registry", "env")),
    Partition("the registry from all", lambda _: _alone("registry"), ("env",)),
    Partition("each from each", lambda _: between(HOSTS, HOSTS), ("registry", "env")),
    Partition("us from all", lambda _: _alone(HERE), ()),
)


def cross(
    folder: Path, seconds: float, say: Callable[[str], None], partitions: Sequence[Partition] = PARTITIONS
) -> dict[str, Any]:
    """One run on a good network, and one on a bad one with every partition for so many seconds; what came of both.

    Raises `AssertionError` where a service that can be reached does not answer, or one has ended.
    """
    began, told, moved = time.monotonic(), list[str](), 0
    epochs = STEPS_BETWEEN * (len(partitions) + 3)
    with Network(HOSTS, SEED) as network, running(folder, network=network) as system:
        task_id = create_task(system.clients)
        calm = follow(system.clients, start_run(system.clients, task_id, SEED, epochs, "calm"), 300)
        least_ms = network.least_ms
        network.weather = BAD
        run_id, waiting, last = start_run(system.clients, task_id, SEED, epochs, "stormy"), list(partitions), 0

        def tick(step: int) -> None:
            nonlocal last, moved
            if not waiting or step < last + STEPS_BETWEEN:
                return
            partition, holder = waiting.pop(0), _holder(system, run_id)
            if holder is None:  # between two claims
                waiting.insert(0, partition)
                return
            before = network.cut_off.total()
            network.cut(partition.pairs(holder))
            _answer(system, partition.serving, time.monotonic() + seconds)
            network.cut(())
            _answer(system, ("registry", "env"), time.monotonic(), within_s=HEALED_S)
            last = step
            told.append(partition.name)
            moved += _holder(system, run_id) not in (holder, None)
            say(f"step {step:4}  cut {partition.name}, {network.cut_off.total() - before} frames")

        stormy = follow(system.clients, run_id, 300 + len(waiting) * (seconds + HEALED_S), tick)
        equal = weights(system.clients, stormy) == weights(system.clients, calm)
        for service in system.services.values():
            assert service.process is not None and service.process.poll() is None, f"{service.name} has ended"
        found = ledger(stormy)
        balanced = found["made"] == found["used"] + found["dropped"] and not found["queued"]
        return found | {
            "seed": SEED,
            "partitions": told,
            "seconds_each": seconds,
            "expected_used": ledger(calm)["used"],
            "weights_equal": equal,
            "moved": moved,
            "delay_ms": BAD.delay_ms,
            "jitter_ms": BAD.jitter_ms,
            "loss": BAD.loss,
            "least_ms_when_calm": round(least_ms, 3),
            "frames": network.delivered.total(),
            "frames_lost": network.lost.total(),
            "frames_cut_off": network.cut_off.total(),
            "wall_s": round(time.monotonic() - began, 1),
            "holds": equal and balanced and found["used"] == ledger(calm)["used"] and not waiting,
        }


def _holder(system: System, run_id: str) -> str | None:
    """Name of the learner that has the run: the registry knows its process."""
    owner = system.clients.registry("GetRun", registry_pb2.GetRunRequest(run_id=run_id), ANSWER_S).run.owner
    for name in LEARNERS:
        process = system.services[name].process
        if process is not None and f"-{process.pid}-" in owner:
            return name
    return None


def _answer(system: System, serving: tuple[str, ...], until: float, *, within_s: float = 0.0) -> None:
    """Those that we can reach answer all the time until then, at the latest from `within_s` on."""
    asked = {
        "registry": lambda: system.clients.registry("ListRuns", registry_pb2.ListRunsRequest(page_size=1), ANSWER_S),
        "env": lambda: system.clients.env("ListEnvironments", env_pb2.ListEnvironmentsRequest(), ANSWER_S),
    }
    for name in serving:
        patience = time.monotonic() + within_s
        while True:
            with suppress(LwmecpsError):
                asked[name]()
                break
            assert time.monotonic() < patience, f"{name} can be reached and does not answer"
    while (left := until - time.monotonic()) > 0:
        for name in serving:
            asked[name]()
        time.sleep(min(0.2, left))
