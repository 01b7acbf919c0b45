"""Runs in the services, for searches over settings (`lwmecps_core.integrations`): nothing but their contracts."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lwmecps_core.errors import InvalidInput, ServiceUnavailable, Violation, WrongState
from lwmecps_core.integrations.runs import RunNews, RunRequest, settings_of
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common import convert
from services.common.client import Caller, connect
from services.common.settings import CLI, ClientSettings, check_address, read

STATE_PREFIX = "RUN_STATE_"
PAUSE_S = 1.0
"""Between two attempts to reach a service that didn't answer."""
REQUESTS = {
    convert.kind_of_request(message()): message
    for name in learner_pb2.DESCRIPTOR.message_types_by_name
    if name.startswith("Start") and name.endswith("Request")
    for message in [getattr(learner_pb2, name)]
}
"""Kind of run → the message that asks for one."""


def _from_variable(name: str, default: str) -> Callable[[], str]:
    return lambda: os.environ.get(CLI + name, default)


@dataclass(frozen=True)
class RemoteRuns:
    """`Runs` of services at two addresses, by default those that the command line uses (`LWMECPS_CLI_…`).

    It connects at its first use, and again in every process that it is sent to: what is pickled is the addresses. A
    follower waits up to `patience_s` for a service that doesn't answer.
    """

    registry: str = field(default_factory=_from_variable("REGISTRY", "127.0.0.1:50051"))
    learner: str = field(default_factory=_from_variable("LEARNER", "127.0.0.1:50053"))
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("registry", "learner"):
            try:
                check_address(getattr(self, name))
            except ValueError as error:
                raise InvalidInput("runs", [Violation(name, f"{error}: write it as 127.0.0.1:50051")]) from None

    def __reduce__(self) -> Any:
        return RemoteRuns, (self.registry, self.learner, self.patience_s)

    def start(self, asked: RunRequest) -> str:
        """See `Runs.start`."""
        settings, algorithm = settings_of(asked)
        request = REQUESTS[asked.kind](task_ids=asked.tasks, num_tasks=asked.num_tasks, task_seed=asked.task_seed)
        request.seed, request.label, request.request_id = asked.seed, asked.label, asked.request_id
        if asked.policy:
            if not hasattr(request, "policy_id"):
                raise InvalidInput("run", [Violation("policy", f"a {asked.kind} run starts from nothing")])
            request.policy_id = asked.policy
        request.settings.CopyFrom(convert.to_message(settings, type(request.settings)))
        if algorithm is not None:
            request.algorithm.CopyFrom(convert.algorithm_to_message(algorithm))
        method = request.DESCRIPTOR.name.removesuffix("Request")
        return str(self._learner(method, request).run.id)

    def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
        """See `Runs.follow`; a connection that is lost is made again."""
        seen, given_up_s = after_step, time.monotonic() + self.patience_s
        while True:
            request = learner_pb2.WatchProgressRequest(run_id=run_id)
            if seen >= 0:
                request.after_step = seen
            try:
                for message in self._learner.stream("WatchProgress", request):
                    news = _news(message)
                    seen, given_up_s = max([seen, *news.metrics]), time.monotonic() + self.patience_s
                    yield news
                    if news.ended:
                        return
            except ServiceUnavailable:
                if time.monotonic() > given_up_s:
                    raise
            time.sleep(PAUSE_S)

    def pause(self, run_id: str) -> None:
        """See `Runs.pause`; one that no learner has begun is cancelled, for there is nothing to keep."""
        try:
            self._registry("PauseRun", registry_pb2.PauseRunRequest(run_id=run_id))
        except WrongState:
            run = self._registry("GetRun", registry_pb2.GetRunRequest(run_id=run_id)).run
            if run.state == run_pb2.RUN_STATE_PENDING:
                self.cancel(run_id)

    def resume(self, run_id: str) -> None:
        """See `Runs.resume`; one that has ended stays as it is."""
        self._tell("ResumeRun", registry_pb2.ResumeRunRequest(run_id=run_id))

    def cancel(self, run_id: str) -> None:
        """See `Runs.cancel`."""
        self._tell("CancelRun", registry_pb2.CancelRunRequest(run_id=run_id))

    def _tell(self, method: str, request: Any) -> None:
        with suppress(WrongState):
            self._registry(method, request)

    @cached_property
    def _registry(self) -> Caller:
        return _caller(self.registry, TaskRegistryServiceStub)

    @cached_property
    def _learner(self) -> Caller:
        return _caller(self.learner, LearnerServiceStub)


def _caller(address: str, stub: Any) -> Caller:
    return Caller(address, stub(connect(address, read(ClientSettings, "LWMECPS_CLIENT_"))))


def _news(message: learner_pb2.WatchProgressResponse) -> RunNews:
    metrics: dict[int, dict[str, float]] = {}
    for point in message.metrics:
        metrics.setdefault(point.step, {})[point.name] = point.value
    run = message.run
    state = run_pb2.RunState.Name(run.state).removeprefix(STATE_PREFIX).lower()
    return RunNews(run.id, state, run.step, run.total_steps, metrics, run.result_policy_id, run.error)
