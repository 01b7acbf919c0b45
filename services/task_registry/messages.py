"""The registry's values ↔ the messages of `lwmecps.registry.v1`; pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskSpec
from protos.lwmecps.registry.v1 import memory_pb2, policy_pb2, recording_pb2, registry_pb2, run_pb2
from services.common import convert, recordings
from services.task_registry import lifecycle
from services.task_registry.domain import (
    Artefact,
    ListedTask,
    MetricPoint,
    News,
    Policy,
    Report,
    Run,
    RunState,
    StoredMemory,
    Task,
    Trace,
)
from services.task_registry.store import LEASE, Expected

_STATE_PREFIX = "RUN_STATE_"


def listed_task_to_message(task: ListedTask) -> registry_pb2.Task:
    """The message of a registered task as lists show it."""
    s, kind = task.summary, f"TASK_KIND_{task.summary.kind.upper()}"
    summary = recording_pb2.TaskSummary(
        kind=cast(recording_pb2.TaskKind, recording_pb2.TaskKind.Value(kind)),
        env_id=s.env_id,
        family=s.family,
        nodes=s.nodes,
        deployments=s.deployments,
        horizon=s.horizon,
    )
    if s.recording:
        size = s.recording.size_bytes
        summary.recording.MergeFrom(recording_pb2.Recording(**vars(s.recording), size_bytes=size))
    return registry_pb2.Task(
        id=task.id,
        name=task.name,
        labels=task.labels,
        etag=task.etag,
        create_time=convert.time_to_message(task.created_at),
        summary=summary,
    )


def task_to_message(task: Task, room_bytes: int) -> registry_pb2.Task:
    """The message of a registered task, without its recorded users where it would be larger than `room_bytes`."""
    message = listed_task_to_message(task)
    if isinstance(task.spec, TaskSpec):
        message.spec.CopyFrom(convert.task_to_message(task.spec))
    else:
        message.distribution.CopyFrom(convert.distribution_to_message(task.spec))
    if message.ByteSize() > room_bytes:
        recordings.holder(message).ClearField("recorded_users")
    return message


def state_to_message(state: RunState) -> run_pb2.RunState:
    """The enum value of a run's state."""
    return cast(run_pb2.RunState, run_pb2.RunState.Value(_STATE_PREFIX + state.name))


def state_from_message(state: run_pb2.RunState) -> RunState | None:
    """The state of an enum value; None when it is not set."""
    if state == run_pb2.RUN_STATE_UNSPECIFIED:
        return None
    return RunState[run_pb2.RunState.Name(state).removeprefix(_STATE_PREFIX)]


def run_to_message(run: Run, now: datetime) -> run_pb2.Run:
    """The message of a run, which says what the run waits for `now`."""
    return run_pb2.Run(
        id=run.id,
        spec=convert.run_spec_to_message(run.spec),
        labels=run.labels,
        state=state_to_message(run.state),
        desired_state=state_to_message(run.desired_state),
        step=run.step,
        total_steps=run.total_steps,
        latest_metrics=run.latest_metrics,
        error=run.error,
        owner=run.owner,
        wandb_run_id=run.wandb_run_id,
        result_policy_id=run.result_policy_id,
        create_time=convert.time_to_message(run.created_at),
        update_time=convert.time_to_message(run.updated_at),
        start_time=convert.time_to_message(run.started_at),
        end_time=convert.time_to_message(run.finished_at),
        etag=run.etag,
        waiting_for=lifecycle.waits_for(run, now),
        traceparent=run.traceparent,
    )


def run_in_passing(run: Run, now: datetime) -> run_pb2.Run:
    """As `run_to_message`, without the file of a rule: for lists, and for those who watch a run step by step."""
    message = run_to_message(run, now)
    if message.spec.algorithm.HasField("disco"):
        message.spec.algorithm.disco.ClearField("rule")
    return message


def lease_to_message(run: Run) -> run_pb2.Lease | None:
    """The message of the lease on a run; None when nobody holds it."""
    if run.lease_expires_at is None:
        return None
    return run_pb2.Lease(run_id=run.id, token=run.token, expire_time=convert.time_to_message(run.lease_expires_at))


def lease_from_message(duration: Duration) -> timedelta:
    """How long a lease lasts; 30 s when that is not said."""
    return duration.ToTimedelta() or LEASE


def report_from_message(request: registry_pb2.ReportRunRequest, now: datetime) -> Report:
    """What a learner says about its run; points without a time were measured `now`."""
    return Report(
        state=state_from_message(request.state) or RunState.RUNNING,
        step=request.step if request.HasField("step") else None,
        total_steps=request.total_steps if request.HasField("total_steps") else None,
        error=request.error,
        result_policy_id=request.result_policy_id,
        wandb_run_id=request.wandb_run_id,
        metrics=tuple(
            MetricPoint(p.name, p.step, p.value, convert.time_from_message(p.time) if p.HasField("time") else now)
            for p in request.metrics
        ),
        rows=tuple(convert.row_from_message(row) for row in request.rows),
        traces=tuple(
            Trace(each.step, convert.trace_from_message(each, f"traces[{i}]")) for i, each in enumerate(request.traces)
        ),
    )


def metric_to_message(point: MetricPoint) -> run_pb2.MetricPoint:
    """The message of one value of a metric."""
    return run_pb2.MetricPoint(
        name=point.name, step=point.step, value=point.value, time=convert.time_to_message(point.time)
    )


def trace_to_message(trace: Trace) -> run_pb2.Trace:
    """The message of a trace."""
    return convert.trace_to_message(trace.step, trace.series)


def news_to_message(news: News, at_most: int, now: datetime) -> Iterator[registry_pb2.WatchRunResponse]:
    """Messages that tell what is new, each with at most `at_most` metrics and as many rows."""
    for start in range(0, max(len(news.metrics), len(news.rows), 1), at_most):
        part = slice(start, start + at_most)
        yield registry_pb2.WatchRunResponse(
            run=run_in_passing(news.run, now),
            metrics=[metric_to_message(point) for point in news.metrics[part]],
            rows=[convert.row_to_message(row) for row in news.rows[part]],
        )


def policy_to_message(policy: Policy) -> policy_pb2.Policy:
    """The message of a policy."""
    message = policy_pb2.Policy(
        id=policy.id,
        name=policy.name,
        run_id=policy.run_id,
        labels=policy.labels,
        etag=policy.etag,
        algorithm=convert.algorithm_to_message(policy.algorithm),
        env_spec=convert.env_spec_to_message(policy.env_spec),
        create_time=convert.time_to_message(policy.created_at),
    )
    if policy.artefact is not None:
        message.size_bytes, message.sha256 = policy.artefact.size_bytes, policy.artefact.sha256
    return message


def memory_to_message(memory: StoredMemory) -> memory_pb2.Memory:
    """The message of what a policy remembers of a cluster."""
    return memory_pb2.Memory(
        task_id=memory.task_id,
        name=memory.name,
        content=memory.content,
        size_bytes=memory.size_bytes,
        etag=memory.etag,
        create_time=convert.time_to_message(memory.created_at),
        update_time=convert.time_to_message(memory.updated_at),
    )


def artefact_to_message(artefact: Artefact) -> policy_pb2.ArtefactHeader:
    """What a download announces."""
    return policy_pb2.ArtefactHeader(size_bytes=artefact.size_bytes, sha256=artefact.sha256)


def expected_from_message(message: policy_pb2.ArtefactHeader) -> Expected:
    """What an upload announces."""
    return Expected(size_bytes=message.size_bytes, sha256=message.sha256)


UploadPart = registry_pb2.UploadPolicyWeightsRequest | registry_pb2.UploadCheckpointRequest


def read_header(parts: Iterator[UploadPart]) -> Any:
    """The header that every upload begins with; raises `InvalidInput` when something else comes first."""
    first = next(parts, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidInput("request", [Violation("header", "must be the first message of an upload")])
    return first.header


def read_chunks(parts: Iterable[UploadPart]) -> Iterator[bytes]:
    """The content that follows; raises `InvalidInput` for a second header."""
    for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise InvalidInput("request", [Violation("chunk", "only chunks may follow the header")])
        yield part.chunk
