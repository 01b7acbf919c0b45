"""The library's exceptions.

LwmecpsError
├── InvalidInput        a value the caller gave can't be used; carries field violations
├── NotFound            an id that names nothing
│   └── ModelFileNotFound   a policy's weights are not in the artefact store
├── AlreadyExists       an id or name that is taken
├── WrongState          the operation does not fit the object's state
├── Conflict            somebody else changed the object first (etag), or a stale fencing token
├── QueueFull           a bounded queue had no room before the deadline
├── DamagedArtefact     a stored file is truncated or altered
├── CollectionTimeout   rollouts that were asked for did not arrive in time
├── CollectionFailed    workers gave a request for rollouts up, with the error they had
├── CollectionStopped   whoever asked for rollouts does not want them any more
├── Diverged            a training's weights are no finite numbers any more
├── RunEnded            a run of a search ended without what was wanted of it
├── QueueUnavailable    the message broker can't be reached
├── ClusterUnavailable  the wrapped cluster can't be reached or refuses
│   └── SourceUnavailable   what measures the cluster's use or requests does not answer
├── AccessDenied        the wrapped cluster does not allow it to us
└── ServiceUnavailable  another service can't be reached
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One thing wrong with an input: `field` is a path such as `cluster.nodes[2].cpu_millicores`, `.` the whole."""

    field: str
    reason: str

    def __str__(self) -> str:
        return self.reason if self.field == "." else f"{self.field}: {self.reason}"


class LwmecpsError(Exception):
    """Base of every error that lwmecps raises on purpose."""


class InvalidInput(LwmecpsError):
    """A value that can't be used; `source` names the file or message, `violations` each bad field."""

    def __init__(self, source: str, violations: Sequence[Violation]) -> None:
        self.source = source
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{source}: {v}" for v in self.violations))


class NotFound(LwmecpsError):
    """An id that names nothing."""

    def __init__(self, kind: str, id_: str) -> None:
        self.kind, self.id = kind, id_
        super().__init__(f"{kind} not found: {id_}")


class ModelFileNotFound(NotFound):
    """A policy is registered but its weights are not in the artefact store."""

    def __init__(self, policy_id: str) -> None:
        super().__init__("policy", policy_id)
        self.args = (f"Model file not found: {policy_id}",)


class AlreadyExists(LwmecpsError):
    """An id or name that is taken."""


class WrongState(LwmecpsError):
    """The operation does not fit the object's state."""


class Conflict(LwmecpsError):
    """The object changed since it was read, or the fencing token is stale."""


class QueueFull(LwmecpsError):
    """A bounded queue had no room before the deadline; `refused` are the messages it did not take."""

    def __init__(self, message: str, refused: Sequence[bytes] = ()) -> None:
        self.refused = tuple(refused)
        super().__init__(message)


class DamagedArtefact(LwmecpsError):
    """A stored file is not what was stored: truncated or altered."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"artefact {key} is damaged: {reason}")


class CollectionTimeout(LwmecpsError):
    """Rollouts that were asked for did not arrive in time."""


class CollectionFailed(LwmecpsError):
    """Workers gave a request for rollouts up; the message is the error they had."""


class CollectionStopped(LwmecpsError):
    """Whoever asked for rollouts does not want them any more."""


class RunEnded(LwmecpsError):
    """A run of a search ended without what was wanted of it."""


class Diverged(LwmecpsError):
    """A training whose weights are no finite numbers any more; the message names the first of them and the step."""


class QueueUnavailable(LwmecpsError):
    """The message broker can't be reached."""


class ClusterUnavailable(LwmecpsError):
    """The wrapped cluster can't be reached or refuses."""


class SourceUnavailable(ClusterUnavailable):
    """What measures the cluster's use or its requests does not answer; the message names the source."""


class AccessDenied(LwmecpsError):
    """The wrapped cluster does not allow it to us; the message names the verb and the resource."""


class ServiceUnavailable(LwmecpsError):
    """Another service can't be reached; the message names its address."""
