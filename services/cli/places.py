"""Where what a policy remembers of a cluster is kept between one `act` and the next: a file, or the task-registry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lwmecps_core.errors import Conflict, InvalidInput, NotFound, Violation
from protos.lwmecps.registry.v1 import memory_pb2 as pb
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.cli.tasks import is_file

IN_REGISTRY = "registry:"
WHERE = "FILE, or registry:NAME of a registered --task."
CALL_S = 5.0
"""How long the registry may take: a cluster waits meanwhile."""


class Place(Protocol):
    """Where the file of a memory lies."""

    every_s: float
    """How often it is written at most."""

    def read(self) -> bytes | None:
        """What lies there; None: nothing."""

    def write(self, content: bytes) -> None:
        """Put it there, whole or not at all."""


@dataclass
class InFile:
    """A file of this machine; what somebody else wrote there since it was read is not replaced."""

    path: Path
    every_s: float = 0.0
    _read: bool = False
    _known: bytes | None = None
    """What was there when it was read or written last."""

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes | None:
        """See `Place.read`."""
        self._read, self._known = True, self._content()
        return self._known

    def write(self, content: bytes) -> None:
        """See `Place.write`; raises `Conflict`."""
        if self._read and self._content() not in (self._known, None):
            raise Conflict(f"{self}: somebody else keeps a memory there, and has changed it meanwhile")
        try:
            write_whole(self.path, content)
            self._known = content
        except OSError as error:
            raise InvalidInput(str(self), [Violation("memory", f"can't be written: {error.strerror}")]) from None

    def _content(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(str(self), [Violation("memory", f"can't be read: {error.strerror}")]) from None


@dataclass
class InRegistry:
    """A name among the memories of a registered task; what somebody else put there meanwhile is not replaced."""

    clients: Clients
    task_id: str
    name: str
    every_s: float = 2.0
    etag: str = ""

    def __str__(self) -> str:
        return f"{IN_REGISTRY}{self.name} of {self.task_id}"

    def read(self) -> bytes | None:
        """See `Place.read`."""
        try:
            request = pb.GetMemoryRequest(task_id=self.task_id, name=self.name)
            memory: pb.Memory = self.clients.registry("GetMemory", request).memory
        except NotFound:
            return None
        self.etag = memory.etag
        return memory.content

    def write(self, content: bytes) -> None:
        """See `Place.write`; raises `Conflict`."""
        request = pb.PutMemoryRequest(task_id=self.task_id, name=self.name, content=content, etag=self.etag)
        self.etag = self.clients.registry("PutMemory", request, CALL_S).memory.etag


def place(clients: Clients, where: str, task: str) -> InFile | InRegistry:
    """The place that an option names; raises `InvalidInput` where the registry can't keep it."""
    if not where:
        raise InvalidInput("options", [Violation("memory", f"is empty; give {WHERE}")])
    if not where.startswith(IN_REGISTRY):
        return InFile(Path(where))
    name = where.removeprefix(IN_REGISTRY)
    if not name or not task or is_file(task):
        reason = "registry:NAME needs a name and, as --task, the id of a registered task (see `lwmecps task create`)"
        raise InvalidInput("options", [Violation("memory", reason)])
    return InRegistry(clients, task, name)
