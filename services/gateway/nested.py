"""Tensors as nested lists of numbers, and back."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation

DTYPES = {
    "DTYPE_FLOAT32": "<f4",
    "DTYPE_FLOAT64": "<f8",
    "DTYPE_INT32": "<i4",
    "DTYPE_INT64": "<i8",
    "DTYPE_BOOL": "?",
    "DTYPE_UINT8": "u1",
}
DEEPEST = 8
SPECIAL = ("NaN", "Infinity", "-Infinity")
"""Numbers that JSON can't write, as protobuf's mapping writes them."""


def to_plain(value: Any, dtype: str, path: str) -> Any:
    """A tensor as its message has it, from a nested list, a number, or an object with `values` in place of `data`.

    `dtype` is what lists become, empty: what their numbers are. An object's own `dtype` and `shape` go before. Anything
    else is returned as it is. Raises `InvalidInput` naming `path`.
    """
    shape = None
    if isinstance(value, Mapping):
        if "values" not in value:
            return value
        if unknown := value.keys() - {"values", "dtype", "shape"}:
            raise _refusal(path, f"can't have {sorted(unknown)[0]!r} beside values")
        dtype, shape, value = value.get("dtype") or dtype, value.get("shape"), value["values"]
        if dtype and dtype not in DTYPES:
            raise _refusal(f"{path}.dtype", f"{dtype!r} is none of {', '.join(DTYPES)}")
    elif not isinstance(value, list | int | float):
        return value
    found, flat = _flatten(value, path)
    dtype = dtype or _dtype_of(flat)
    array = _array(flat, dtype, path)
    if shape is not None:
        if not _is_shape(shape) or math.prod(shape) != array.size:
            raise _refusal(f"{path}.shape", f"{shape} does not fit {array.size} values")
        found = shape
    return {"dtype": dtype, "shape": list(found), "data": base64.b64encode(array.tobytes()).decode()}


def to_lists(plain: dict[str, Any]) -> dict[str, Any]:
    """A tensor with `values` in place of `data`; one that does not add up stays as it is."""
    kind, shape = DTYPES.get(str(plain.get("dtype", ""))), plain.get("shape", [])
    data = base64.b64decode(plain.get("data", ""))
    if kind is None or len(data) != math.prod(shape) * np.dtype(kind).itemsize:
        return plain
    values = np.frombuffer(data, kind).reshape(shape)
    listed = values.tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        listed = _spelled(listed)
    return {"dtype": plain["dtype"], "shape": shape, "values": listed}


def _flatten(value: Any, path: str) -> tuple[list[int], list[Any]]:
    """Shape and elements of nested lists that are equally long on every level."""
    shape: list[int] = []
    level = [value]
    while level and all(isinstance(one, list) for one in level):
        lengths = {len(one) for one in level}
        if len(lengths) > 1:
            raise _refusal(path, f"lists on one level are {min(lengths)} to {max(lengths)} long: they must be equal")
        shape.append(lengths.pop())
        if len(shape) > DEEPEST:
            raise _refusal(path, f"lists are nested over {DEEPEST} deep")
        level = [inner for one in level for inner in one]
    for one in level:
        if not isinstance(one, bool | int | float) and one not in SPECIAL:
            raise _refusal(path, "must hold numbers or truth values, nested equally deep everywhere")
    return shape, level


def _dtype_of(flat: list[Any]) -> str:
    if flat and all(isinstance(one, bool) for one in flat):
        return "DTYPE_BOOL"
    return "DTYPE_INT32" if all(isinstance(one, int) for one in flat) else "DTYPE_FLOAT32"


def _array(flat: list[Any], dtype: str, path: str) -> NDArray[Any]:
    kind = np.dtype(DTYPES[dtype])
    if kind.kind == "f":
        numbers: list[Any] = [float(one.replace("Infinity", "inf")) if isinstance(one, str) else one for one in flat]
    elif all(isinstance(one, int) for one in flat) and (kind.kind != "b" or all(one in (0, 1) for one in flat)):
        numbers = flat
    else:
        raise _refusal(path, f"must hold {'truth values' if kind.kind == 'b' else 'whole numbers'} only ({dtype})")
    try:
        with np.errstate(over="raise"):
            return np.asarray(numbers, np.float64).astype(kind) if kind.kind == "f" else np.asarray(numbers, kind)
    except (OverflowError, FloatingPointError):
        raise _refusal(path, f"holds numbers beyond {dtype}") from None


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= DEEPEST
        and all(type(one) is int and 0 <= one < 2**32 for one in shape)
    )


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(one) for one in value]
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else SPECIAL[1 if value > 0 else 2]


def _refusal(path: str, reason: str) -> InvalidInput:
    return InvalidInput("request", [Violation(path, reason)])
