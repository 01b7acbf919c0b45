"""Specs and settings ↔ their messages, field by field: both sides use the same names.

A field that a message leaves unset takes the default of the config class, and reading checks everything that the class
checks. Arrays of numbers travel as tensors (float64), literals as enums, unions as a oneof.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast, get_args

import numpy as np
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import TaskSpec
from protos.lwmecps.common.v1 import settings_pb2, tensor_pb2
from protos.lwmecps.task.v1 import task_pb2

C = TypeVar("C")
M = TypeVar("M", bound=Message)

_TENSOR = tensor_pb2.Tensor.DESCRIPTOR.full_name
ALGORITHMS: Mapping[str, Any] = {cls.name: cls for cls in get_args(get_args(AlgorithmConfig)[0])}
"""Name of an algorithm → class of its settings."""


def task_to_proto(task: TaskSpec) -> task_pb2.TaskSpec:
    """The message of a task."""
    return fill(task, task_pb2.TaskSpec())


def task_from_proto(message: task_pb2.TaskSpec, source: str = "task") -> TaskSpec:
    """The task in a message; `InvalidInput` naming `source` and each bad field."""
    return read(TaskSpec, message, source)


def algorithm_to_proto(config: AlgorithmConfig) -> settings_pb2.AlgorithmConfig:
    """The message of an algorithm's settings."""
    message = settings_pb2.AlgorithmConfig()
    chosen = getattr(message, config.name)
    chosen.SetInParent()
    fill(config, chosen)
    return message


def algorithm_from_proto(message: settings_pb2.AlgorithmConfig, source: str = "algorithm") -> AlgorithmConfig:
    """The settings in a message; `InvalidInput` when none are chosen or a value can't be used."""
    name = message.WhichOneof("algorithm")
    if name is None:
        raise InvalidInput(source, [Violation("algorithm", f"one of {', '.join(ALGORITHMS)} is required")])
    config: AlgorithmConfig = read(ALGORITHMS[name], getattr(message, name), source)
    return config


def fill(config: object, message: M) -> M:
    """Set every field of `message` that `config` (a config dataclass) has too; returns `message`.

    Raises `InvalidInput` for a name that a field's enum doesn't have.
    """
    known, unions = _fields_of(message.DESCRIPTOR)
    for field in _names(cast(Any, type(config))):
        value = getattr(config, field)
        name = value.name if field in unions else field
        if name not in known or value is None or value == ():
            continue
        descriptor = known[name]
        if descriptor.is_repeated:
            with _fitting(descriptor):
                _fill_repeated(descriptor, value, getattr(message, name))
        elif descriptor.message_type is None:
            with _fitting(descriptor):
                setattr(message, name, value if descriptor.enum_type is None else _number(descriptor, value))
        elif descriptor.message_type.full_name == _TENSOR:
            getattr(message, name).CopyFrom(tensor_to_proto(np.asarray(value, np.float64)))
        else:
            target = getattr(message, name)
            target.SetInParent()
            fill(value, target)
    return message


@contextmanager
def _fitting(field: FieldDescriptor) -> Iterator[None]:
    """What the contract has no room for is the fault of `field`."""
    try:
        yield
    except ValueError as error:
        raise InvalidInput("request", [Violation(field.name, f"does not fit: {error}")]) from None


@cache
def numbers_of(enum: EnumDescriptor) -> Mapping[str, int]:
    """Name in the library → number of every value of an enum, in the contract's order."""
    return {name: number for number, name in _names_of(enum).items() if number}


@cache
def _names_of(enum: EnumDescriptor) -> Mapping[int, str]:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


@cache
def _fields_of(descriptor: Descriptor) -> tuple[Mapping[str, FieldDescriptor], tuple[str, ...]]:
    """A message's fields by name, and the names of its unions."""
    return dict(descriptor.fields_by_name), tuple(union.name for union in descriptor.oneofs)


@cache
def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def read(cls: type[C], message: Message, source: str) -> C:
    """Build the config class `cls` from a message; `InvalidInput` names `source` and the path of each bad field."""
    return cast(C, parse(cls, _plain(message, source), source))


def _fill_repeated(descriptor: FieldDescriptor, values: Any, target: Any) -> None:
    if descriptor.message_type is None:
        target.extend(values if descriptor.enum_type is None else [_number(descriptor, value) for value in values])
    elif (inner := _only_list(descriptor)) is not None:
        for value in values:
            getattr(target.add(), inner).extend(value)
    else:
        for value in values:
            fill(value, target.add())


def _plain(message: Message, source: str) -> dict[str, Any]:
    plain = {
        d.name: _plain_field(d, value, f"{source}: {d.name}")
        for d, value in message.ListFields()
        if d.enum_type is None or value != 0
    }
    for union in _fields_of(message.DESCRIPTOR)[1]:
        chosen = message.WhichOneof(union)
        if chosen is not None and union != f"_{chosen}":  # that of an `optional` field has its name
            plain[union] = plain.pop(chosen) | {"name": chosen}
    return plain


def _plain_field(descriptor: FieldDescriptor, value: Any, source: str) -> Any:
    if descriptor.is_repeated:
        if descriptor.enum_type is not None:
            return [_literal(descriptor.enum_type, item, f"{source}[{i}]") for i, item in enumerate(value)]
        if descriptor.message_type is None:
            return list(value)
        if (inner := _only_list(descriptor)) is not None:
            return [list(getattr(item, inner)) for item in value]
        return [_plain(item, f"{source}[{i}]") for i, item in enumerate(value)]
    if descriptor.message_type is not None:
        if descriptor.message_type.full_name == _TENSOR:
            return tensor_from_proto(value, source).tolist()
        return _plain(value, source)
    if descriptor.enum_type is not None:
        return _literal(descriptor.enum_type, value, source)
    return value


def _only_list(descriptor: FieldDescriptor) -> str | None:
    """The field of a message that only wraps a list of numbers (a row of a ragged table), else None."""
    inner = cast(Descriptor, descriptor.message_type).fields
    return inner[0].name if len(inner) == 1 and inner[0].is_repeated and inner[0].message_type is None else None


def _number(descriptor: FieldDescriptor, value: Any) -> int:
    numbers = numbers_of(cast(EnumDescriptor, descriptor.enum_type))
    if value not in numbers:
        source = cast(Descriptor, descriptor.containing_type).name
        raise InvalidInput(source, [Violation(descriptor.name, f"{value!r} is none of {', '.join(numbers)}")])
    return numbers[value]


def _literal(enum: EnumDescriptor, number: int, source: str) -> str:
    if number not in _names_of(enum):
        raise InvalidInput(source, [Violation(".", f"unknown value {number} of {enum.name}")])
    return _names_of(enum)[number]
