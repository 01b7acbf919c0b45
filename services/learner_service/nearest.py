"""Which of the clusters that the registry keeps memories of one is like."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.context import artefact
from lwmecps_core.errors import InvalidInput, NotFound, Violation
from lwmecps_core.meta import likeness
from lwmecps_core.meta.likeness import Reason
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import memory_pb2
from services.learner_service.registry_client import RegistryClient

MOST_KNOWN, PAGE, SHOWN = 1000, 500, 5
Portrait = tuple[artefact.Subject, NDArray[np.float64]]


class KnownClusters:
    """Compares with what the registry keeps; what it has read once it knows by its version."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry, self._read, self._lock = registry, OrderedDict[str, Portrait | str](), threading.Lock()

    def nearest(self, request: pb.GetNearestContextsRequest, left_s: float | None) -> pb.GetNearestContextsResponse:
        """See the contract; raises `InvalidInput` where what is asked about, or the metric, is nothing to compare."""
        metric = likeness.from_bytes(request.metric, "metric") if request.metric else None
        _, one = _portrait(self._asked(request, left_s), "request")
        answer, found = pb.GetNearestContextsResponse(), list[tuple[Any, Portrait]]()
        for memory in self._kept(left_s):
            if memory.task_id == request.task_id:
                continue
            known = self._known(memory, left_s)
            if isinstance(known, str):
                answer.skipped.add(task_id=memory.task_id, name=memory.name, reason=known)
            elif known is not None:
                found.append((memory, known))
        rows = np.array([row for _, (_, row) in found]).reshape(-1, len(one))
        for near in likeness.nearest(rows, one, metric, request.limit or SHOWN):
            memory, (subject, _) = found[near.place]
            answer.nearest.add(
                task_id=memory.task_id,
                name=memory.name,
                policy_id=subject.policy_id,
                task=subject.task,
                distance=near.distance,
                alike=map(_reason, near.alike),
                differs=map(_reason, near.differs),
            )
        return answer

    def _asked(self, request: pb.GetNearestContextsRequest, left_s: float | None) -> bytes:
        if request.content:
            return request.content
        missing = [n for n in ("task_id", "name") if not getattr(request, n)]
        if missing:
            raise InvalidInput("request", [Violation(n, "is needed where content is not given") for n in missing])
        return self._content(request.task_id, request.name, left_s)

    def _kept(self, left_s: float | None) -> list[memory_pb2.Memory]:
        """The newest, without contents."""
        found: list[memory_pb2.Memory] = []
        asked = memory_pb2.ListMemoriesRequest(page_size=PAGE)
        while len(found) < MOST_KNOWN:
            page = self._registry.call(self._registry.stub.ListMemories, asked, left_s)
            found += page.memories
            if not page.next_page_token:
                break
            asked.page_token = page.next_page_token
        return found[:MOST_KNOWN]

    def _known(self, memory: memory_pb2.Memory, left_s: float | None) -> Portrait | str | None:
        """Its portrait, or why it has none; None where it was deleted meanwhile."""
        with self._lock:
            if memory.etag in self._read:
                self._read.move_to_end(memory.etag)
                return self._read[memory.etag]
        try:
            found: Portrait | str = _portrait(self._content(memory.task_id, memory.name, left_s), "memory")
        except NotFound:
            return None
        except InvalidInput as error:
            found = str(error)
        with self._lock:
            self._read[memory.etag] = found
            while len(self._read) > MOST_KNOWN:
                self._read.popitem(last=False)
        return found

    def _content(self, task_id: str, name: str, left_s: float | None) -> bytes:
        asked = memory_pb2.GetMemoryRequest(task_id=task_id, name=name)
        content: bytes = self._registry.call(self._registry.stub.GetMemory, asked, left_s).memory.content
        return content


def _portrait(content: bytes, source: str) -> Portrait:
    known = artefact.from_bytes(content, source)
    return known.subject, likeness.portrait(known, source)


def _reason(reason: Reason) -> pb.ContextReason:
    return pb.ContextReason(quantity=reason.quantity, here=reason.here, there=reason.there, distance=reason.distance)
