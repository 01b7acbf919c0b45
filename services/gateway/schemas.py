"""JSON schemas of messages, with the rules of their fields and what the contracts say about them."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default as default_pool

from services.gateway.comments import comments
from services.gateway.json_forms import TENSOR, is_map, value_of

WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["30s"]},
}
LONG = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
SHORT = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32}
UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
FLOATS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
BOUNDS = {"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def reference(descriptor: Descriptor | EnumDescriptor) -> dict[str, str]:
    """Where the schema of a message or an enum stands."""
    return {"$ref": f"#/components/schemas/{short(descriptor.full_name)}"}


def short(full_name: str) -> str:
    """A message's name in the document."""
    return full_name.removeprefix("lwmecps.")


def all_schemas(roots: Iterable[Descriptor]) -> dict[str, Any]:
    """Name → schema of these messages, and of all that they hold."""
    found: dict[str, Any] = {}
    left: list[Any] = list(roots)
    while left:
        one = left.pop()
        if one.full_name in WELL_KNOWN or short(one.full_name) in found:
            continue
        if isinstance(one, EnumDescriptor):
            found[short(one.full_name)] = _enum(one)
            continue
        found[short(one.full_name)] = _message(one)
        for field in one.fields:
            inner = value_of(field) if is_map(field) else field
            left += [kind for kind in (inner.message_type, inner.enum_type) if kind is not None]
    return dict(sorted(found.items()))


def of_field(field: FieldDescriptor) -> dict[str, Any]:
    """The schema of a field."""
    said = comments().get(field.full_name, "")
    rules = _rules(field)
    if is_map(field):
        schema: dict[str, Any] = {"type": "object", "additionalProperties": _single(value_of(field), None)}
        if rules.map.HasField("max_pairs"):
            schema["maxProperties"] = rules.map.max_pairs
    elif field.is_repeated:
        schema = {"type": "array", "items": _single(field, rules.repeated.items)}
        for rule, name in (("min_items", "minItems"), ("max_items", "maxItems")):
            if rules.repeated.HasField(rule):
                schema[name] = getattr(rules.repeated, rule)
    else:
        schema = _single(field, rules)
    return schema | ({"description": said} if said else {})


def _rules(field: FieldDescriptor) -> Any:
    extension: Any = default_pool().FindExtensionByName("buf.validate.field")
    return field.GetOptions().Extensions[extension]


def _single(field: FieldDescriptor, rules: Any) -> dict[str, Any]:
    if field.message_type is not None:
        return dict(WELL_KNOWN.get(field.message_type.full_name) or reference(field.message_type))
    if field.enum_type is not None:
        return dict(reference(field.enum_type))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/_-]*={0,2}$"}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return {"type": "string"} | _string_rules(rules)
    bounds = _bounds(field, rules)
    if field.cpp_type in FLOATS:
        special = {"enum": ["NaN", "Infinity", "-Infinity"]}
        return {"anyOf": [{"type": "number"} | bounds, special]} if not bounds else {"type": "number"} | bounds
    if field.cpp_type in UNSIGNED:
        bounds.setdefault("minimum", 0)
    if field.cpp_type in SHORT:
        return {"type": "integer", "maximum": 2**31 - 1} | bounds
    return {"type": ["integer", "string"], "format": "int64", "pattern": "^-?[0-9]{1,18}$"} | bounds


def _string_rules(rules: Any) -> dict[str, Any]:
    if rules is None:
        return {}
    named = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
    return {name: getattr(rules.string, rule) for rule, name in named.items() if rules.string.HasField(rule)}


def _bounds(field: FieldDescriptor, rules: Any) -> dict[str, Any]:
    kind = rules and rules.WhichOneof("type")
    if not kind:
        return {}
    own = getattr(rules, kind)
    known = own.DESCRIPTOR.fields_by_name
    return {name: getattr(own, rule) for rule, name in BOUNDS.items() if rule in known and own.HasField(rule)}


def _enum(enum: EnumDescriptor) -> dict[str, Any]:
    said = comments()
    lines = [f"{v.name}: {said.get(f'{enum.full_name}.{v.name}', '')}" for v in enum.values]
    return {
        "type": "string",
        "enum": [v.name for v in enum.values],
        "description": " ".join([said.get(enum.full_name, ""), *lines]).strip(),
    }


def _message(descriptor: Descriptor) -> dict[str, Any]:
    said = comments().get(descriptor.full_name, "")
    fields = {field.json_name: of_field(field) for field in descriptor.fields}
    required = [field.json_name for field in descriptor.fields if _rules(field).required]
    schema: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
    schema |= {"description": said} if said else {}
    schema |= {"required": required} if required else {}
    if descriptor.full_name != TENSOR:
        return schema
    lists = {"type": ["array", "number", "boolean"], "description": "The elements as nested lists."}
    inner = {key: value for key, value in fields.items() if key != "data"} | {"values": lists}
    listed = {"type": "object", "properties": inner, "required": ["values"], "additionalProperties": False}
    return {"description": said, "oneOf": [schema | {"required": ["dtype"]}, listed, lists]}
