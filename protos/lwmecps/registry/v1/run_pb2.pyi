import datetime

from protos import validate as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.lwmecps.common.v1 import settings_pb2 as _settings_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_KIND_UNSPECIFIED: _ClassVar[RunKind]
    RUN_KIND_TRAIN: _ClassVar[RunKind]
    RUN_KIND_META_TRAIN: _ClassVar[RunKind]
    RUN_KIND_TRANSFER: _ClassVar[RunKind]
    RUN_KIND_ADAPT: _ClassVar[RunKind]
    RUN_KIND_EVALUATE: _ClassVar[RunKind]
    RUN_KIND_CONTINUAL: _ClassVar[RunKind]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_PENDING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_PAUSED: _ClassVar[RunState]
    RUN_STATE_COMPLETED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]
RUN_KIND_UNSPECIFIED: RunKind
RUN_KIND_TRAIN: RunKind
RUN_KIND_META_TRAIN: RunKind
RUN_KIND_TRANSFER: RunKind
RUN_KIND_ADAPT: RunKind
RUN_KIND_EVALUATE: RunKind
RUN_KIND_CONTINUAL: RunKind
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_PENDING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_PAUSED: RunState
RUN_STATE_COMPLETED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState

class RunSpec(_message.Message):
    __slots__ = ("kind", "label", "task_ids", "num_tasks", "task_seed", "calibration_task_ids", "policy_id", "seed", "algorithm", "train", "meta_train", "transfer", "adapt", "evaluate", "continual", "source_task_ids")
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    META_TRAIN_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    ADAPT_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    CONTINUAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    kind: RunKind
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    calibration_task_ids: _containers.RepeatedScalarFieldContainer[str]
    policy_id: str
    seed: int
    algorithm: _settings_pb2.AlgorithmConfig
    train: _settings_pb2.TrainConfig
    meta_train: _settings_pb2.MetaConfig
    transfer: _settings_pb2.TransferConfig
    adapt: _settings_pb2.AdaptConfig
    evaluate: _settings_pb2.EvaluateConfig
    continual: _settings_pb2.ContinualConfig
    source_task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[RunKind, str]] = ..., label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., calibration_task_ids: _Optional[_Iterable[str]] = ..., policy_id: _Optional[str] = ..., seed: _Optional[int] = ..., algorithm: _Optional[_Union[_settings_pb2.AlgorithmConfig, _Mapping]] = ..., train: _Optional[_Union[_settings_pb2.TrainConfig, _Mapping]] = ..., meta_train: _Optional[_Union[_settings_pb2.MetaConfig, _Mapping]] = ..., transfer: _Optional[_Union[_settings_pb2.TransferConfig, _Mapping]] = ..., adapt: _Optional[_Union[_settings_pb2.AdaptConfig, _Mapping]] = ..., evaluate: _Optional[_Union[_settings_pb2.EvaluateConfig, _Mapping]] = ..., continual: _Optional[_Union[_settings_pb2.ContinualConfig, _Mapping]] = ..., source_task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "spec", "labels", "state", "desired_state", "step", "total_steps", "latest_metrics", "error", "owner", "wandb_run_id", "result_policy_id", "create_time", "update_time", "start_time", "end_time", "etag", "waiting_for", "traceparent")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LatestMetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DESIRED_STATE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    LATEST_METRICS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    WANDB_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    spec: RunSpec
    labels: _containers.ScalarMap[str, str]
    state: RunState
    desired_state: RunState
    step: int
    total_steps: int
    latest_metrics: _containers.ScalarMap[str, float]
    error: str
    owner: str
    wandb_run_id: str
    result_policy_id: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    etag: str
    waiting_for: str
    traceparent: str
    def __init__(self, id: _Optional[str] = ..., spec: _Optional[_Union[RunSpec, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., state: _Optional[_Union[RunState, str]] = ..., desired_state: _Optional[_Union[RunState, str]] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ..., latest_metrics: _Optional[_Mapping[str, float]] = ..., error: _Optional[str] = ..., owner: _Optional[str] = ..., wandb_run_id: _Optional[str] = ..., result_policy_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., waiting_for: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("run_id", "token", "expire_time")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    token: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., token: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MetricPoint(_message.Message):
    __slots__ = ("name", "step", "value", "time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    step: int
    value: float
    time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., step: _Optional[int] = ..., value: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("task", "method", "inner_steps", "reward", "latency_mean_ms", "latency_p95_ms", "replicas_mean", "sla_miss_share", "moves_mean", "load_correlation", "env_steps", "wall_s", "episode", "support_reward_mean", "cost_per_hour", "cost_per_hour_steady", "violation_share", "violation_share_steady", "moves_per_hour", "moves_per_hour_steady", "decision_us", "decision_us_steady", "power_w", "power_w_steady")
    TASK_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    INNER_STEPS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MEAN_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_MS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_MEAN_FIELD_NUMBER: _ClassVar[int]
    SLA_MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    MOVES_MEAN_FIELD_NUMBER: _ClassVar[int]
    LOAD_CORRELATION_FIELD_NUMBER: _ClassVar[int]
    ENV_STEPS_FIELD_NUMBER: _ClassVar[int]
    WALL_S_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_REWARD_MEAN_FIELD_NUMBER: _ClassVar[int]
    COST_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    COST_PER_HOUR_STEADY_FIELD_NUMBER: _ClassVar[int]
    VIOLATION_SHARE_FIELD_NUMBER: _ClassVar[int]
    VIOLATION_SHARE_STEADY_FIELD_NUMBER: _ClassVar[int]
    MOVES_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    MOVES_PER_HOUR_STEADY_FIELD_NUMBER: _ClassVar[int]
    DECISION_US_FIELD_NUMBER: _ClassVar[int]
    DECISION_US_STEADY_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    POWER_W_STEADY_FIELD_NUMBER: _ClassVar[int]
    task: str
    method: str
    inner_steps: int
    reward: float
    latency_mean_ms: float
    latency_p95_ms: float
    replicas_mean: float
    sla_miss_share: float
    moves_mean: float
    load_correlation: float
    env_steps: int
    wall_s: float
    episode: int
    support_reward_mean: float
    cost_per_hour: float
    cost_per_hour_steady: float
    violation_share: float
    violation_share_steady: float
    moves_per_hour: float
    moves_per_hour_steady: float
    decision_us: float
    decision_us_steady: float
    power_w: float
    power_w_steady: float
    def __init__(self, task: _Optional[str] = ..., method: _Optional[str] = ..., inner_steps: _Optional[int] = ..., reward: _Optional[float] = ..., latency_mean_ms: _Optional[float] = ..., latency_p95_ms: _Optional[float] = ..., replicas_mean: _Optional[float] = ..., sla_miss_share: _Optional[float] = ..., moves_mean: _Optional[float] = ..., load_correlation: _Optional[float] = ..., env_steps: _Optional[int] = ..., wall_s: _Optional[float] = ..., episode: _Optional[int] = ..., support_reward_mean: _Optional[float] = ..., cost_per_hour: _Optional[float] = ..., cost_per_hour_steady: _Optional[float] = ..., violation_share: _Optional[float] = ..., violation_share_steady: _Optional[float] = ..., moves_per_hour: _Optional[float] = ..., moves_per_hour_steady: _Optional[float] = ..., decision_us: _Optional[float] = ..., decision_us_steady: _Optional[float] = ..., power_w: _Optional[float] = ..., power_w_steady: _Optional[float] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("step", "series")
    class SeriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _tensor_pb2.Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    step: int
    series: _containers.MessageMap[str, _tensor_pb2.Tensor]
    def __init__(self, step: _Optional[int] = ..., series: _Optional[_Mapping[str, _tensor_pb2.Tensor]] = ...) -> None: ...

class DeleteRunRequest(_message.Message):
    __slots__ = ("run_id", "etag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    etag: str
    def __init__(self, run_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
