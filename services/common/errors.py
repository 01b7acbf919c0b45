"""Errors between services: the one table of status codes, and the way back from a status to an error."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from lwmecps_core import errors as e
from services.client.errors import DOMAIN, details
from services.common import too_large

STATUS: dict[type[Exception], grpc.StatusCode] = {
    e.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    e.NotFound: grpc.StatusCode.NOT_FOUND,
    e.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    e.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    e.Conflict: grpc.StatusCode.ABORTED,
    e.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.DamagedArtefact: grpc.StatusCode.DATA_LOSS,
    e.CollectionTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    e.CollectionFailed: grpc.StatusCode.UNKNOWN,
    e.CollectionStopped: grpc.StatusCode.CANCELLED,
    e.Diverged: grpc.StatusCode.INTERNAL,
    e.RunEnded: grpc.StatusCode.INTERNAL,
    e.QueueUnavailable: grpc.StatusCode.UNAVAILABLE,
    e.ClusterUnavailable: grpc.StatusCode.UNAVAILABLE,
    e.SourceUnavailable: grpc.StatusCode.UNAVAILABLE,
    e.AccessDenied: grpc.StatusCode.PERMISSION_DENIED,
    e.ServiceUnavailable: grpc.StatusCode.UNAVAILABLE,
    e.LwmecpsError: grpc.StatusCode.INTERNAL,
    NotImplementedError: grpc.StatusCode.UNIMPLEMENTED,
    Exception: grpc.StatusCode.INTERNAL,
}
"""Exception → status code; a subclass that is not named has its nearest base's."""

_CLASSES = {name: kind for name, kind in vars(e).items() if isinstance(kind, type) and issubclass(kind, e.LwmecpsError)}
# Status and details travel in trailers, which HTTP/2 peers limit to 8 KiB in all.
_MESSAGE_CHARS = 1000
_VIOLATIONS = 15
_REASON_CHARS = 200


def code_of(error: Exception) -> grpc.StatusCode:
    """The status code of an exception."""
    return next(STATUS[base] for base in type(error).__mro__ if base in STATUS)


def to_status(error: Exception) -> status_pb2.Status:
    """The status that tells a client about an exception: message, class, and what was wrong with what.

    Of an exception that is not ours, the client learns no more than that it happened.
    """
    ours = isinstance(error, e.LwmecpsError | NotImplementedError)
    status = status_pb2.Status(
        code=code_of(error).value[0], message=_cut(str(error), _MESSAGE_CHARS) if ours else "internal error"
    )
    if ours:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=type(error).__name__, domain=DOMAIN))
    if isinstance(error, e.InvalidInput):
        status.details.add().Pack(_bad_request(error))
    if isinstance(error, e.NotFound):
        status.details.add().Pack(
            error_details_pb2.ResourceInfo(resource_type=error.kind, resource_name=_cut(error.id, _REASON_CHARS))
        )
    return status


def from_rpc_error(error: grpc.RpcError, address: str = "", request: Message | None = None) -> e.LwmecpsError:
    """The error that a service raised, from the status that arrived; one that was lost on the way names `address`.

    A `request` that was too large is told by its largest field.
    """
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    text = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    info, bad_request, resource = details(error)
    if info.domain != DOMAIN:
        return too_large.error_of(text, address, request) or _foreign(code, text, address)
    if bad_request.field_violations:
        violations = [e.Violation(v.field, v.description) for v in bad_request.field_violations]
        return e.InvalidInput("request", violations)
    kind = _CLASSES.get(info.reason, e.LwmecpsError)
    if kind is e.ModelFileNotFound:
        return e.ModelFileNotFound(resource.resource_name)
    if kind is e.NotFound:
        return e.NotFound(resource.resource_type, resource.resource_name)
    return _with_message(kind, text)


@contextmanager
def rpc_errors(address: str, request: Message | None = None) -> Iterator[None]:
    """Raise a service's own errors in place of `grpc.RpcError`; one that can't be reached is named by `address`."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, address, request) from error


def _bad_request(error: e.InvalidInput) -> error_details_pb2.BadRequest:
    shown = [
        error_details_pb2.BadRequest.FieldViolation(
            field=_cut(_path(error.source, v.field), _REASON_CHARS), description=_cut(v.reason, _REASON_CHARS)
        )
        for v in error.violations[:_VIOLATIONS]
    ]
    if (more := len(error.violations) - _VIOLATIONS) > 0:
        shown.append(error_details_pb2.BadRequest.FieldViolation(description=f"and {more} more"))
    return error_details_pb2.BadRequest(field_violations=shown)


def _path(source: str, field: str) -> str:
    """The path in the request: the source of a part of it is the part's own path."""
    parts = [] if source == "request" else source.split(": ")
    return ".".join([*parts, field] if field.strip(".") else parts) or "."


def _foreign(code: grpc.StatusCode, text: str, address: str) -> e.LwmecpsError:
    """An error that none of our services raised: gRPC itself, a proxy, or a service that failed unexpectedly."""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return e.ServiceUnavailable(f"no answer from {address or 'the service'}: {text}")
    return e.LwmecpsError(f"{address or 'the service'} failed: {code.name}: {text}")


def _with_message(kind: type[e.LwmecpsError], text: str) -> e.LwmecpsError:
    """An error of this class with this message, whatever its constructor takes."""
    error = kind.__new__(kind)
    error.args = (text,)
    return error


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
