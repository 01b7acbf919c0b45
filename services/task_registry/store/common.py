"""What every part of the store shares: clock, ids, idempotent creation and etags."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from lwmecps_core.errors import AlreadyExists, Conflict, NotFound
from services.task_registry.database import Database
from services.task_registry.models import IdempotencyRow, PolicyRow, RunRow, TaskRow

R = TypeVar("R", TaskRow, RunRow, PolicyRow)

Clock = Callable[[], datetime]

_MADE = select(IdempotencyRow.digest, IdempotencyRow.resource_id).where(
    IdempotencyRow.scope == bindparam("scope_"), IdempotencyRow.request_id == bindparam("request_id_")
)
_MAKE = insert(IdempotencyRow.__table__)  # type: ignore[arg-type]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def new_id(kind: str) -> str:
    """A fresh id such as `task-9f86d081884c7d65`."""
    return f"{kind}-{secrets.token_hex(8)}"


def check_etag(kind: str, id_: str, expected: str, actual: str) -> None:
    """Raise `Conflict` if the caller expected another version; an empty expectation fits every version."""
    if expected and expected != actual:
        raise Conflict(f"{kind} {id_} changed since it was read: etag is {actual!r}, not {expected!r}")


def find(session: Session, row_class: type[R], kind: str, id_: str, *, lock: bool = False) -> R:
    """The row of an id, locked until the transaction ends if asked for; raises `NotFound`."""
    query = select(row_class).where(row_class.id == id_)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(kind, id_)
    return row


@dataclass(frozen=True)
class Creation:
    """An idempotency key: a creation of `scope` under `request_id` (empty: not idempotent) asking for `digest`."""

    scope: str
    request_id: str
    digest: str

    def replay(self, session: Session) -> str | None:
        """Id of what this creation made earlier; raises `AlreadyExists` if `request_id` asked for something else."""
        if not self.request_id:
            return None
        asked = {"scope_": self.scope, "request_id_": self.request_id}
        row = session.connection().execute(_MADE, asked).one_or_none()
        if row is None:
            return None
        if row.digest != self.digest:
            raise AlreadyExists(f"request_id {self.request_id!r} was used for another {self.scope}")
        return str(row.resource_id)

    def record(self, session: Session, resource_id: str, now: datetime) -> None:
        """Remember what was made; a concurrent twin fails on the primary key and is run again."""
        if self.request_id:
            session.connection().execute(_MAKE, vars(self) | {"resource_id": resource_id, "created_at": now})


@dataclass(frozen=True)
class StoreContext:
    """What the parts of the store work with."""

    database: Database
    clock: Clock = utc_now
