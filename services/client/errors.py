"""Errors of calls, as exceptions.

CallFailed          anything that a call can end with; carries the status code, the message, and the fields that are bad
├── BadInput        a field that can't be used: see `violations`
├── NothingThere    an id that names nothing
├── CallRefused     it exists already, is in the wrong state, was changed meanwhile, or something is full
├── NotPermitted    no token, an unknown one, or one without the scope that the method needs
└── Unreachable     nobody answered in time
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "lwmecps"
"""Of the errors that our services raise."""


@dataclass(frozen=True)
class FieldViolation:
    """A bad field: its path in the request, such as `distribution.nodes`, and why."""

    field: str
    reason: str


class CallFailed(Exception):
    """A call that ended with an error; `reason` is its class at the service, empty where none of ours raised it."""

    def __init__(
        self, code: grpc.StatusCode, message: str, reason: str = "", violations: tuple[FieldViolation, ...] = ()
    ) -> None:
        self.code, self.message, self.reason, self.violations = code, message, reason, violations
        super().__init__(message)


class BadInput(CallFailed):
    """A value that can't be used; `violations` names each bad field."""


class NothingThere(CallFailed):
    """An id that names nothing."""


class CallRefused(CallFailed):
    """It exists already, is in the wrong state, was changed meanwhile, or something is full."""


class NotPermitted(CallFailed):
    """No token, an unknown one, or one without the scope that the method needs."""


class Unreachable(CallFailed):
    """Nobody answered in time."""


_CODE = grpc.StatusCode
CLASSES: dict[grpc.StatusCode, type[CallFailed]] = {
    _CODE.INVALID_ARGUMENT: BadInput,
    _CODE.NOT_FOUND: NothingThere,
    _CODE.ALREADY_EXISTS: CallRefused,
    _CODE.FAILED_PRECONDITION: CallRefused,
    _CODE.ABORTED: CallRefused,
    _CODE.RESOURCE_EXHAUSTED: CallRefused,
    _CODE.UNAUTHENTICATED: NotPermitted,
    _CODE.PERMISSION_DENIED: NotPermitted,
    _CODE.UNAVAILABLE: Unreachable,
    _CODE.DEADLINE_EXCEEDED: Unreachable,
}
"""Status code → exception; any other code is a `CallFailed`."""


@contextmanager
def call_errors(address: str) -> Iterator[None]:
    """Raise `CallFailed` in place of `grpc.RpcError`; what no service of ours has raised names `address`."""
    try:
        yield
    except grpc.RpcError as error:
        raise failure(error, address) from error


def failure(error: grpc.RpcError, address: str) -> CallFailed:
    """The exception for a status that arrived, or that gRPC itself made."""
    code = error.code() if isinstance(error, grpc.Call) else _CODE.UNKNOWN
    text = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    info, bad_request, _ = details(error)
    if info.domain != DOMAIN:
        text = f"{address}: {text or code.name}"
    violations = tuple(FieldViolation(v.field, v.description) for v in bad_request.field_violations)
    return CLASSES.get(code, CallFailed)(code, text, info.reason, violations)


def details(
    error: grpc.RpcError,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.ResourceInfo]:
    """What a status that arrived says of its error: who raised what, which fields are bad, what is missing."""
    found: tuple[Any, Any, Any] = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.ResourceInfo(),
    )
    try:
        status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    except ValueError:  # a proxy answered, with details that contradict its code
        status = None
    said: Any = status.details if status else ()
    for detail in said:
        for message in found:
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return found
