"""Who collects for a run: the one table that a backend which runs can use is added to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from lwmecps_core.run_config import SIMULATED, Backend
from lwmecps_core.specs import TaskDistribution, TaskSpec
from services.common.sessions import Call
from services.learner_service.collectors import OpenCollector, RedisCollectors
from services.learner_service.session_collector import SessionCollector


@dataclass(frozen=True)
class Means:
    """What collectors work with: the workers behind Redis, and the env-service's sessions."""

    redis: "redis.Redis"
    queues: QueueCollectorConfig
    sessions: Call


def _in_sessions(backend: Backend) -> Callable[[Means], OpenCollector]:
    """Through a session of the env-service, one episode after the other."""
    return lambda means: lambda _run_id, stop, _token: SessionCollector(means.sessions, backend, stop)


COLLECTORS: Mapping[str, Callable[[Means], OpenCollector]] = {
    SIMULATED: lambda means: RedisCollectors(means.redis, means.queues),
    "kubernetes": _in_sessions("kubernetes"),
}
"""By the names of backends in settings."""


def backend_of(settings: Any) -> str:
    """The backend of a run's settings; those without one are for the simulator."""
    return str(getattr(settings, "backend", SIMULATED))


def check_backend(backend: str, tasks: Sequence[TaskSpec | TaskDistribution]) -> None:
    """Raise `InvalidInput` when no run can work on these tasks on the backend.

    Outside the simulator it needs tasks that say where their cluster is: in the field that has the backend's name, if
    tasks have one.
    """
    wrong = [
        Violation(f"task_ids[{i}]", f"must be a task with `{backend}`, which says where its cluster is")
        for i, task in enumerate(tasks)
        if backend != SIMULATED and (isinstance(task, TaskDistribution) or getattr(task, backend, task) is None)
    ]
    if wrong:
        raise InvalidInput("request", wrong)
