"""Values of the library ↔ messages of the contracts; pure, and checked when read.

Every `*_from_message` raises `InvalidInput`, whose `source` is the path of the part in the request.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar, cast, get_args

import numpy as np
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.kinds import KINDS, RunSettings, kind_of
from lwmecps_core.results import Row
from lwmecps_core.rollout import spec_codec
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import SIMULATED, AlgorithmConfig, Backend
from lwmecps_core.specs import EnvSpec, TaskDistribution, TaskSpec
from protos.lwmecps.common.v1 import backend_pb2, settings_pb2
from protos.lwmecps.registry.v1 import run_pb2
from protos.lwmecps.task.v1 import task_pb2
from services.common.run_kinds import kind_to_message
from services.common.run_spec import RunSpec

C = TypeVar("C")
M = TypeVar("M", bound=Message)

_BACKENDS = spec_codec.numbers_of(backend_pb2.Backend.DESCRIPTOR)
BACKENDS = tuple(_BACKENDS)
"""The names of all backends, in the contract's order."""


def to_message(value: object, message_class: type[M]) -> M:
    """The message of a config; fields are matched by name."""
    return spec_codec.fill(value, message_class())


def from_message(message: Message, config_class: type[C], source: str = "request") -> C:
    """The config in a message: what the message does not set has the config's default."""
    return spec_codec.read(config_class, message, source)


def task_to_message(task: TaskSpec) -> task_pb2.TaskSpec:
    """The message of a task."""
    return spec_codec.task_to_proto(task)


def task_from_message(message: task_pb2.TaskSpec, source: str = "task") -> TaskSpec:
    """The task in a message."""
    return spec_codec.task_from_proto(message, source)


def algorithm_to_message(config: AlgorithmConfig) -> settings_pb2.AlgorithmConfig:
    """The message of an algorithm's settings."""
    return spec_codec.algorithm_to_proto(config)


def algorithm_from_message(message: settings_pb2.AlgorithmConfig, source: str = "algorithm") -> AlgorithmConfig:
    """The algorithm's settings in a message."""
    return spec_codec.algorithm_from_proto(message, source)


def distribution_to_message(distribution: TaskDistribution) -> task_pb2.TaskDistribution:
    """The message of a way to draw tasks."""
    return to_message(distribution, task_pb2.TaskDistribution)


def distribution_from_message(message: task_pb2.TaskDistribution, source: str = "distribution") -> TaskDistribution:
    """The way to draw tasks in a message."""
    return from_message(message, TaskDistribution, source)


def env_spec_to_message(spec: EnvSpec) -> task_pb2.EnvSpec:
    """The message of what an algorithm must know about an environment."""
    return task_pb2.EnvSpec(
        env_id=spec.env_id,
        blocks=[task_pb2.ObservationBlock(name=name, shape=shape) for name, shape in spec.blocks],
        nvec=spec.nvec,
        action_size=spec.action_size,
        horizon=spec.horizon,
        action_entity=_entity(spec.action_entity),
    )


def env_spec_from_message(message: task_pb2.EnvSpec, source: str = "env_spec") -> EnvSpec:
    """What an algorithm must know about an environment, from its message."""
    number = message.action_entity or task_pb2.ACTION_ENTITY_GLOBAL
    entities = get_args(EnvSpec.__annotations__["action_entity"])
    names = {_entity(name): name for name in entities}
    if number not in names:
        raise InvalidInput(source, [Violation("action_entity", f"unknown value {number}")])
    return EnvSpec(
        env_id=message.env_id,
        blocks=tuple((block.name, tuple(block.shape)) for block in message.blocks),
        nvec=tuple(message.nvec),
        action_size=message.action_size,
        horizon=message.horizon,
        action_entity=names[number],
    )


def _entity(name: str) -> task_pb2.ActionEntity:
    return cast(task_pb2.ActionEntity, task_pb2.ActionEntity.Value(f"ACTION_ENTITY_{name.upper()}"))


def backend_to_message(backend: Backend) -> backend_pb2.Backend:
    """The enum value of a backend; raises `InvalidInput` for a name that the contract doesn't have."""
    if backend not in _BACKENDS:
        raise InvalidInput("request", [Violation("backend", f"{backend!r} is none of {', '.join(BACKENDS)}")])
    return cast(backend_pb2.Backend, _BACKENDS[backend])


def backend_from_message(backend: backend_pb2.Backend) -> Backend:
    """The backend of an enum value: the simulator where it is not set."""
    return BACKENDS[list(_BACKENDS.values()).index(backend)] if backend else SIMULATED


def kind_of_request(request: Any) -> str:
    """The kind of run that a `Start…Request` of the learner asks for: that of the class of its settings."""
    return next(name for name, kind in KINDS.items() if kind.settings.__name__ == request.settings.DESCRIPTOR.name)


def run_settings(spec: run_pb2.RunSpec, source: str = "spec") -> tuple[str, RunSettings]:
    """A run's kind and settings; a `kind` that contradicts the settings is refused."""
    kind: str | None = spec.WhichOneof("settings")
    if kind is None:
        raise InvalidInput(source, [Violation("settings", "one of " + ", ".join(KINDS) + " is required")])
    if spec.kind not in (run_pb2.RUN_KIND_UNSPECIFIED, kind_to_message(kind)):
        raise InvalidInput(source, [Violation("kind", f"contradicts the settings, which are for {kind}")])
    return kind, from_message(getattr(spec, kind), KINDS[kind].settings, f"{source}: {kind}")


def set_run_settings(spec: run_pb2.RunSpec, settings: RunSettings) -> None:
    """Put settings, and the kind that follows from them, into a run's message."""
    kind = kind_of(settings)
    spec.kind = kind_to_message(kind)
    field = getattr(spec, kind)
    field.SetInParent()
    spec_codec.fill(settings, field)


def run_spec_to_message(spec: RunSpec) -> run_pb2.RunSpec:
    """The message of what a run does."""
    message = run_pb2.RunSpec(
        label=spec.label,
        task_ids=spec.task_ids,
        num_tasks=spec.num_tasks,
        task_seed=spec.task_seed,
        calibration_task_ids=spec.calibration_task_ids,
        source_task_ids=spec.source_task_ids,
        policy_id=spec.policy_id,
        seed=spec.seed,
    )
    set_run_settings(message, spec.settings)
    if spec.algorithm is not None:
        message.algorithm.CopyFrom(algorithm_to_message(spec.algorithm))
    return message


def run_spec_from_message(message: run_pb2.RunSpec) -> RunSpec:
    """What a run does, from its message; raises `InvalidInput`."""
    _, settings = run_settings(message)
    algorithm = None
    if message.HasField("algorithm"):
        algorithm = algorithm_from_message(message.algorithm, "spec: algorithm")
    return RunSpec(
        settings=settings,
        task_ids=tuple(message.task_ids),
        label=message.label,
        num_tasks=message.num_tasks,
        task_seed=message.task_seed,
        calibration_task_ids=tuple(message.calibration_task_ids),
        source_task_ids=tuple(message.source_task_ids),
        policy_id=message.policy_id,
        seed=message.seed,
        algorithm=algorithm,
    )


def row_to_message(row: Row) -> run_pb2.Row:
    """The message of a result row."""
    return to_message(row, run_pb2.Row)


def row_from_message(message: run_pb2.Row) -> Row:
    """The result row in a message."""
    told = {
        field.name: getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }
    return Row(**told | {"episode": message.episode or 1})


def trace_to_message(step: int, series: dict[str, tuple[float, ...]]) -> run_pb2.Trace:
    """The message of a trace: name → one value per control interval."""
    message = run_pb2.Trace(step=step)
    for name, values in series.items():
        message.series[name].CopyFrom(tensor_to_proto(np.asarray(values, np.float64)))
    return message


def trace_from_message(message: run_pb2.Trace, source: str = "trace") -> dict[str, tuple[float, ...]]:
    """The series of a trace."""
    return {
        name: tuple(tensor_from_proto(tensor, f"{source}: series[{name}]").ravel().tolist())
        for name, tensor in message.series.items()
    }


def time_to_message(time: datetime | None) -> Timestamp | None:
    """The message of an instant; None stays None, which leaves a field unset."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def time_from_message(message: Timestamp) -> datetime:
    """The instant in a message, in UTC; raises `InvalidInput` for one before year 1 or after year 9999."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("time", [Violation(".", str(error))]) from None
