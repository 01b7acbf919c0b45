"""Pages of a list by keyset: a token says after which key to go on, so pages stay right while rows come and go."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import select

from lwmecps_core.errors import InvalidInput, Violation
from services.task_registry.database import Database
from services.task_registry.domain import Page
from services.task_registry.models import MemoryRow, PolicyRow, RunRow, TaskRow

N = TypeVar("N", TaskRow, RunRow, PolicyRow, MemoryRow)
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def page_limit(page_size: int) -> int:
    """How many items a page holds: `page_size`, at most 1,000; 0 means 100."""
    return min(page_size, MAX_PAGE_SIZE) if page_size > 0 else DEFAULT_PAGE_SIZE


def digest(*what: Any) -> str:
    """A short digest of plain data, equal for equal data."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]


def read_token(token: str, filters: str) -> list[Any] | None:
    """The key after which the page starts (None: the beginning).

    Raises `InvalidInput` for a token that is not ours, or of a list with other filters (a digest of them: `filters`).
    """
    if not token:
        return None
    try:
        seen, key = json.loads(base64.urlsafe_b64decode(token.encode()))
        if seen != filters or not isinstance(key, list):
            raise ValueError
    except (ValueError, TypeError):
        reason = "is not the token of a previous page of this list"
        raise InvalidInput("request", [Violation("page_token", reason)]) from None
    return key


def cut_page(
    rows: Sequence[R], limit: int, filters: str, key: Callable[[R], list[Any]], item: Callable[[R], T]
) -> Page[T]:
    """A page of `rows`, which were queried with `limit + 1`, so that one too many says there is more."""
    token = ""
    if len(rows) > limit:
        rows = rows[:limit]
        token = base64.urlsafe_b64encode(json.dumps([filters, key(rows[-1])]).encode()).decode()
    return Page(tuple(item(row) for row in rows), token)


def newest_page(
    database: Database,
    row_class: type[N],
    item: Callable[[N], T],
    page_size: int,
    page_token: str,
    equal: Mapping[str, str | None],
) -> Page[T]:
    """A page of a table, newest first: the rows whose columns have the given values (empty: any)."""
    filters = digest(row_class.__tablename__, *equal.values())
    after, limit = read_token(page_token, filters), page_limit(page_size)
    query = select(row_class).order_by(row_class.seq.desc()).limit(limit + 1)
    query = query.where(*(getattr(row_class, column) == value for column, value in equal.items() if value))
    if after:
        query = query.where(row_class.seq < after[0])
    with database.read() as session:
        return cut_page(session.scalars(query).all(), limit, filters, lambda row: [row.seq], item)
