"""Keeping what a policy remembers of a cluster while it acts there."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.markup import escape

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import Conflict, InvalidInput, LwmecpsError, Violation
from lwmecps_core.rollout.actor import Actor, AnyArray, Memory
from lwmecps_core.rollout.play import Seeds
from lwmecps_core.specs import TaskSpec
from protos.lwmecps.registry.v1 import registry_pb2
from services.cli.clients import Clients
from services.cli.places import Place, place
from services.cli.render import errors
from services.common import convert

if TYPE_CHECKING:
    from lwmecps_core.context.artefact import Subject


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
    if known.subject.task != task.name:
        reason = f"what lies there is of {known.subject.task}; keep what is remembered of {task.name} elsewhere"
        raise InvalidInput(str(at), [Violation("task", reason)])
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
