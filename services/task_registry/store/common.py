"""What every part of the store shares: clock, ids, idempotent creation and etags."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from lwmecps_core.errors import AlreadyExists, Conflict, NotFound
from services.task_registry.database import Database, insert_into
from services.task_registry.models import IdempotencyRow, PolicyRow, RunRow, TaskRow

R = TypeVar("R", TaskRow, RunRow, PolicyRow)

Clock = Callable[[], datetime]

_MADE = select(IdempotencyRow.digest, IdempotencyRow.resource_id).where(
    IdempotencyRow.scope == bindparam("scope_"), IdempotencyRow.request_id == bindparam("request_id_")
)


@cache
def _make(dialect: str) -> Any:
    made = insert_into(IdempotencyRow.__table__, dialect).on_conflict_do_nothing()
    return made.execution_options(preserve_rowcount=True)


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

    def before(self, session: Session, resource_id: str, now: datetime) -> str | None:
        """Id of what this creation made earlier; None where it made nothing, and then `resource_id` is remembered.

        Waits for a concurrent twin. Raises `AlreadyExists` if `request_id` asked for something else.
        """
        if not self.request_id:
            return None
        connection = session.connection()
        made = connection.execute(
            _make(connection.dialect.name), vars(self) | {"resource_id": resource_id, "created_at": now}
        )
        if made.rowcount:
            return None
        asked = {"scope_": self.scope, "request_id_": self.request_id}
        row = connection.execute(_MADE, asked).one()
        if row.digest != self.digest:
            raise AlreadyExists(f"request_id {self.request_id!r} was used for another {self.scope}")
        return str(row.resource_id)


@dataclass(frozen=True)
class StoreContext:
    """What the parts of the store work with."""

    database: Database
    clock: Clock = utc_now
