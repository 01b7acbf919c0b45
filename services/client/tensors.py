"""NumPy arrays ↔ `common.v1.Tensor`: little-endian bytes in C order."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protos.lwmecps.common.v1 import tensor_pb2 as pb

NAMES = {
    np.dtype(name.removeprefix("DTYPE_").lower()).newbyteorder("<"): name for name, code in pb.Dtype.items() if code
}
"""NumPy's element type → its name in the contract."""
DTYPES = {pb.Dtype.Value(name): dtype for dtype, name in NAMES.items()}
"""Code of an element type → NumPy's."""


def tensor_of(values: ArrayLike, dtype: Any = None) -> pb.Tensor:
    """The message of an array; raises `TypeError` for an element type that can't be sent."""
    array = np.asarray(values, dtype)
    kind = array.dtype.newbyteorder("<")
    if kind not in NAMES:
        raise TypeError(f"{array.dtype} can't be sent: {', '.join(d.name for d in NAMES)} can")
    return pb.Tensor(dtype=NAMES[kind], shape=array.shape, data=array.astype(kind, copy=False).tobytes())


def array_of(message: pb.Tensor) -> NDArray[Any]:
    """The array of a message, of the caller's own."""
    return np.frombuffer(message.data, DTYPES[message.dtype]).reshape(tuple(message.shape)).copy()
