"""One object for all three services."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub
from protos.lwmecps.registry.v1 import policy_pb2, run_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.client.channel import open_channel
from services.client.errors import CallFailed, call_errors
from services.client.session import ClientSession

T = TypeVar("T", bound=Message)
ENDED = frozenset({run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED})
SERVICES: Mapping[str, tuple[Any, Any]] = {
    "registry": (pb.DESCRIPTOR.services_by_name["TaskRegistryService"], TaskRegistryServiceStub),
    "env": (env_pb2.DESCRIPTOR.services_by_name["EnvService"], EnvServiceStub),
    "learner": (learner_pb2.DESCRIPTOR.services_by_name["LearnerService"], LearnerServiceStub),
}
HOME = {method.input_type.full_name: (name, method.name) for name, (s, _) in SERVICES.items() for method in s.methods}
"""Full name of a request → the service that answers it, and its method."""


class Client:
    """Calls to task-registry, env-service and learner-service; a context manager, and safe for threads.

    `host` is where all three are, at their usual ports unless others are given; `registry`, `env` and `learner`
    (`host:port`) name any of them apart. `token` is a bearer token, or a function that gives the current one; `ca_file`
    turns TLS on, `cert_file` and `key_file` are what the client shows. Errors come as `CallFailed` and its kinds.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        registry: str = "",
        env: str = "",
        learner: str = "",
        token: str | Callable[[], str] = "",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        self.timeout_s = timeout_s
        self.addresses = {
            "registry": registry or f"{host}:50051",
            "env": env or f"{host}:50052",
            "learner": learner or f"{host}:50053",
        }
        credentials = _credentials(ca_file, cert_file, key_file) if ca_file else None
        current = token if callable(token) else ((lambda: str(token)) if token else None)
        self._channels = {
            name: open_channel(address, credentials=credentials, token=current)
            for name, address in self.addresses.items()
        }
        self._stubs = {name: stub(self._channels[name]) for name, (_, stub) in SERVICES.items()}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            channel.close()

    def call(self, request: Message, timeout_s: float | None = None) -> Any:
        """The answer to any request with one answer: the message itself says which method takes it."""
        name, method = _home(request)
        with call_errors(self.addresses[name]):
            return getattr(self._stubs[name], method)(request, timeout=timeout_s or self.timeout_s)

    def stream(self, request: Message) -> Iterator[Any]:
        """The answers to a request that has many, as they come; leaving the loop ends the call."""
        name, method = _home(request)
        with call_errors(self.addresses[name]):
            answers = getattr(self._stubs[name], method)(request)
            try:
                yield from answers
            finally:
                answers.cancel()

    def pages(self, request: Message, field: str) -> Iterator[Any]:
        """The entries in `field` of a paged list, page after page as they are asked for."""
        asked = type(request).FromString(request.SerializeToString())
        while True:
            answer = self.call(asked)
            yield from getattr(answer, field)
            if not answer.next_page_token:
                return
            asked.page_token = answer.next_page_token  # type: ignore[attr-defined]

    # Tasks

    def create_task(self, task: Message | Mapping[str, Any], name: str = "") -> pb.Task:
        """Register a message, or `{"spec": …}` or `{"distribution": …}` in the JSON of the contract."""
        request = pb.CreateTaskRequest(name=name)
        if isinstance(task, Mapping):
            ParseDict(dict(task), request)
        else:
            field = "distribution" if task.DESCRIPTOR.name == "TaskDistribution" else "spec"
            getattr(request, field).CopyFrom(task)
        return _of(pb.Task, self.call(request).task)

    def task(self, task_id: str) -> pb.Task:
        """A registered task or distribution."""
        return _of(pb.Task, self.call(pb.GetTaskRequest(task_id=task_id)).task)

    def tasks(self, family: str = "") -> Iterator[pb.Task]:
        """Registered tasks, newest first."""
        return self.pages(pb.ListTasksRequest(family=family), "tasks")

    # Runs

    def start(self, request: Message) -> run_pb2.Run:
        """The run that a `Start…Request` starts."""
        return _of(run_pb2.Run, self.call(request).run)

    def run(self, run_id: str) -> run_pb2.Run:
        """A run as it is now."""
        return _of(run_pb2.Run, self.call(pb.GetRunRequest(run_id=run_id)).run)

    def runs(self, state: str = "", kind: str = "") -> Iterator[run_pb2.Run]:
        """Runs, newest first; of a `state` (`running`) or `kind` (`meta_train`) only.

        Raises `ValueError` for a state or kind that there isn't.
        """
        request = pb.ListRunsRequest(
            state=f"RUN_STATE_{(state or 'unspecified').upper()}", kind=f"RUN_KIND_{(kind or 'unspecified').upper()}"
        )
        return self.pages(request, "runs")

    def watch(self, run_id: str) -> Iterator[run_pb2.Run]:
        """The run each time that something about it is new, until it ends."""
        return (news.run for news in self.stream(learner_pb2.WatchProgressRequest(run_id=run_id)))

    def wait(self, run_id: str) -> run_pb2.Run:
        """The run once it has ended, however it did."""
        last = None
        for last in self.watch(run_id):
            if last.state in ENDED:
                break
        return last if last is not None and last.state in ENDED else self.run(run_id)

    def pause(self, run_id: str) -> run_pb2.Run:
        """Ask a run to pause; its state is kept."""
        return _of(run_pb2.Run, self.call(pb.PauseRunRequest(run_id=run_id)).run)

    def resume(self, run_id: str) -> run_pb2.Run:
        """Let a paused run go on."""
        return _of(run_pb2.Run, self.call(pb.ResumeRunRequest(run_id=run_id)).run)

    def cancel(self, run_id: str) -> run_pb2.Run:
        """Ask a run to end."""
        return _of(run_pb2.Run, self.call(pb.CancelRunRequest(run_id=run_id)).run)

    def rows(self, run_id: str) -> Iterator[run_pb2.Row]:
        """What a run has measured, one row per task and method."""
        return self.pages(pb.ListRunRowsRequest(run_id=run_id, page_size=1000), "rows")

    # Policies

    def policies(self, run_id: str = "") -> Iterator[policy_pb2.Policy]:
        """Stored policies, newest first; those of one run only."""
        return self.pages(pb.ListPoliciesRequest(run_id=run_id), "policies")

    def weights(self, policy_id: str) -> bytes:
        """A policy's file (safetensors), its SHA-256 checked; raises `CallFailed` where another file arrived."""
        data, expected = bytearray(), ""
        for part in self.stream(pb.DownloadPolicyWeightsRequest(policy_id=policy_id)):
            if part.WhichOneof("part") == "header":
                expected = part.header.sha256
            else:
                data += part.chunk
        if hashlib.sha256(data).hexdigest() != expected:
            text = f"weights of {policy_id}: what arrived has another SHA-256 than the registry says"
            raise CallFailed(grpc.StatusCode.DATA_LOSS, text)
        return bytes(data)

    # Clusters

    def session(self, task: Message, *, num_envs: int = 1, seed: int = 0) -> ClientSession:
        """A simulated cluster of a task's `spec`, to act on interval by interval."""
        return ClientSession(self.call, task, num_envs=num_envs, seed=seed)


def _home(request: Message) -> tuple[str, str]:
    name = request.DESCRIPTOR.full_name
    if name not in HOME:
        raise TypeError(f"{name} is no request of any service")
    return HOME[name]


def _of(kind: type[T], message: T) -> T:
    """A field of an answer, typed."""
    assert isinstance(message, kind)
    return message


def _credentials(ca_file: str, cert_file: str, key_file: str) -> grpc.ChannelCredentials:
    ca, key, cert = (Path(file).read_bytes() if file else None for file in (ca_file, key_file, cert_file))
    return grpc.ssl_channel_credentials(ca, key, cert)
