"""Where what a policy remembers of a cluster is kept between one `act` and the next: a file, or the task-registry."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.markup import escape

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import Conflict, InvalidInput, LwmecpsError, NotFound, Violation
from lwmecps_core.rollout.actor import Actor, AnyArray, Memory
from lwmecps_core.rollout.play import Seeds
from lwmecps_core.specs import TaskSpec
from protos.lwmecps.registry.v1 import memory_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.cli.render import errors
from services.cli.tasks import is_file
from services.common import convert

if TYPE_CHECKING:
    from lwmecps_core.context.artefact import Subject

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
    """A file of this machine."""

    path: Path
    every_s: float = 0.0

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes | None:
        """See `Place.read`."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(str(self), [Violation("memory", f"can't be read: {error.strerror}")]) from None

    def write(self, content: bytes) -> None:
        """See `Place.write`."""
        try:
            write_whole(self.path, content)
        except OSError as error:
            raise InvalidInput(str(self), [Violation("memory", f"can't be written: {error.strerror}")]) from None


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
    if not where.startswith(IN_REGISTRY):
        return InFile(Path(where))
    name = where.removeprefix(IN_REGISTRY)
    if not name or not task or is_file(task):
        reason = "registry:NAME needs a name, and the id of a registered task (`lwmecps task create` gives one)"
        raise InvalidInput("options", [Violation("memory", reason)])
    return InRegistry(clients, task, name)


@dataclass
class Keeper:
    """Keeps what is remembered in a place, beginning with what lies there (`start`; empty: nothing yet).

    A place that can't be written at first is an error, and so is another's writing there. Later on the cluster is
    controlled all the same, a warning says so, and `close` raises what is wrong if it lasts.
    """

    place: Place
    subject: "Subject"
    start: Memory = field(default_factory=dict)
    _latest: Memory | None = None
    _written: Memory | None = None
    _due: float = 0.0
    _failing: bool = False

    def keep(self, memory: Memory) -> None:
        """Keep it now, or with the next one, if the last time is not long ago."""
        self._latest = memory
        if time.monotonic() < self._due:
            return
        first = self._written is None
        self._due = time.monotonic() + self.place.every_s
        try:
            self._write(memory)
            self._failing = False
        except LwmecpsError as error:
            if first or isinstance(error, Conflict):
                raise
            if not self._failing:
                errors.print(f"[yellow]{escape(f'what is remembered is not kept at present: {error}')}", soft_wrap=True)
            self._failing = True

    def close(self) -> None:
        """Keep what is remembered last."""
        if self._latest is not None and self._latest is not self._written:
            self._write(self._latest)

    def _write(self, memory: Memory) -> None:
        from lwmecps_core.context import artefact

        self.place.write(artefact.to_bytes(artefact.Knowledge(self.subject, memory)))
        self._written = memory


def keeper_of(clients: Clients, where: str, task_id: str, task: TaskSpec, policy_id: str) -> Keeper:
    """What keeps the memory of a policy that acts on a task; raises `InvalidInput` with both lists where that which
    lies there is of another cluster or context.
    """
    from lwmecps_core.context import artefact  # PyTorch, which reads the files, takes long to import

    at = place(clients, where, task_id)
    record = clients.registry("GetPolicy", registry_pb2.GetPolicyRequest(policy_id=policy_id)).policy
    context = convert.algorithm_from_message(record.algorithm).context
    if context == "none":
        raise InvalidInput("options", [Violation("memory", f"policy {policy_id} remembers nothing")])
    subject = artefact.subject_of(task, env_spec(task), context, policy_id)
    content = at.read()
    if content is None:
        return Keeper(at, subject)
    known = artefact.from_bytes(content, str(at))
    artefact.check_fits(known, subject, str(at))
    return Keeper(at, subject, known.memory)


@dataclass(frozen=True)
class Unforgetting:
    """An actor whose memory is kept as soon as it has changed, before the interval that follows passes."""

    actor: Actor
    keeper: Keeper

    @property
    def noise_size(self) -> int:
        """That of the actor."""
        return self.actor.noise_size

    def begin(self, seeds: Seeds) -> Memory:
        """What was kept, else what the actor begins with."""
        return self.keeper.start or self.actor.begin(seeds)

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """The actor's choice."""
        acted = self.actor.act(memory, seen, noise)
        self.keeper.keep(acted.memory)
        return acted
