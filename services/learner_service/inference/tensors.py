"""NumPy arrays ↔ tensors of the Open Inference Protocol."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.errors import InvalidInput, Violation
from protos.oip import inference_pb2 as pb

KINDS: Mapping[str, tuple[np.dtype[Any], str]] = {
    "BOOL": (np.dtype("?"), "bool_contents"),
    "UINT8": (np.dtype("u1"), "uint_contents"),
    "INT32": (np.dtype("<i4"), "int_contents"),
    "INT64": (np.dtype("<i8"), "int64_contents"),
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "FP64": (np.dtype("<f8"), "fp64_contents"),
}
"""Datatypes that tensors of policies have: their elements, and the field of typed contents that holds them."""
_NAMES = {dtype: name for name, (dtype, _) in KINDS.items()}
Arrays = dict[str, NDArray[Any]]


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a type of elements."""
    return _NAMES[dtype.newbyteorder("<")]


def arrays_of(request: pb.ModelInferRequest) -> Arrays:
    """The inputs by name (read-only where they were raw); raises `InvalidInput` naming each tensor that is wrong."""
    raw, wrong, found = request.raw_input_contents, list[Violation](), Arrays()
    if raw and len(raw) != len(request.inputs):
        reason = f"{len(raw)} contents for {len(request.inputs)} inputs"
        raise InvalidInput("request", [Violation("raw_input_contents", reason)])
    for k, tensor in enumerate(request.inputs):
        try:
            if tensor.name in found:
                raise ValueError("is given twice")
            found[tensor.name] = _raw(tensor, raw[k]) if raw else _typed(tensor)
        except (ValueError, OverflowError) as error:
            wrong.append(Violation(tensor.name or f"inputs[{k}]", str(error)))
    if wrong:
        raise InvalidInput("request", wrong)
    return found


def answer(arrays: Mapping[str, NDArray[Any]], raw: bool) -> pb.ModelInferResponse:
    """The outputs, with `raw` or typed contents."""
    response = pb.ModelInferResponse()
    for name, array in arrays.items():
        kind = datatype_of(array.dtype)
        dtype, field = KINDS[kind]
        tensor = response.outputs.add(name=name, datatype=kind, shape=array.shape)
        if raw:
            response.raw_output_contents.append(np.ascontiguousarray(array, dtype).tobytes())
        else:
            getattr(tensor.contents, field).extend(array.reshape(-1).tolist())
    return response


def _kind(tensor: pb.ModelInferRequest.InferInputTensor) -> tuple[np.dtype[Any], str]:
    if tensor.datatype not in KINDS:
        raise ValueError(f"datatype {tensor.datatype!r} is none of {', '.join(KINDS)}")
    return KINDS[tensor.datatype]


def _raw(tensor: pb.ModelInferRequest.InferInputTensor, content: bytes) -> NDArray[Any]:
    dtype, _ = _kind(tensor)
    if tensor.HasField("contents"):
        raise ValueError("has contents, and the request raw ones")
    return _shaped(tensor, np.frombuffer(content, np.uint8), dtype.itemsize).view(dtype).reshape(tuple(tensor.shape))


def _typed(tensor: pb.ModelInferRequest.InferInputTensor) -> NDArray[Any]:
    dtype, field = _kind(tensor)
    if others := [other.name for other, _ in tensor.contents.ListFields() if other.name != field]:
        raise ValueError(f"{tensor.datatype} is in {field}, not in {', '.join(others)}")
    elements = np.array(getattr(tensor.contents, field), dtype)
    return _shaped(tensor, elements, 1).reshape(tuple(tensor.shape))


def _shaped(tensor: pb.ModelInferRequest.InferInputTensor, elements: NDArray[Any], size: int) -> NDArray[Any]:
    """The elements, if they are as many times `size` as the shape has."""
    shape = list(tensor.shape)
    if any(length < 0 for length in shape) or len(shape) > 8:
        raise ValueError(f"shape {shape}: at most 8 axes, none below 0")
    if len(elements) != (needed := prod(shape) * size):
        what = "bytes" if size > 1 else "elements"
        raise ValueError(f"{len(elements)} {what}, but shape {shape} of {tensor.datatype} needs {needed}")
    return elements
