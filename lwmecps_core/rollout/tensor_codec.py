"""NumPy arrays ↔ `common.v1.Tensor`: little-endian bytes in C order, their length checked against the shape."""

from math import prod
from typing import Any

import numpy as np

from lwmecps_core.batch import Array
from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.common.v1 import tensor_pb2 as pb

_DTYPES: dict[pb.Dtype, np.dtype[Any]] = {
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_FLOAT64: np.dtype("<f8"),
    pb.DTYPE_INT32: np.dtype("<i4"),
    pb.DTYPE_INT64: np.dtype("<i8"),
    pb.DTYPE_BOOL: np.dtype("?"),
    pb.DTYPE_UINT8: np.dtype("u1"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def tensor_to_proto(array: Array) -> pb.Tensor:
    """The message of an array; `InvalidInput` for an element type that has no `Dtype`."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _CODES:
        raise InvalidInput("tensor", [Violation("dtype", f"{array.dtype} can't be sent")])
    return pb.Tensor(dtype=_CODES[dtype], shape=array.shape, data=array.astype(dtype, copy=False).tobytes())


def tensor_from_proto(message: pb.Tensor, source: str = "tensor") -> Array:
    """The array of a message (read-only, sharing its bytes); `InvalidInput` naming `source` if it doesn't add up."""
    dtype = _DTYPES.get(message.dtype)
    if dtype is None:
        raise InvalidInput(source, [Violation("dtype", f"unknown element type {message.dtype}")])
    shape = tuple(message.shape)
    expected, data = prod(shape) * dtype.itemsize, message.data
    if len(data) != expected:
        reason = f"{len(data)} bytes, but shape {list(shape)} of {dtype.name} needs {expected}"
        raise InvalidInput(source, [Violation("data", reason)])
    try:
        array: Array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # no bytes are enough for a shape with a 0 in it, however large the rest
        raise InvalidInput(source, [Violation("shape", f"{list(shape)}: {error}")]) from None
    return array
