"""Tensors with a header of texts in one file (safetensors, never pickle): policies, their snapshots and checkpoints.

Trees lie flat in it, as `tree.flatten` names their leaves (`kind/group/name`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation

T = TypeVar("T")


def write(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> bytes:
    """The file, with a copy of every tensor: they may share memory, and be views of any layout.

    Equal tensors and a header of one entry give equal bytes, in any process; the library writes several entries in no
    particular order.
    """
    # PyTorch's side of the library: NumPy's writes the memory of a transposed array under the shape of the view.
    copies = {name: x.detach().clone(memory_format=torch.contiguous_format) for name, x in tensors.items()}
    return safetensors.torch.save(copies, dict(header))


def read(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Inverse of `write`, the tensors in the file's order; what it raises is for `reading` to translate."""
    tensors = safetensors.torch.load(data)
    size = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + size])
    header = entries.pop("__metadata__")
    # The library's order differs from call to call, and with it would the last bit of every sum over a tree.
    return {name: tensors[name] for name in entries}, header


def entry(header: Mapping[str, str], name: str, kind: Any, source: str) -> Any:
    """What an entry of the header says in JSON, as a configuration of that kind.

    Raises `InvalidInput` of `source` whose fields begin with the entry's name, and `KeyError` where it is missing.
    """
    text = header[name]
    try:
        return parse(kind, json.loads(text), source)
    except ValueError as error:
        raise InvalidInput(source, [Violation(name, f"not JSON: {error}")]) from None
    except InvalidInput as error:
        inside = [Violation(name if v.field == "." else f"{name}.{v.field}", v.reason) for v in error.violations]
        raise InvalidInput(source, inside) from None


def read_learnt(
    data: bytes,
    source: str,
    field: str,
    what: str,
    written_as: str,
    fresh: Callable[[Any], tuple[T, Mapping[str, Tensor]]],
) -> tuple[T, dict[str, Tensor]]:
    """What a file of one entry in its header, `field`, holds: its settings, and its finite tensors.

    `fresh` makes of the entry the settings, and tensors such as those have. Raises `InvalidInput` as `reading` does.
    """
    with reading(source, field, what):
        tensors, header = read(data)
        check_format(header, written_as)
        check_finite(tensors)
        made, like = fresh(json.loads(header[field]))
        if _kinds(like) != _kinds(tensors):
            raise ValueError("its tensors are not those of its settings")
    return made, tensors


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: (x.shape, x.dtype) for name, x in tensors.items()}


@contextmanager
def reading(source: str, field: str, what: str) -> Iterator[None]:
    """Whatever a file's bytes can be wrong by becomes an `InvalidInput` of `source`: `field`: not a `what`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        wrong = f"has no {error}" if isinstance(error, KeyError) else error  # its text is the name alone
        raise InvalidInput(source, [Violation(field, f"not a {what}: {wrong}")]) from None


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` with the name of a tensor that holds something else than finite numbers."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinite numbers")


def check_format(header: Mapping[str, str], expected: str) -> None:
    """Raise `ValueError` when the header names another format."""
    if header["format"] != expected:
        raise ValueError(f"format {header['format']!r}, expected {expected!r}")
