"""`TaskRegistryService`: each method reads its request, asks the store, and writes the answer.

Errors are raised as domain errors; what is wrong with a request's fields by themselves was refused before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from lwmecps_core.errors import NotFound
from lwmecps_core.specs import TaskDistribution, TaskSpec
from protos.lwmecps.registry.v1 import memory_pb2, policy_pb2, recording_pb2, registry_pb2_grpc, run_pb2, snapshot_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.common import convert, run_kinds, tracing
from services.common.snapshots import files_of, parts_of
from services.task_registry import lifecycle
from services.task_registry import messages as m
from services.task_registry.artefacts import CHUNK_BYTES
from services.task_registry.domain import ListedTask, Page, Run
from services.task_registry.store import Clock, Store, utc_now

ListResponse = TypeVar("ListResponse", bound=Message)
T = TypeVar("T")

POLL_S = 0.5
"""How soon a watcher notices what it is not woken for: changes by another process, and the end of the call."""
MAX_LIST_BYTES = 4 * 1024 * 1024
"""What every client of gRPC takes unless it was told otherwise; a few bytes around a task fit beside it."""
AROUND_BYTES = 64
NEWS_PER_MESSAGE = 1000


class TaskRegistryServicer(registry_pb2_grpc.TaskRegistryServiceServicer):
    """The service over one store."""

    def __init__(self, store: Store, clock: Clock = utc_now) -> None:
        self._store, self._clock = store, clock

    def CreateTask(self, request: pb.CreateTaskRequest, context: grpc.ServicerContext) -> pb.CreateTaskResponse:
        spec: TaskSpec | TaskDistribution
        if request.WhichOneof("kind") == "spec":
            spec = convert.task_from_message(request.spec, "spec")
        else:
            spec = convert.distribution_from_message(request.distribution, "distribution")
        task = self._store.tasks.create(spec, request.name, dict(request.labels), request.request_id)
        return pb.CreateTaskResponse(task=m.task_to_message(task, MAX_LIST_BYTES - AROUND_BYTES))

    def GetTask(self, request: pb.GetTaskRequest, context: grpc.ServicerContext) -> pb.GetTaskResponse:
        return pb.GetTaskResponse(task=self._shown(request.task_id, request.view or recording_pb2.TASK_VIEW_FULL))

    def ListTasks(self, request: pb.ListTasksRequest, context: grpc.ServicerContext) -> pb.ListTasksResponse:
        return _fitting(
            request.page_size,
            lambda size: self._store.tasks.list(size, request.page_token, request.name, request.family),
            lambda task: self._listed(task, request.view),
            lambda tasks, token: pb.ListTasksResponse(tasks=tasks, next_page_token=token),
        )

    def DownloadRecording(
        self, request: recording_pb2.DownloadRecordingRequest, context: grpc.ServicerContext
    ) -> Iterator[recording_pb2.DownloadRecordingResponse]:
        content = self._store.tasks.recording(request.sha256)
        header = policy_pb2.ArtefactHeader(size_bytes=len(content), sha256=request.sha256)
        yield recording_pb2.DownloadRecordingResponse(header=header)
        for begin in range(0, len(content), CHUNK_BYTES):
            yield recording_pb2.DownloadRecordingResponse(chunk=content[begin : begin + CHUNK_BYTES])

    def DeleteTask(self, request: pb.DeleteTaskRequest, context: grpc.ServicerContext) -> pb.DeleteTaskResponse:
        self._store.tasks.delete(request.task_id, request.etag)
        return pb.DeleteTaskResponse()

    def CreateRun(self, request: pb.CreateRunRequest, context: grpc.ServicerContext) -> pb.CreateRunResponse:
        spec = convert.run_spec_from_message(request.spec)
        run = self._store.runs.create(
            spec, dict(request.labels), request.request_id, request.paused, tracing.traceparent()
        )
        return pb.CreateRunResponse(run=self._message(run))

    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=self._message(self._store.runs.get(request.run_id)))

    def ListRuns(self, request: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        state, kind = m.state_from_message(request.state), run_kinds.kind_from_message(request.kind)
        return _fitting(
            request.page_size,
            lambda size: self._store.runs.list(size, request.page_token, state, kind),
            lambda run: m.run_in_passing(run, self._clock()),
            lambda runs, token: pb.ListRunsResponse(runs=runs, next_page_token=token),
        )

    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchRunResponse]:
        changed, revision, waited = self._store.runs.changed, 0, ""
        after_step = request.after_step if request.HasField("after_step") else -1
        context.add_callback(lambda: changed.notify(request.run_id))  # the caller hung up: look at once
        while context.is_active():
            seen = changed.count(request.run_id)
            news = self._store.runs.news(request.run_id, revision, after_step)
            now = self._clock()
            waits = lifecycle.waits_for(news.run, now)
            if news.run.revision > revision or waits != waited:
                yield from m.news_to_message(news, NEWS_PER_MESSAGE, now)
                revision, waited = news.run.revision, waits
            if news.run.state.finished:
                return
            changed.wait(request.run_id, seen, POLL_S)

    def PauseRun(self, request: pb.PauseRunRequest, context: grpc.ServicerContext) -> pb.PauseRunResponse:
        return pb.PauseRunResponse(run=self._message(self._store.runs.pause(request.run_id, request.etag)))

    def ResumeRun(self, request: pb.ResumeRunRequest, context: grpc.ServicerContext) -> pb.ResumeRunResponse:
        return pb.ResumeRunResponse(run=self._message(self._store.runs.resume(request.run_id, request.etag)))

    def CancelRun(self, request: pb.CancelRunRequest, context: grpc.ServicerContext) -> pb.CancelRunResponse:
        return pb.CancelRunResponse(run=self._message(self._store.runs.cancel(request.run_id, request.etag)))

    def DeleteRun(self, request: run_pb2.DeleteRunRequest, context: grpc.ServicerContext) -> run_pb2.DeleteRunResponse:
        self._store.checkpoints.delete_run(request.run_id, request.etag)
        return run_pb2.DeleteRunResponse()

    def ListRunMetrics(
        self, request: pb.ListRunMetricsRequest, context: grpc.ServicerContext
    ) -> pb.ListRunMetricsResponse:
        self._store.runs.get(request.run_id)
        page = self._store.records.metrics(request.run_id, request.page_size, request.page_token, request.name)
        return pb.ListRunMetricsResponse(
            metrics=map(m.metric_to_message, page.items), next_page_token=page.next_page_token
        )

    def ListRunRows(self, request: pb.ListRunRowsRequest, context: grpc.ServicerContext) -> pb.ListRunRowsResponse:
        self._store.runs.get(request.run_id)
        page = self._store.records.rows(request.run_id, request.page_size, request.page_token)
        rows = map(convert.row_to_message, page.items)
        return pb.ListRunRowsResponse(rows=rows, next_page_token=page.next_page_token)

    def ListRunTraces(
        self, request: pb.ListRunTracesRequest, context: grpc.ServicerContext
    ) -> pb.ListRunTracesResponse:
        self._store.runs.get(request.run_id)
        return _fitting(
            request.page_size,
            lambda size: self._store.records.traces(request.run_id, size, request.page_token),
            m.trace_to_message,
            lambda traces, token: pb.ListRunTracesResponse(traces=traces, next_page_token=token),
        )

    def ClaimRun(self, request: pb.ClaimRunRequest, context: grpc.ServicerContext) -> pb.ClaimRunResponse:
        run = self._store.runs.claim(request.learner_id, m.lease_from_message(request.lease_duration))
        if run is None:
            return pb.ClaimRunResponse()
        return pb.ClaimRunResponse(run=self._message(run), lease=m.lease_to_message(run))

    def Heartbeat(self, request: pb.HeartbeatRequest, context: grpc.ServicerContext) -> pb.HeartbeatResponse:
        lease = m.lease_from_message(request.lease_duration)
        run = self._store.runs.heartbeat(request.run_id, request.token, lease, request.waiting_for)
        return pb.HeartbeatResponse(lease=m.lease_to_message(run), desired_state=m.state_to_message(run.desired_state))

    def ReportRun(self, request: pb.ReportRunRequest, context: grpc.ServicerContext) -> pb.ReportRunResponse:
        said, lease = m.report_from_message(request, self._clock()), m.lease_from_message(request.lease_duration)
        run = self._store.runs.report(request.run_id, request.token, said, lease)
        return pb.ReportRunResponse(lease=m.lease_to_message(run), desired_state=m.state_to_message(run.desired_state))

    def UploadCheckpoint(
        self, request_iterator: Iterator[pb.UploadCheckpointRequest], context: grpc.ServicerContext
    ) -> pb.UploadCheckpointResponse:
        header: pb.CheckpointHeader = m.read_header(request_iterator)
        checkpoint = self._store.checkpoints.upload(
            header.run_id,
            header.token,
            header.step,
            m.read_chunks(request_iterator),
            m.expected_from_message(header.artefact),
        )
        return pb.UploadCheckpointResponse(step=checkpoint.step)

    def DownloadCheckpoint(
        self, request: pb.DownloadCheckpointRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadCheckpointResponse]:
        checkpoint, chunks = self._store.checkpoints.download(request.run_id)
        header = pb.CheckpointHeader(
            run_id=checkpoint.run_id,
            token=checkpoint.token,
            step=checkpoint.step,
            artefact=m.artefact_to_message(checkpoint.artefact),
        )
        yield pb.DownloadCheckpointResponse(header=header)
        yield from (pb.DownloadCheckpointResponse(chunk=chunk) for chunk in chunks)

    def CreatePolicy(self, request: pb.CreatePolicyRequest, context: grpc.ServicerContext) -> pb.CreatePolicyResponse:
        policy = self._store.policies.create(
            request.name,
            convert.algorithm_from_message(request.algorithm, "algorithm"),
            convert.env_spec_from_message(request.env_spec, "env_spec"),
            dict(request.labels),
            request.run_id,
            request.token,
            request.request_id,
        )
        return pb.CreatePolicyResponse(policy=m.policy_to_message(policy))

    def GetPolicy(self, request: pb.GetPolicyRequest, context: grpc.ServicerContext) -> pb.GetPolicyResponse:
        return pb.GetPolicyResponse(policy=m.policy_to_message(self._store.policies.get(request.policy_id)))

    def DeletePolicy(
        self, request: policy_pb2.DeletePolicyRequest, context: grpc.ServicerContext
    ) -> policy_pb2.DeletePolicyResponse:
        self._store.policies.delete(request.policy_id, request.etag)
        return policy_pb2.DeletePolicyResponse()

    def ListPolicies(self, request: pb.ListPoliciesRequest, context: grpc.ServicerContext) -> pb.ListPoliciesResponse:
        return _fitting(
            request.page_size,
            lambda size: self._store.policies.list(size, request.page_token, request.run_id, request.name),
            m.policy_to_message,
            lambda policies, token: pb.ListPoliciesResponse(policies=policies, next_page_token=token),
        )

    def UploadPolicyWeights(
        self, request_iterator: Iterator[pb.UploadPolicyWeightsRequest], context: grpc.ServicerContext
    ) -> pb.UploadPolicyWeightsResponse:
        header: pb.PolicyWeightsHeader = m.read_header(request_iterator)
        policy = self._store.policies.upload(
            header.policy_id, header.token, m.read_chunks(request_iterator), m.expected_from_message(header.artefact)
        )
        return pb.UploadPolicyWeightsResponse(policy=m.policy_to_message(policy))

    def DownloadPolicyWeights(
        self, request: pb.DownloadPolicyWeightsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadPolicyWeightsResponse]:
        artefact, chunks = self._store.policies.download(request.policy_id)
        yield pb.DownloadPolicyWeightsResponse(header=m.artefact_to_message(artefact))
        yield from (pb.DownloadPolicyWeightsResponse(chunk=chunk) for chunk in chunks)

    def PutMemory(
        self, request: memory_pb2.PutMemoryRequest, context: grpc.ServicerContext
    ) -> memory_pb2.PutMemoryResponse:
        kept = self._store.memories.put(request.task_id, request.name, request.content, request.etag)
        return memory_pb2.PutMemoryResponse(memory=m.memory_to_message(kept))

    def GetMemory(
        self, request: memory_pb2.GetMemoryRequest, context: grpc.ServicerContext
    ) -> memory_pb2.GetMemoryResponse:
        kept = self._store.memories.get(request.task_id, request.name)
        return memory_pb2.GetMemoryResponse(memory=m.memory_to_message(kept))

    def ListMemories(
        self, request: memory_pb2.ListMemoriesRequest, context: grpc.ServicerContext
    ) -> memory_pb2.ListMemoriesResponse:
        page = self._store.memories.list(request.page_size, request.page_token, request.task_id)
        memories = map(m.memory_to_message, page.items)
        return memory_pb2.ListMemoriesResponse(memories=memories, next_page_token=page.next_page_token)

    def DeleteMemory(
        self, request: memory_pb2.DeleteMemoryRequest, context: grpc.ServicerContext
    ) -> memory_pb2.DeleteMemoryResponse:
        self._store.memories.delete(request.task_id, request.name, request.etag)
        return memory_pb2.DeleteMemoryResponse()

    def Backup(
        self, request: snapshot_pb2.BackupRequest, context: grpc.ServicerContext
    ) -> Iterator[snapshot_pb2.BackupResponse]:
        with closing(self._store.snapshots.take()) as files:
            for file, content in parts_of(files):
                if not context.is_active():
                    return
                yield snapshot_pb2.BackupResponse(**({"file": file} if file else {"content": content}))

    def Restore(
        self, request_iterator: Iterator[snapshot_pb2.RestoreRequest], context: grpc.ServicerContext
    ) -> snapshot_pb2.RestoreResponse:
        first = next(request_iterator, None)
        parts = chain([] if first is None else [first], request_iterator)
        done = self._store.snapshots.put_back(files_of(parts), first is not None and first.replace)
        return snapshot_pb2.RestoreResponse(rows=done.rows, artefacts=done.artefacts)

    def _listed(self, task: ListedTask, view: recording_pb2.TaskView) -> pb.Task:
        if view in (recording_pb2.TASK_VIEW_UNSPECIFIED, recording_pb2.TASK_VIEW_SUMMARY):
            return m.listed_task_to_message(task)
        try:
            return self._shown(task.id, view)
        except NotFound:  # it went since the page was read, and there was a time when it was all there
            return m.listed_task_to_message(task)

    def _shown(self, task_id: str, view: recording_pb2.TaskView) -> pb.Task:
        if view == recording_pb2.TASK_VIEW_SUMMARY:
            return m.listed_task_to_message(self._store.tasks.find(task_id))
        room = MAX_LIST_BYTES - AROUND_BYTES if view == recording_pb2.TASK_VIEW_FULL else 0
        return m.task_to_message(self._store.tasks.get(task_id), room)

    def _message(self, run: Run) -> run_pb2.Run:
        return m.run_to_message(run, self._clock())


def _fitting(
    page_size: int,
    read: Callable[[int], Page[T]],
    shown: Callable[[T], Message],
    answer: Callable[[Sequence[Any], str], ListResponse],
) -> ListResponse:
    """The answer to a list, with fewer items than asked for where they would make too large a message."""
    while True:
        page = read(page_size)
        messages: list[Message] = []
        size = 0
        for item in page.items:
            message = shown(item)
            size += message.ByteSize() + AROUND_BYTES
            if messages and size > MAX_LIST_BYTES:
                break
            messages.append(message)
        else:
            return answer(messages, page.next_page_token)
        page_size = len(messages)  # read again: its token is another one, and what comes first may be, too
