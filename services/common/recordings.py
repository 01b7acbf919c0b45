"""Registered tasks with their recorded users, wherever these are."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from lwmecps_core.errors import DamagedArtefact
from lwmecps_core.specs import TaskDistribution, TaskSpec
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.registry.v1 import recording_pb2, registry_pb2
from protos.lwmecps.task.v1 import task_pb2
from services.common import convert

Download = Callable[[recording_pb2.DownloadRecordingRequest], Iterable[recording_pb2.DownloadRecordingResponse]]


def holder(task: registry_pb2.Task) -> task_pb2.WorkloadSpec | task_pb2.TaskDistribution:
    """The part of a task's message that has `recorded_users`."""
    return task.spec.workload if task.WhichOneof("kind") == "spec" else task.distribution


def value_of(task: registry_pb2.Task, download: Download) -> TaskSpec | TaskDistribution:
    """The task or distribution in a message; recorded users that are kept beside it are fetched by `download`.

    Raises `DamagedArtefact` when those that come are not those that were registered.
    """
    recording, place = task.summary.recording, holder(task)
    if recording.sha256 and not place.HasField("recorded_users"):
        request = recording_pb2.DownloadRecordingRequest(sha256=recording.sha256)
        data = b"".join(part.chunk for part in download(request))
        if hashlib.sha256(data).hexdigest() != recording.sha256:
            raise DamagedArtefact(f"recording {recording.sha256}", "its SHA-256 differs from the registered one")
        shape: Any = (recording.steps, recording.nodes)
        place.recorded_users.CopyFrom(tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT64, shape=shape, data=data))
    if task.WhichOneof("kind") == "distribution":
        return convert.distribution_from_message(task.distribution, f"task {task.id}")
    return convert.task_from_message(task.spec, f"task {task.id}")
