import datetime

from protos import validate as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.lwmecps.cluster.v1 import cluster_pb2 as _cluster_pb2
from protos.lwmecps.common.v1 import backend_pb2 as _backend_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from protos.lwmecps.task.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATE_UNSPECIFIED: _ClassVar[WorkerState]
    WORKER_STATE_IDLE: _ClassVar[WorkerState]
    WORKER_STATE_COLLECTING: _ClassVar[WorkerState]
    WORKER_STATE_BLOCKED: _ClassVar[WorkerState]
    WORKER_STATE_STOPPED: _ClassVar[WorkerState]
WORKER_STATE_UNSPECIFIED: WorkerState
WORKER_STATE_IDLE: WorkerState
WORKER_STATE_COLLECTING: WorkerState
WORKER_STATE_BLOCKED: WorkerState
WORKER_STATE_STOPPED: WorkerState

class Environment(_message.Message):
    __slots__ = ("id", "description", "continuous")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONTINUOUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    continuous: bool
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., continuous: _Optional[bool] = ...) -> None: ...

class Transition(_message.Message):
    __slots__ = ("observation", "mask", "reward", "terminated", "truncated", "info")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    observation: _tensor_pb2.Tensor
    mask: _tensor_pb2.Tensor
    reward: _tensor_pb2.Tensor
    terminated: _tensor_pb2.Tensor
    truncated: _tensor_pb2.Tensor
    info: _tensor_pb2.Tensor
    def __init__(self, observation: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., mask: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., reward: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., terminated: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., truncated: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., info: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class WorkerStatus(_message.Message):
    __slots__ = ("worker_id", "state", "requests", "batches", "transitions", "transitions_per_s", "last_error", "last_active_time")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_PER_S_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    state: WorkerState
    requests: int
    batches: int
    transitions: int
    transitions_per_s: float
    last_error: str
    last_active_time: _timestamp_pb2.Timestamp
    def __init__(self, worker_id: _Optional[str] = ..., state: _Optional[_Union[WorkerState, str]] = ..., requests: _Optional[int] = ..., batches: _Optional[int] = ..., transitions: _Optional[int] = ..., transitions_per_s: _Optional[float] = ..., last_error: _Optional[str] = ..., last_active_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEnvironmentsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEnvironmentsResponse(_message.Message):
    __slots__ = ("environments", "next_page_token")
    ENVIRONMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environments: _containers.RepeatedCompositeFieldContainer[Environment]
    next_page_token: str
    def __init__(self, environments: _Optional[_Iterable[_Union[Environment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("task", "backend", "num_envs", "seed", "profile")
    TASK_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    NUM_ENVS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.TaskSpec
    backend: _backend_pb2.Backend
    num_envs: int
    seed: int
    profile: str
    def __init__(self, task: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., backend: _Optional[_Union[_backend_pb2.Backend, str]] = ..., num_envs: _Optional[int] = ..., seed: _Optional[int] = ..., profile: _Optional[str] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session_id", "env_spec", "num_envs", "info_keys")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ENV_SPEC_FIELD_NUMBER: _ClassVar[int]
    NUM_ENVS_FIELD_NUMBER: _ClassVar[int]
    INFO_KEYS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    env_spec: _task_pb2.EnvSpec
    num_envs: int
    info_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session_id: _Optional[str] = ..., env_spec: _Optional[_Union[_task_pb2.EnvSpec, _Mapping]] = ..., num_envs: _Optional[int] = ..., info_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class ResetSessionRequest(_message.Message):
    __slots__ = ("session_id", "seed", "with_info")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    WITH_INFO_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    seed: int
    with_info: bool
    def __init__(self, session_id: _Optional[str] = ..., seed: _Optional[int] = ..., with_info: _Optional[bool] = ...) -> None: ...

class ResetSessionResponse(_message.Message):
    __slots__ = ("transition",)
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    transition: Transition
    def __init__(self, transition: _Optional[_Union[Transition, _Mapping]] = ...) -> None: ...

class StepSessionRequest(_message.Message):
    __slots__ = ("session_id", "action", "with_info")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    WITH_INFO_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    action: _tensor_pb2.Tensor
    with_info: bool
    def __init__(self, session_id: _Optional[str] = ..., action: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., with_info: _Optional[bool] = ...) -> None: ...

class StepSessionResponse(_message.Message):
    __slots__ = ("transition",)
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    transition: Transition
    def __init__(self, transition: _Optional[_Union[Transition, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Reset(_message.Message):
    __slots__ = ("seed",)
    SEED_FIELD_NUMBER: _ClassVar[int]
    seed: int
    def __init__(self, seed: _Optional[int] = ...) -> None: ...

class StepStreamRequest(_message.Message):
    __slots__ = ("session_id", "action", "reset", "with_info")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    WITH_INFO_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    action: _tensor_pb2.Tensor
    reset: Reset
    with_info: bool
    def __init__(self, session_id: _Optional[str] = ..., action: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., reset: _Optional[_Union[Reset, _Mapping]] = ..., with_info: _Optional[bool] = ...) -> None: ...

class StepStreamResponse(_message.Message):
    __slots__ = ("transition",)
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    transition: Transition
    def __init__(self, transition: _Optional[_Union[Transition, _Mapping]] = ...) -> None: ...

class GetClusterStateRequest(_message.Message):
    __slots__ = ("session_id", "env_index")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ENV_INDEX_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    env_index: int
    def __init__(self, session_id: _Optional[str] = ..., env_index: _Optional[int] = ...) -> None: ...

class GetClusterStateResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _cluster_pb2.ClusterState
    def __init__(self, state: _Optional[_Union[_cluster_pb2.ClusterState, _Mapping]] = ...) -> None: ...

class ApplyPlacementRequest(_message.Message):
    __slots__ = ("session_id", "env_index", "placement")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ENV_INDEX_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    env_index: int
    placement: _cluster_pb2.Placement
    def __init__(self, session_id: _Optional[str] = ..., env_index: _Optional[int] = ..., placement: _Optional[_Union[_cluster_pb2.Placement, _Mapping]] = ...) -> None: ...

class ApplyPlacementResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _cluster_pb2.ClusterState
    def __init__(self, state: _Optional[_Union[_cluster_pb2.ClusterState, _Mapping]] = ...) -> None: ...

class GetWorkerStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetWorkerStatusResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerStatus]
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerStatus, _Mapping]]] = ...) -> None: ...
