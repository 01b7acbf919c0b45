"""Frozen, strict configuration dataclasses and the one way to read them from plain data."""

from typing import Any, TypeVar, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from lwmecps_core.errors import InvalidInput, Violation

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass that checks types and refuses unknown keys and NaN."""
    strict = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    made: type[Any] = _pydantic_dataclass(cls, frozen=True, kw_only=True, config=strict)
    return made


def parse(cls: Any, data: Any, source: str) -> Any:
    """Build `cls` (a config class or a union of them) from plain data.

    Raises `InvalidInput` that names `source` and, for every problem, the path inside the data and the reason.
    """
    try:
        return pydantic.TypeAdapter(cls).validate_python(data)
    except pydantic.ValidationError as error:
        raise InvalidInput(source, [Violation(_path(e["loc"]), e["msg"]) for e in error.errors()]) from None


def dump(value: Any) -> Any:
    """Plain data (dicts, lists, numbers, strings) from a config; `parse` reads it back equal."""
    return pydantic.TypeAdapter(type(value)).dump_python(value, mode="json")


def _path(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.lstrip(".") or "."
