"""Random protobuf messages made from their descriptors, and mutations of good ones; all from a seeded generator."""

import random
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

F = FieldDescriptor
DEEPEST = 6
INT32 = (0, 1, 2, 3, 7, 100, -1, 2**31 - 1, -(2**31))
INT64 = (*INT32, 2**40, 2**63 - 1, -(2**63))
UINT32 = (0, 1, 2, 3, 7, 100, 2**20, 2**31, 2**32 - 1)
UINT64 = (*UINT32, 2**40, 2**64 - 1)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"), 3.3)
TEXTS = (
    "",
    "a",
    "n0",
    "\0",
    "x" * 300,
    "é😀",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%s%n",
    "lwmecps-v3",
    "1",
    "-1",
    "{}",
)
HUGE_SHAPES = ((2**20, 2**20), (2**31, 2**31), (2**32 - 1,) * 8, (0, 2**32 - 1), (2**32 - 1,), (1,) * 8, ())


class Maker:
    """Makes messages with the choices of `rng`; `ids` are texts that name something that exists."""

    def __init__(self, rng: random.Random, ids: tuple[str, ...] = ()) -> None:
        self.rng = rng
        self._ids = ids

    def random(self, message: Message, depth: int = 0) -> Message:
        """Fill a message at random."""
        if message.DESCRIPTOR.full_name.endswith(".Tensor"):
            self.tensor(message)
            return message
        for field in message.DESCRIPTOR.fields:
            if self.rng.random() < 0.6:
                self._fill(message, field, depth)
        return message

    def mutated(self, good: Message) -> Message:
        """A copy of a good message with a few fields, at any depth, made anew."""
        copy = type(good)()
        copy.CopyFrom(good)
        for _ in range(self.rng.choice((0, 1, 1, 1, 2, 3))):
            target: Any = copy
            while inner := [x for x in _inner(target) if self.rng.random() < 0.8]:
                target = self.rng.choice(inner)
            if target.DESCRIPTOR.full_name.endswith(".Tensor") and self.rng.random() < 0.5:
                self.tensor(target)
            elif target.DESCRIPTOR.fields:
                field = self.rng.choice(target.DESCRIPTOR.fields)
                target.ClearField(field.name)
                if self.rng.random() < 0.8:
                    self._fill(target, field, DEEPEST - 3)
        return copy

    def tensor(self, message: Any) -> None:
        """A tensor that is whole, too short, too long, absurdly large, or full of NaN."""
        shape = self.rng.choice(((), (1,), (2,), (1, 4), (3, 2), *HUGE_SHAPES))
        message.dtype = self.rng.choice((0, 1, 1, 1, 2, 3, 4, 5, 6, 99))
        message.ClearField("shape")
        message.shape.extend(shape)
        numbers = int(np.prod(shape, dtype=np.float64)) if len(shape) < 3 else 8
        whole = min(numbers, 64) * (8 if message.dtype in (2, 4) else 1 if message.dtype in (5, 6) else 4)
        nan = np.full(16, np.nan).tobytes()
        data = self.rng.choice((bytes(whole), self.rng.randbytes(whole), (nan * 64)[:whole]))
        message.data = data + self.rng.choice((b"", b"", b"", b"x"))

    def _fill(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            for _ in range(self.rng.choice((0, 1, 2, 70))):
                key = self._scalar(inner.fields_by_name["key"])
                value = inner.fields_by_name["value"]
                if value.message_type is not None:
                    self.random(getattr(message, field.name)[key], depth + 1)
                else:
                    getattr(message, field.name)[key] = self._scalar(value)
        elif field.is_repeated:
            for _ in range(self.rng.choice((0, 1, 2, 3, 12))):
                if inner is None:
                    getattr(message, field.name).append(self._scalar(field))
                elif depth < DEEPEST:
                    self.random(getattr(message, field.name).add(), depth + 1)
        elif inner is not None:
            if depth < DEEPEST:
                getattr(message, field.name).SetInParent()
                self.random(getattr(message, field.name), depth + 1)
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        rng = self.rng
        if field.type == F.TYPE_ENUM:
            return rng.choice([*(v.number for v in field.enum_type.values), 99, -1])
        if field.type == F.TYPE_STRING:
            return rng.choice((*TEXTS, *self._ids * 4))
        if field.type == F.TYPE_BYTES:
            return rng.randbytes(rng.choice((0, 1, 33, 5000)))
        if field.type == F.TYPE_BOOL:
            return rng.random() < 0.5
        if field.cpp_type in (F.CPPTYPE_FLOAT, F.CPPTYPE_DOUBLE):
            return rng.choice(FLOATS)
        ranges = {F.CPPTYPE_INT32: INT32, F.CPPTYPE_INT64: INT64, F.CPPTYPE_UINT32: UINT32, F.CPPTYPE_UINT64: UINT64}
        return rng.choice(ranges[field.cpp_type])


def _inner(message: Any) -> list[Any]:
    """The messages directly inside a message."""
    found = []
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            continue
        found += list(value) if field.is_repeated else [value]
    return found


def request_class(method: Any) -> type[Message]:
    """The class of a method's requests."""
    return GetMessageClass(method.input_type)
