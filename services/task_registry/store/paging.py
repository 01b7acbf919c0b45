"""Pages of a list by keyset: a token says after which key to go on, so pages stay right while rows come and go."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lwmecps_core.errors import InvalidInput, Violation
from services.task_registry.domain import Page

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
