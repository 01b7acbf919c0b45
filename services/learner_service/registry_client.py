"""The learner's side of the task-registry: typed calls that wait for a registry that is away."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lwmecps_core.errors import InvalidInput, ModelFileNotFound, NotFound, QueueFull, ServiceUnavailable
from lwmecps_core.specs import TaskDistribution, TaskSpec
from protos.lwmecps.registry.v1 import policy_pb2, registry_pb2, run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.common import convert, recordings
from services.common.errors import rpc_errors
from services.learner_service.jobs import End, Job, StepReport, Wish

if TYPE_CHECKING:
    from lwmecps_core.policy import PolicyData

log = structlog.get_logger(__name__)
T = TypeVar("T")

CHUNK_BYTES = 2**20
REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["TaskRegistryService"].full_name
STATES: Mapping[End, run_pb2.RunState] = {
    End.PAUSED: run_pb2.RUN_STATE_PAUSED,
    End.COMPLETED: run_pb2.RUN_STATE_COMPLETED,
    End.FAILED: run_pb2.RUN_STATE_FAILED,
    End.CANCELLED: run_pb2.RUN_STATE_CANCELLED,
}
WISHES: Mapping[int, Wish] = {run_pb2.RUN_STATE_PAUSED: Wish.PAUSE, run_pb2.RUN_STATE_CANCELLED: Wish.CANCEL}


class RegistryClient:
    """`JobRegistry` over gRPC, and the plain calls that the RPCs pass on.

    Calls are repeated with growing, jittered pauses while the registry is away or overloaded: for `patience_s`, or
    `hurry_s` once `hurry` is set (the learner is shutting down). All of them are idempotent or fenced, so a repetition
    does no harm.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        address: str,
        learner_id: str,
        *,
        lease_s: float = 15.0,
        timeout_s: float = 10.0,
        patience_s: float = 120.0,
        hurry_s: float = 2.0,
    ) -> None:
        self.stub = TaskRegistryServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self.hurry = threading.Event()
        self._address, self._learner_id, self._timeout_s = address, learner_id, timeout_s
        self._patience_s, self._hurry_s = patience_s, hurry_s
        self._lease = Duration(nanos=round((lease_s % 1) * 1e9), seconds=int(lease_s))

    # The life of a run: see JobRegistry.

    def claim(self) -> Job | None:
        """A run that waits for a learner; one that can't be understood is FAILED and skipped."""
        request = registry_pb2.ClaimRunRequest(learner_id=self._learner_id, lease_duration=self._lease)
        answer = self.call(self.stub.ClaimRun, request)
        if not answer.HasField("run"):
            return None
        try:
            spec = convert.run_spec_from_message(answer.run.spec)
            return Job(answer.run.id, answer.lease.token, spec, dict(answer.run.labels), answer.run.traceparent)
        except InvalidInput as error:
            log.error("run refused", run_id=answer.run.id, error=str(error))
            self._report(answer.run.id, answer.lease.token, state=run_pb2.RUN_STATE_FAILED, error=str(error))
            return None

    def heartbeat(self, job: Job, waiting_for: str = "") -> Wish:
        """Keep the lease; one attempt, for the next beat comes soon."""
        request = registry_pb2.HeartbeatRequest(
            run_id=job.run_id, token=job.token, lease_duration=self._lease, waiting_for=waiting_for[:1000]
        )
        answer = self.call(self.stub.Heartbeat, request)
        return WISHES.get(answer.desired_state, Wish.RUN)

    def report(self, job: Job, news: StepReport) -> Wish:
        """Store news."""
        return WISHES.get(self._report(job.run_id, job.token, **_fields(news)).desired_state, Wish.RUN)

    def finish(self, job: Job, end: End, news: StepReport, *, error: str = "", policy_id: str = "") -> None:
        """Store the last news and let go of the run."""
        last = {"state": STATES[end], "error": error[:10_000], "result_policy_id": policy_id}
        self._report(job.run_id, job.token, **_fields(news), **last)

    def load_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskSpec | TaskDistribution]:
        """Registered tasks and distributions."""
        return [self._retry(partial(self.get_task, task_id)) for task_id in task_ids]

    def load_policy(self, policy_id: str) -> "PolicyData":
        """A stored policy's weights."""
        return self._retry(lambda: self.get_weights(policy_id))

    def save_policy(self, job: Job, policy: "PolicyData") -> str:
        """Register a run's result and upload its weights; done twice under one lease, it stores one policy."""
        request = registry_pb2.CreatePolicyRequest(
            name=job.spec.label or job.spec.kind,
            run_id=job.run_id,
            token=job.token,
            algorithm=convert.algorithm_to_message(policy.algorithm),
            env_spec=convert.env_spec_to_message(policy.env_spec),
            request_id=f"result-of-{job.run_id}-{job.token}",
        )
        created = self._retry(partial(self.call, self.stub.CreatePolicy, request)).policy
        from lwmecps_core import policy as policy_file  # it imports torch

        data = policy_file.to_bytes(policy)
        header = registry_pb2.PolicyWeightsHeader(policy_id=created.id, token=job.token, artefact=_artefact(data))
        parts = [registry_pb2.UploadPolicyWeightsRequest(header=header)]
        parts += [registry_pb2.UploadPolicyWeightsRequest(chunk=chunk) for chunk in _chunks(data)]
        self._retry(partial(self._upload, self.stub.UploadPolicyWeights, parts))
        return str(created.id)

    def save_checkpoint(self, job: Job, step: int, data: bytes) -> None:
        """Store the run's state."""
        header = registry_pb2.CheckpointHeader(run_id=job.run_id, token=job.token, step=step, artefact=_artefact(data))
        parts = [registry_pb2.UploadCheckpointRequest(header=header)]
        parts += [registry_pb2.UploadCheckpointRequest(chunk=chunk) for chunk in _chunks(data)]
        self._retry(partial(self._upload, self.stub.UploadCheckpoint, parts))

    def load_checkpoint(self, job: Job) -> bytes | None:
        """The newest checkpoint; a run that is claimed for the first time has none."""
        if job.token == 1:
            return None
        request = registry_pb2.DownloadCheckpointRequest(run_id=job.run_id)
        try:
            return self._retry(partial(self._download, self.stub.DownloadCheckpoint, request))
        except NotFound:
            return None

    # What the RPCs ask for: one attempt, for a caller waits.

    def get_task(self, task_id: str) -> TaskSpec | TaskDistribution:
        """A registered task or distribution."""
        task = self.call(self.stub.GetTask, registry_pb2.GetTaskRequest(task_id=task_id)).task
        with rpc_errors(self._address):
            return recordings.value_of(task, partial(self.stub.DownloadRecording, timeout=self._timeout_s))

    def get_policy(self, policy_id: str) -> policy_pb2.Policy:
        """A registered policy; `ModelFileNotFound` when its weights were never uploaded."""
        policy = self.call(self.stub.GetPolicy, registry_pb2.GetPolicyRequest(policy_id=policy_id)).policy
        if not policy.size_bytes:
            raise ModelFileNotFound(policy_id)
        return policy

    def get_weights(self, policy_id: str) -> "PolicyData":
        """A registered policy's weights."""
        from lwmecps_core import policy as policy_file  # it imports torch

        request = registry_pb2.DownloadPolicyWeightsRequest(policy_id=policy_id)
        data = self._download(self.stub.DownloadPolicyWeights, request)
        return policy_file.from_bytes(data, f"policy {policy_id}")

    def check(self) -> None:
        """Raise `ServiceUnavailable` unless the registry says that it serves."""
        request = health_pb2.HealthCheckRequest(service=REGISTRY)
        answer = self.call(self._health.Check, request, 2.0)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ServiceUnavailable(f"the registry at {self._address} does not serve now")

    def call(self, method: Callable[..., T], request: Any, timeout_s: float | None = None) -> T:
        """One call with the caller's own deadline and without repetitions."""
        with rpc_errors(self._address, request):
            return method(request, timeout=timeout_s or self._timeout_s)

    def _report(self, run_id: str, token: int, **fields: Any) -> registry_pb2.ReportRunResponse:
        request = registry_pb2.ReportRunRequest(run_id=run_id, token=token, lease_duration=self._lease, **fields)
        return self._retry(partial(self.call, self.stub.ReportRun, request))

    def _upload(self, method: Callable[..., T], parts: Sequence[Any]) -> T:
        with rpc_errors(self._address, max(parts, key=lambda part: int(part.ByteSize()))):
            return method(iter(parts), timeout=self._timeout_s)

    def _download(self, method: Callable[..., Iterable[Any]], request: Any) -> bytes:
        with rpc_errors(self._address, request):
            return b"".join(part.chunk for part in method(request, timeout=self._timeout_s))

    def _retry(self, call: Callable[[], T]) -> T:
        began, pause_s = time.monotonic(), 0.05
        while True:
            try:
                return call()
            except (ServiceUnavailable, QueueFull) as error:
                waited_s = time.monotonic() - began
                if waited_s > (self._hurry_s if self.hurry.is_set() else self._patience_s):
                    raise ServiceUnavailable(str(error)) from error
                log.debug("waiting for the registry", waited_s=round(waited_s, 1), error=str(error))
            time.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(1.0, pause_s * 2)


def _fields(news: StepReport) -> dict[str, Any]:
    """The fields of a `ReportRunRequest` that hold `news`."""
    metrics = [
        run_pb2.MetricPoint(name=name, step=step, value=value)
        for step, values in news.metrics.items()
        for name, value in values.items()
    ]
    fields: dict[str, Any] = {"metrics": metrics, "wandb_run_id": news.tracking_id}
    fields["rows"] = [convert.row_to_message(row) for row in news.rows]
    if news.step is not None:
        fields |= {"step": news.step, "total_steps": news.total}
    if news.trace:
        fields["traces"] = [convert.trace_to_message(news.step or 0, dict(news.trace))]
    return fields


def _artefact(data: bytes) -> policy_pb2.ArtefactHeader:
    return policy_pb2.ArtefactHeader(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _chunks(data: bytes) -> Iterator[bytes]:
    return (data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES))
