"""Frozen, strict configuration dataclasses, the one way to read them from plain data, and what their fields are for."""

import ast
import base64
import binascii
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from lwmecps_core.errors import InvalidInput, Violation

T = TypeVar("T")
Positive = Annotated[float, pydantic.Field(gt=0)]
NonNegative = Annotated[float, pydantic.Field(ge=0)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]


def _content(value: Any) -> Any:
    """Bytes of a file that is named by a `Path` (never by a text: texts come from others), or that stand in base64."""
    if isinstance(value, Path):
        try:
            return value.read_bytes()
        except OSError as error:
            raise ValueError(f"{value} can't be read: {error.strerror}") from None
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("must be the bytes of a file, their base64, or a path (`pathlib.Path`)") from None
    return value


Content = Annotated[
    bytes,
    pydantic.BeforeValidator(_content),
    pydantic.PlainSerializer(lambda x: base64.b64encode(x).decode(), when_used="json-unless-none"),
]
"""What is in a file: given as a path or as bytes, and base64 in plain data."""
SHOWN = 60
"""Characters of a text that are shown where it is no number."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass that checks types and refuses unknown keys and NaN.

    The string below a field is its description; `settings_of` reads it back.
    """
    strict = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    made: type[Any] = _pydantic_dataclass(cls, frozen=True, kw_only=True, config=strict)
    return made


@cache
def _adapter(cls: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(cls)


def parse(cls: Any, data: Any, source: str) -> Any:
    """Build `cls` (a config class or a union of them) from plain data.

    Raises `InvalidInput` that names `source` and, for every problem, the path inside the data and the reason.
    """
    try:
        made = _adapter(cls).validate_python(data)
    except pydantic.ValidationError as error:
        raise InvalidInput(source, [Violation(_path(e["loc"]), _reason(e)) for e in _true(error.errors())]) from None
    if taken := list(_taken_for_numbers(data, made, ())):
        raise InvalidInput(source, [Violation(_path(at), f"must be a number, not {word}") for at, word in taken])
    return made


def dump(value: Any) -> Any:
    """Plain data (dicts, lists, numbers, strings) from a config; `parse` reads it back equal."""
    cls: Any = type(value)
    return _adapter(cls).dump_python(value, mode="json")


@dataclass(frozen=True)
class Setting:
    """A field of a config class as people read about it; `default` is as text, empty where there is none."""

    name: str
    sentence: str
    choices: tuple[str, ...]
    bounds: str
    default: str


def settings_of(cls: Any) -> list[Setting]:
    """What every field of a config class is for, and what it may be. A sentence is inherited with its field."""
    schema = pydantic.TypeAdapter(cls).json_schema()
    found = []
    for field in fields(cls):
        described = (_sentences(c.__module__).get(c.__name__, {}).get(field.name) for c in cls.__mro__)
        sentence = " ".join(next((text for text in described if text), "").split())
        own = schema.get("properties", {}).get(field.name, {})
        options = [own, *own.get("anyOf", [])]
        choices = tuple(str(c) for o in options for c in o.get("enum", ()))
        bounds = next((text for o in options if (text := _bounds(o))), "")
        found.append(Setting(field.name, sentence, choices, bounds, default_text(field.default)))
    return found


def default_text(default: Any) -> str:
    """A default as people write it; nothing where there is none."""
    if default is MISSING or default in (None, "", ()):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return str(getattr(default, "name", default))  # of a union of config classes, the chosen one's name


@cache
def _sentences(module: str) -> dict[str, dict[str, str]]:
    """Class → field → the string below it. Pydantic reads them too, but of every class when it is made."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):  # a built-in class, or one without source
        return {}
    return {node.name: _strings_below(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _strings_below(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found


def _bounds(schema: dict[str, Any]) -> str:
    """The range of a number in a JSON schema, or of each number in a list."""
    if inner := _bounds(schema["items"]) if "items" in schema else "":
        return f"each {inner}"
    if "maximum" in schema:
        return f"in [{schema['minimum']:g}, {schema['maximum']:g}]"
    if "minimum" in schema:
        return f"≥ {schema['minimum']:g}"
    return f"> {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else ""


def _taken_for_numbers(data: Any, made: Any, at: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Paths of booleans in plain data that are 1 and 0 in what was made of it, and what they are in YAML and JSON."""
    match data:
        case bool() if isinstance(made, int | float) and not isinstance(made, bool):
            yield at, str(data).lower()
        case dict():
            for name, value in data.items():
                if isinstance(value, bool | dict | list | tuple):
                    yield from _taken_for_numbers(value, getattr(made, str(name), None), (*at, str(name)))
        case list() | tuple() if isinstance(made, tuple) and len(made) == len(data):
            for i, (value, part) in enumerate(zip(data, made, strict=True)):
                if isinstance(value, bool | dict | list | tuple):
                    yield from _taken_for_numbers(value, part, (*at, i))


def _true(errors: list[Any]) -> list[Any]:
    """Without what only follows from others: that a list is too short whose entries were refused."""
    inside = {e["loc"][:k] for e in errors for k in range(len(e["loc"]))}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in inside]


def _reason(error: Any) -> str:
    """What is wrong, with the value where that is a number, and what to do where YAML made another thing of a name."""
    message, value = str(error["msg"]).removeprefix("Value error, "), error.get("input")
    match error["type"], value:
        case "string_type", bool():
            read, word, other = ("true", "yes", "on") if value else ("false", "no", "off")
            return f"YAML read `{word}` (or `{other}`) as {read} where a text stands: put it in quotes, as '{word}'"
        case "string_type", int() | float() | date():
            kind = "a date" if isinstance(value, date) else "a number"
            return f"{value} was read as {kind} where a text stands: put what is written there in quotes"
        case "tuple_type", _:
            return f"must be a list, not {type(value).__name__}"
        case "literal_error", str():
            return f"{message}, not {value!r}"
        case kind, str() if kind.endswith("_parsing"):
            return f"{message}, not {value[:SHOWN]!r}"
        case _, int() | float() if "should be" in message:
            return f"{message}, not {value!r}"
    return message


def _path(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.lstrip(".") or "."
