from protos import validate as _validate_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from protos.lwmecps.task.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SnapshotReference(_message.Message):
    __slots__ = ("hash", "version")
    HASH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    hash: str
    version: int
    def __init__(self, hash: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class CollectionPlan(_message.Message):
    __slots__ = ("seeds", "episodes", "length", "greedy", "held")
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    GREEDY_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    seeds: _containers.RepeatedScalarFieldContainer[int]
    episodes: int
    length: int
    greedy: bool
    held: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, seeds: _Optional[_Iterable[int]] = ..., episodes: _Optional[int] = ..., length: _Optional[int] = ..., greedy: _Optional[bool] = ..., held: _Optional[_Iterable[bool]] = ...) -> None: ...

class CollectionRequest(_message.Message):
    __slots__ = ("run_id", "request_id", "tasks", "snapshot", "first_task", "plan", "reply_stream", "traceparent")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TASK_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    REPLY_STREAM_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    request_id: str
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.TaskSpec]
    snapshot: SnapshotReference
    first_task: int
    plan: CollectionPlan
    reply_stream: str
    traceparent: str
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[_task_pb2.TaskSpec, _Mapping]]] = ..., snapshot: _Optional[_Union[SnapshotReference, _Mapping]] = ..., first_task: _Optional[int] = ..., plan: _Optional[_Union[CollectionPlan, _Mapping]] = ..., reply_stream: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class RolloutBatch(_message.Message):
    __slots__ = ("request_id", "worker", "epoch", "sequence", "error", "task", "policy_version", "seed", "first_column", "width", "obs", "mask_bits", "mask_size", "action", "reward", "terminated_bits", "truncated_bits", "valid_bits", "extra_names", "extras", "info_names", "info", "memory_names", "memory", "begun_names", "begun")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_COLUMN_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    OBS_FIELD_NUMBER: _ClassVar[int]
    MASK_BITS_FIELD_NUMBER: _ClassVar[int]
    MASK_SIZE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_BITS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_BITS_FIELD_NUMBER: _ClassVar[int]
    VALID_BITS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_NAMES_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    INFO_NAMES_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    MEMORY_NAMES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    BEGUN_NAMES_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    worker: str
    epoch: int
    sequence: int
    error: str
    task: int
    policy_version: int
    seed: int
    first_column: int
    width: int
    obs: _tensor_pb2.Tensor
    mask_bits: bytes
    mask_size: int
    action: _tensor_pb2.Tensor
    reward: _tensor_pb2.Tensor
    terminated_bits: bytes
    truncated_bits: bytes
    valid_bits: bytes
    extra_names: _containers.RepeatedScalarFieldContainer[str]
    extras: _tensor_pb2.Tensor
    info_names: _containers.RepeatedScalarFieldContainer[str]
    info: _tensor_pb2.Tensor
    memory_names: _containers.RepeatedScalarFieldContainer[str]
    memory: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Tensor]
    begun_names: _containers.RepeatedScalarFieldContainer[str]
    begun: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Tensor]
    def __init__(self, request_id: _Optional[str] = ..., worker: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., error: _Optional[str] = ..., task: _Optional[int] = ..., policy_version: _Optional[int] = ..., seed: _Optional[int] = ..., first_column: _Optional[int] = ..., width: _Optional[int] = ..., obs: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., mask_bits: _Optional[bytes] = ..., mask_size: _Optional[int] = ..., action: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., reward: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., terminated_bits: _Optional[bytes] = ..., truncated_bits: _Optional[bytes] = ..., valid_bits: _Optional[bytes] = ..., extra_names: _Optional[_Iterable[str]] = ..., extras: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., info_names: _Optional[_Iterable[str]] = ..., info: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., memory_names: _Optional[_Iterable[str]] = ..., memory: _Optional[_Iterable[_Union[_tensor_pb2.Tensor, _Mapping]]] = ..., begun_names: _Optional[_Iterable[str]] = ..., begun: _Optional[_Iterable[_Union[_tensor_pb2.Tensor, _Mapping]]] = ...) -> None: ...
