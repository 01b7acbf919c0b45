"""The OpenAPI document: made of the table and the contracts."""

from functools import cache
from importlib.metadata import version
from typing import Any

from services.gateway import predecessor, schemas
from services.gateway.comments import comments
from services.gateway.methods import RemoteCall, methods

ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer", "description": "HTTP's status."},
                "status": {"type": "string", "description": "gRPC's status, such as INVALID_ARGUMENT."},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}, "description": "google.rpc.BadRequest, …"},
            },
        },
        "detail": {"type": "string", "description": "The message once more."},
    },
}
TENSORS = {
    "name": "tensors",
    "in": "query",
    "description": "Whether answers hold tensors as bytes in base64 or as nested lists.",
    "schema": {"type": "string", "enum": ["base64", "lists"], "default": "base64"},
}
ABOUT = """Every call of the task-registry, the env-service and the learner-service, by protobuf's own JSON mapping:
names in camelCase (those of the contracts are taken too), 64-bit integers as strings, bytes in base64. Tensors may also
be nested lists. Streams are server-sent events `message`, `end` and `error`; streams of files are bytes where `Accept`
is `application/octet-stream`."""


@cache
def document() -> dict[str, Any]:
    """The document."""
    known = list(methods())
    paths: dict[str, Any] = {}
    for method in known:
        paths.setdefault(method.path, {})[method.verb.lower()] = _operation(method)
    for path, operations in predecessor.described().items():
        paths.setdefault(path, {}).update(operations)
    messages = [kind for method in known for kind in (method.request, method.response)]
    said = {name: comments().get(name, "") for name in {m.descriptor.containing_service.full_name for m in known}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lwmecps", "version": version("lwmecps"), "description": " ".join(ABOUT.split())},
        "tags": [
            *({"name": name.rpartition(".")[2], "description": text} for name, text in sorted(said.items())),
            {"name": predecessor.TAG, "description": "Endpoints that lwmecps-gym's users know."},
        ],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.all_schemas(messages) | {"Error": ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(method: RemoteCall) -> dict[str, Any]:
    parameters = [_parameter(method, name, "path") for name in method.in_path]
    found: dict[str, Any] = {
        "operationId": method.name,
        "tags": [method.descriptor.containing_service.name],
        "summary": comments().get(method.descriptor.full_name, ""),
        "responses": {"200": _answers(method), "default": _refused()},
    }
    if method.takes_body:
        schema: dict[str, Any] = dict(schemas.reference(method.request))
        if method.takes_stream:
            schema = {"type": "array", "items": schema, "minItems": 1}
        elif method.in_path:
            schema = _without(method)
        found["requestBody"] = {"required": method.takes_stream, "content": {"application/json": {"schema": schema}}}
    else:
        names = [f.name for f in method.request.fields if f.name not in method.in_path and f.message_type is None]
        parameters += [_parameter(method, name, "query") for name in names]
    return found | {"parameters": [*parameters, TENSORS]}


def _without(method: RemoteCall) -> dict[str, Any]:
    """The schema of a body whose message has fields in the path."""
    left = {f.json_name: schemas.of_field(f) for f in method.request.fields if f.name not in method.in_path}
    return {"type": "object", "properties": left, "additionalProperties": False}


def _parameter(method: RemoteCall, name: str, where: str) -> dict[str, Any]:
    schema = schemas.of_field(method.request.fields_by_name[name])
    said = schema.pop("description", "")
    made = {"name": name, "in": where, "description": said, "schema": schema}
    return made | ({"required": True} if where == "path" else {})


def _answers(method: RemoteCall) -> dict[str, Any]:
    schema = schemas.reference(method.response)
    said = comments().get(method.response.full_name, "")
    if not method.sends_stream:
        return {"description": said, "content": {"application/json": {"schema": schema}}}
    content: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string", "description": f"{schema['$ref']}"}}}
    if method.sends_file:
        content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return {"description": f"A stream. {said}", "content": content}


def _refused() -> dict[str, Any]:
    return {
        "description": "What was wrong.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
