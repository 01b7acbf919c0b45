"""What interceptors add to a call."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class _Details(NamedTuple):
    """A call's details with other metadata (gRPC's own type has no public constructor)."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def with_metadata(details: Any, more: Iterable[tuple[str, str]]) -> Any:
    """The details of a call, with `more` metadata."""
    metadata = [*(details.metadata or ()), *more]
    return _Details(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready, details.compression
    )
