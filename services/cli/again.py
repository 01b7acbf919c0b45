"""Whether a task is registered already."""

from typing import Any

from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli.clients import Clients

LOOKED_AT = 20
"""Registered tasks of one name whose content is compared."""


def same_as(clients: Clients, request: pb.CreateTaskRequest) -> str:
    """The id of a registered task with the same content, and name if it has one; empty for none among the newest.

    At most `LOOKED_AT` are compared; one whose recording is kept beside it is not.
    """
    name = request.name or request.spec.name
    listed = clients.registry("ListTasks", pb.ListTasksRequest(name=name, page_size=LOOKED_AT)).tasks
    for outline in listed:
        if (name and outline.name != name) or outline.summary.HasField("recording"):
            continue
        if _content(clients.registry("GetTask", pb.GetTaskRequest(task_id=outline.id)).task) == _content(request):
            return str(outline.id)
    return ""


def _content(task: Any) -> tuple[str, Any]:
    kind = task.WhichOneof("kind")
    return kind, getattr(task, kind)
