"""Errors as HTTP answers: gRPC's status codes, and what came with them."""

import json
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from starlette.responses import Response

from services.common.errors import to_status

HTTP = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
"""gRPC's status codes → those of HTTP, as `google/rpc/code.proto` pairs them."""
CODES = {code.value[0]: code for code in grpc.StatusCode}
DETAILS = (error_details_pb2.BadRequest, error_details_pb2.ErrorInfo, error_details_pb2.ResourceInfo)
"""What a status may carry; naming them here puts them into the pool that JSON is made from."""


def of_call(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The status that a call ended with."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:  # a proxy answered, with details that contradict its code
        status = None
    return status or status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def of_error(error: Exception) -> status_pb2.Status:
    """The status of an error that was raised here or by a call."""
    return of_call(error) if isinstance(error, grpc.aio.AioRpcError) else to_status(error)


def body(status: status_pb2.Status) -> dict[str, Any]:
    """The JSON of an error: code, status, message, details; `detail` repeats the message, as FastAPI says it."""
    code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    try:
        details = json_format.MessageToDict(status).get("details", [])
    except (TypeError, json_format.Error):  # of a type that nobody here knows
        details = []
    error = {"code": HTTP[code], "status": code.name, "message": status.message, "details": details}
    return {"error": error, "detail": status.message}


def answer(status: status_pb2.Status) -> Response:
    """The HTTP answer that a status becomes."""
    said = body(status)
    headers = {"WWW-Authenticate": "Bearer"} if said["error"]["code"] == 401 else None
    return as_json(said, said["error"]["code"], headers)


def plain(code: int, status: str, message: str) -> Response:
    """The answer to what never became a call."""
    error = {"code": code, "status": status, "message": message, "details": []}
    return as_json({"error": error, "detail": message}, code)


def as_json(value: Any, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(text, code, headers, media_type="application/json")
