"""JSON ↔ messages: protobuf's own mapping, read strictly, in which tensors may also be nested lists.

Protobuf's parser takes some things in silence (a field under both of its spellings, of which the last one wins; junk in
base64; a list for a message), which are refused here by the path of the field.
"""

import base64
import binascii
import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.common.v1 import tensor_pb2
from services.gateway import nested
from services.gateway.table import LISTS

M = TypeVar("M", bound=Message)
TENSOR = tensor_pb2.Tensor.DESCRIPTOR.full_name
WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
"""Kinds of whole numbers, and what they reach from and to."""
EXACT = 2**53
"""Beyond it floats are not exact: there, whole numbers must be written as such, or as strings."""


def parse(text: bytes) -> Any:
    """What a JSON text holds; raises `InvalidInput` for none, and for keys that stand twice in one object."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} stands twice in one object")
        return made

    def never(constant: str) -> Any:
        raise ValueError(f'{constant} is no JSON: write it as a string, "{constant}"')

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=never)
    except (ValueError, RecursionError) as error:
        raise _refusal(".", f"no JSON: {error or 'nested too deep'}") from None


def read(cls: type[M], value: Any) -> M:
    """The message in a JSON value; raises `InvalidInput` naming each bad field."""
    plain = _message(cast(Descriptor, cls.DESCRIPTOR), value, "")
    try:
        return json_format.ParseDict(plain, cls())
    except (json_format.ParseError, ValueError, OverflowError) as error:
        where, reason = _of_parser(str(error), cls.DESCRIPTOR.name)
        raise _refusal(where, reason) from None


def show(message: Message, lists: bool = False) -> dict[str, Any]:
    """The JSON of a message, what is not set but has a default included; with `lists`, tensors as nested lists."""
    plain = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return _listed(cast(Descriptor, message.DESCRIPTOR), plain) if lists else plain


def from_query(descriptor: Descriptor, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The JSON of a request whose fields are parameters of a query; one that may be repeated is a list."""
    found: dict[str, Any] = {}
    for name, text in pairs:
        field = _field(descriptor, name, "")
        if field.message_type is not None:
            raise _refusal(name, "can't stand in a query")
        value: Any = text
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            if text not in ("true", "false"):
                raise _refusal(name, f"must be true or false, not {text!r}")
            value = text == "true"
        elif field.enum_type is not None and text.lstrip("-").isdecimal():
            value = int(text[:20])
        if field.is_repeated:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise _refusal(name, "stands more than once")
        else:
            found[name] = value
    return found


def _message(descriptor: Descriptor, value: Any, path: str) -> Any:
    """The value as protobuf's parser takes it; raises `InvalidInput` for what that would take in silence."""
    if descriptor.full_name.startswith("google.protobuf."):
        return value
    if not isinstance(value, Mapping):
        raise _refusal(path or ".", f"must be an object, not {_kind(value)}")
    made: dict[str, Any] = {}
    for key, inner in value.items():
        field = _field(descriptor, key, path)
        if field.name in made:
            raise _refusal(_join(path, key), f"stands twice, as {field.name} and as {field.json_name}")
        made[field.name] = None if inner is None else _values(field, inner, _join(path, key))
    return made


def _field(descriptor: Descriptor, key: str, path: str) -> FieldDescriptor:
    for field in descriptor.fields:
        if key in (field.name, field.json_name):
            return field
    known = [field.name for field in descriptor.fields]
    like = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {like[0]}?" if like else f"known are {', '.join(known) or 'none'}"
    raise _refusal(_join(path, key), f"no such field: {hint}")


def _values(field: FieldDescriptor, value: Any, path: str) -> Any:
    if is_map(field):
        if not isinstance(value, Mapping):
            raise _refusal(path, f"must be an object, not {_kind(value)}")
        inner = value_of(field)
        return {key: _value(inner, one, f"{path}[{key}]", LISTS.get(field.full_name)) for key, one in value.items()}
    if field.is_repeated:
        if not isinstance(value, list):
            raise _refusal(path, f"must be a list, not {_kind(value)}")
        return [_value(field, one, f"{path}[{i}]") for i, one in enumerate(value)]
    return _value(field, value, path, LISTS.get(field.full_name))


def _value(field: FieldDescriptor, value: Any, path: str, dtype: str | None = None) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == TENSOR:
            value = nested.to_plain(value, dtype or "", path)
        return _message(field.message_type, value, path)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _base64(value, path)
    if field.enum_type is not None:
        if isinstance(value, str) and value not in field.enum_type.values_by_name:
            raise _refusal(path, f"{value!r} is none of {', '.join(field.enum_type.values_by_name)}")
    elif wrong := _wrong(field, value):
        raise _refusal(path, wrong)
    if value is None or isinstance(value, dict | list):
        raise _refusal(path, f"can't be {_kind(value)}")
    return value


def _wrong(field: FieldDescriptor, value: Any) -> str:
    """What is wrong with a plain value; empty: nothing."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "" if isinstance(value, str) else f"must be a string, not {_kind(value)}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "" if isinstance(value, bool) else f"must be true or false, not {_kind(value)}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return f"must be a number, not {_kind(value)}"
    if field.cpp_type not in WHOLE:
        return "" if not isinstance(value, str) or _is_number(value) else f"must be a number, not {value[:40]!r}"
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value):
        return f"must be a whole number, not {value[:40]!r}"
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= EXACT):
        return f"{value} is no whole number, or too large to be exact: write it as a string"
    low, high = WHOLE[field.cpp_type]
    return "" if low <= int(value) <= high else f"{int(value)} is out of range: {low} to {high}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text.strip() == text and "_" not in text


def _base64(value: Any, path: str) -> str:
    """Base64 in the standard alphabet, from either."""
    if not isinstance(value, str):
        raise _refusal(path, f"must be base64 in a string, not {_kind(value)}")
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal(path, f"no base64: {error}") from None
    return text + "=" * (-len(text) % 4)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a `map<…>`."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def value_of(field: FieldDescriptor) -> FieldDescriptor:
    """What the values of a `map<…>` are."""
    return cast(Descriptor, field.message_type).fields_by_name["value"]


def _listed(descriptor: Descriptor, plain: Any) -> Any:
    """Plain values with every tensor's bytes as nested lists."""
    if descriptor.full_name == TENSOR:
        return nested.to_lists(plain)
    if descriptor.full_name.startswith("google.protobuf."):
        return plain
    fields = {field.json_name: field for field in descriptor.fields}
    return {key: _listed_field(fields[key], value) for key, value in plain.items()}


def _listed_field(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return value
    if is_map(field):
        inner = value_of(field)
        return {key: _listed_field(inner, one) for key, one in value.items()}
    if field.is_repeated:
        return [_listed(field.message_type, one) for one in value]
    return _listed(field.message_type, value)


def _of_parser(text: str, root: str) -> tuple[str, str]:
    """The path and the reason in what protobuf's parser says."""
    text = " ".join(text.split())
    path = "."
    while found := re.match(r"Failed to parse (\S+) field: (.*?)\.?$", text):
        path, text = found.group(1) if path == "." else f"{path}.{found.group(1)}", found.group(2)
    if found := re.match(rf"(.*) at {root}\.(\S+?)\.?$", text):
        text, path = found.groups()
    return path, text.rstrip(".") or "can't be read"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _refusal(path: str, reason: str) -> InvalidInput:
    return InvalidInput("request", [Violation(path, reason)])
