"""What a policy believes about a cluster, beside what the task says of it, for the page."""

from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from protos.lwmecps.registry.v1 import memory_pb2, recording_pb2, registry_pb2
from services.common import recordings
from services.gateway import statuses
from services.gateway.asking import Asking


async def beliefs(request: Request) -> Response:
    """One memory of a task in words and units, each line with what the task says."""
    ask, task_id = Asking(request), request.path_params["task_id"]
    memory = (await ask("GetMemory", task_id=task_id, name=request.path_params["name"])).memory
    task = (await ask("GetTask", task_id=task_id)).task
    parts: list[Any] = []
    if task.summary.recording.sha256 and not recordings.holder(task).HasField("recorded_users"):
        parts = await ask.parts(recording_pb2.DownloadRecordingRequest(sha256=task.summary.recording.sha256))
    return statuses.as_json(await run_in_threadpool(_described, memory, task, parts))


def _described(memory: memory_pb2.Memory, task: registry_pb2.Task, parts: Sequence[Any]) -> dict[str, Any]:
    # Here, because PyTorch, which reads the files, and the environments take long to import.
    from lwmecps_core.context import artefact, described
    from lwmecps_core.envs.actions import env_spec

    spec: Any = recordings.value_of(task, lambda _: parts)
    source = f"memory {memory.name}"
    known = artefact.from_bytes(memory.content, source)
    wanted = artefact.subject_of(spec, env_spec(spec), known.subject.context, known.subject.policy_id)
    artefact.check_fits(known, wanted, source)
    columns = ("about", "what", "believed", "stands")
    said = [{name: getattr(belief, name) for name in columns} for belief in described.described(known, spec)]
    return {"context": known.subject.context, "policy_id": known.subject.policy_id, "beliefs": said}
