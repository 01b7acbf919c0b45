"""Messages that are over a limit of gRPC: what makes them so, and which setting allows more."""

import re

from google.protobuf.message import Message

from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from protos.lwmecps.common.v1 import tensor_pb2

_MIB = 1024 * 1024
_SAID = re.compile(r"(SERVER: Received|CLIENT: Sent|CLIENT: Received) message larger than max \((\d+) vs\. (\d+)\)")


def error_of(text: str, address: str, request: Message | None) -> LwmecpsError | None:
    """The error for what gRPC says of a message that is too large (None: it says something else).

    Where it was the request, its largest field is named; of an answer nobody here knows more than what was asked.
    """
    said = _SAID.search(text)
    if said is None:
        return None
    who, size, limit = said[1], _mib(int(said[2])), _mib(int(said[3]))
    if who == "CLIENT: Received":
        to = f" to {type(request).__name__.removesuffix('Request')}" if request is not None else ""
        reason = f"{address or 'the service'} answered with {size}{to}, at most {limit} are taken here"
        return LwmecpsError(f"{reason} (LWMECPS_CLIENT_MAX_MESSAGE_MIB)")
    side = "this client sends (LWMECPS_CLIENT_MAX_MESSAGE_MIB)"
    if who != "CLIENT: Sent":
        side = f"{address or 'the service'} takes (max_message_mib in its settings)"
    reason = f"a request of {size} is larger than the {limit} that {side}"
    if request is None:
        return InvalidInput("request", [Violation(".", reason)])
    field, own, shape = _largest(request)
    described = f" ({' x '.join(map(str, shape))} numbers)" if len(shape) > 1 else ""
    return InvalidInput("request", [Violation(field, f"takes {_mib(own)}{described}: {reason}")])


def _largest(message: Message, path: str = "") -> tuple[str, int, tuple[int, ...]]:
    """Path of the field that takes the most bytes, how many, and its shape where it is a tensor."""
    if isinstance(message, tensor_pb2.Tensor):
        return path, len(message.data), tuple(message.shape)
    best: tuple[str, int, tuple[int, ...]] = (path or ".", 0, ())
    for field, value in message.ListFields():
        name = f"{path}.{field.name}".lstrip(".")
        of_this: tuple[str, int, tuple[int, ...]]
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            of_this = (name, _bytes(value), ())
        elif field.is_repeated:
            of_this = (name, sum(item.ByteSize() for item in value), (len(value),))
        else:
            of_this = _largest(value, name)
        best = max(best, of_this, key=lambda found: found[1])
    return best


def _bytes(value: object) -> int:
    return len(value) if isinstance(value, bytes | str) else 8 * len(value) if hasattr(value, "__len__") else 8


def _mib(size: int) -> str:
    return f"{size / _MIB:.3g} MiB" if size >= _MIB / 10 else f"{size} bytes"
