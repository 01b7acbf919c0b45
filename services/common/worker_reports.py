"""What collection workers are doing, told through Redis to whoever asks."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import redis

from lwmecps_core.rollout.redis_queue import broker_errors

_KEY = "lwmecps:workers"
LIFETIME_S = 10.0
"""A worker that has not reported for so long is gone."""


class WorkerState(StrEnum):
    """What a worker is doing; `blocked` is waiting for room in a run's stream."""

    IDLE = "idle"
    COLLECTING = "collecting"
    BLOCKED = "blocked"
    STOPPED = "stopped"


@dataclass
class WorkerReport:
    """Counters of one worker since it started; `transitions_per_s` is of its last request, unix times in seconds.

    `abandoned` counts requests whose run was over, or whose snapshot was replaced, before they were done.
    """

    worker_id: str
    state: WorkerState = WorkerState.IDLE
    requests: int = 0
    batches: int = 0
    transitions: int = 0
    transitions_per_s: float = 0.0
    abandoned: int = 0
    errors: int = 0
    last_error: str = ""
    last_active_s: float = 0.0


def send_report(client: "redis.Redis", report: WorkerReport) -> None:
    """Store a worker's report, in place of its last one."""
    with broker_errors("worker reports"), client.pipeline(transaction=True) as pipe:
        pipe.hset(_KEY, report.worker_id, json.dumps(asdict(report) | {"seen_s": time.time()}))
        pipe.expire(_KEY, int(LIFETIME_S) * 2)
        pipe.execute()


def read_reports(client: "redis.Redis", names: Sequence[str] = ()) -> list[WorkerReport]:
    """The newest reports of the named workers (of all, without names) that are still there, by name."""
    redis_: Any = client
    with broker_errors("worker reports"):
        found = {key.decode(): json.loads(value) for key, value in redis_.hgetall(_KEY).items()}
        gone = [name for name, data in found.items() if time.time() - data.pop("seen_s") > LIFETIME_S]
        if gone:
            redis_.hdel(_KEY, *gone)
    kept = {name: data for name, data in found.items() if name not in gone and (not names or name in names)}
    return [WorkerReport(**data | {"state": WorkerState(data["state"])}) for _, data in sorted(kept.items())]
