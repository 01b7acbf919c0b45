from protos import validate as _validate_pb2
from protos.lwmecps.common.v1 import settings_pb2 as _settings_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from protos.lwmecps.registry.v1 import policy_pb2 as _policy_pb2
from protos.lwmecps.registry.v1 import run_pb2 as _run_pb2
from protos.lwmecps.task.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartTrainingRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "algorithm", "settings", "labels", "request_id", "paused", "policy_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    algorithm: _settings_pb2.AlgorithmConfig
    settings: _settings_pb2.TrainConfig
    labels: _containers.ScalarMap[str, str]
    request_id: str
    paused: bool
    policy_id: str
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., algorithm: _Optional[_Union[_settings_pb2.AlgorithmConfig, _Mapping]] = ..., settings: _Optional[_Union[_settings_pb2.TrainConfig, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., paused: _Optional[bool] = ..., policy_id: _Optional[str] = ...) -> None: ...

class StartTrainingResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class StartMetaTrainingRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "algorithm", "settings", "labels", "request_id", "paused")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    algorithm: _settings_pb2.AlgorithmConfig
    settings: _settings_pb2.MetaConfig
    labels: _containers.ScalarMap[str, str]
    request_id: str
    paused: bool
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., algorithm: _Optional[_Union[_settings_pb2.AlgorithmConfig, _Mapping]] = ..., settings: _Optional[_Union[_settings_pb2.MetaConfig, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class StartMetaTrainingResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class StartTransferRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "policy_id", "settings", "labels", "request_id", "source_task_ids", "paused")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    policy_id: str
    settings: _settings_pb2.TransferConfig
    labels: _containers.ScalarMap[str, str]
    request_id: str
    source_task_ids: _containers.RepeatedScalarFieldContainer[str]
    paused: bool
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., policy_id: _Optional[str] = ..., settings: _Optional[_Union[_settings_pb2.TransferConfig, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., source_task_ids: _Optional[_Iterable[str]] = ..., paused: _Optional[bool] = ...) -> None: ...

class StartTransferResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class StartAdaptationRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "policy_id", "settings", "labels", "request_id", "paused")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    policy_id: str
    settings: _settings_pb2.AdaptConfig
    labels: _containers.ScalarMap[str, str]
    request_id: str
    paused: bool
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., policy_id: _Optional[str] = ..., settings: _Optional[_Union[_settings_pb2.AdaptConfig, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class StartAdaptationResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class StartEvaluationRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "policy_id", "settings", "calibration_task_ids", "labels", "request_id", "paused")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    policy_id: str
    settings: _settings_pb2.EvaluateConfig
    calibration_task_ids: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    request_id: str
    paused: bool
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., policy_id: _Optional[str] = ..., settings: _Optional[_Union[_settings_pb2.EvaluateConfig, _Mapping]] = ..., calibration_task_ids: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class StartEvaluationResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class StartContinualRequest(_message.Message):
    __slots__ = ("label", "task_ids", "num_tasks", "task_seed", "seed", "policy_id", "settings", "labels", "request_id", "paused")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASK_SEED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    label: str
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    num_tasks: int
    task_seed: int
    seed: int
    policy_id: str
    settings: _settings_pb2.ContinualConfig
    labels: _containers.ScalarMap[str, str]
    request_id: str
    paused: bool
    def __init__(self, label: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., num_tasks: _Optional[int] = ..., task_seed: _Optional[int] = ..., seed: _Optional[int] = ..., policy_id: _Optional[str] = ..., settings: _Optional[_Union[_settings_pb2.ContinualConfig, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class StartContinualResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class WatchProgressRequest(_message.Message):
    __slots__ = ("run_id", "after_step")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_STEP_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after_step: int
    def __init__(self, run_id: _Optional[str] = ..., after_step: _Optional[int] = ...) -> None: ...

class WatchProgressResponse(_message.Message):
    __slots__ = ("run", "metrics", "rows")
    RUN_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    metrics: _containers.RepeatedCompositeFieldContainer[_run_pb2.MetricPoint]
    rows: _containers.RepeatedCompositeFieldContainer[_run_pb2.Row]
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[_run_pb2.MetricPoint, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[_run_pb2.Row, _Mapping]]] = ...) -> None: ...

class GetResultsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetResultsResponse(_message.Message):
    __slots__ = ("run", "policy", "rows", "trace", "next_page_token")
    RUN_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    policy: _policy_pb2.Policy
    rows: _containers.RepeatedCompositeFieldContainer[_run_pb2.Row]
    trace: _run_pb2.Trace
    next_page_token: str
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., policy: _Optional[_Union[_policy_pb2.Policy, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[_run_pb2.Row, _Mapping]]] = ..., trace: _Optional[_Union[_run_pb2.Trace, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ProfileLine(_message.Message):
    __slots__ = ("function", "calls", "own_s", "total_s")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    OWN_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_S_FIELD_NUMBER: _ClassVar[int]
    function: str
    calls: int
    own_s: float
    total_s: float
    def __init__(self, function: _Optional[str] = ..., calls: _Optional[int] = ..., own_s: _Optional[float] = ..., total_s: _Optional[float] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("file", "content", "lines")
    FILE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    file: str
    content: bytes
    lines: _containers.RepeatedCompositeFieldContainer[ProfileLine]
    def __init__(self, file: _Optional[str] = ..., content: _Optional[bytes] = ..., lines: _Optional[_Iterable[_Union[ProfileLine, _Mapping]]] = ...) -> None: ...

class GetRunLogRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunLogResponse(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lines: _Optional[_Iterable[str]] = ...) -> None: ...

class ActRequest(_message.Message):
    __slots__ = ("policy_id", "observation", "mask", "sample", "seed", "env_spec", "memory", "reward_terms", "previous_action", "first")
    class MemoryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _tensor_pb2.Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ENV_SPEC_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    REWARD_TERMS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ACTION_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    observation: _tensor_pb2.Tensor
    mask: _tensor_pb2.Tensor
    sample: bool
    seed: int
    env_spec: _task_pb2.EnvSpec
    memory: _containers.MessageMap[str, _tensor_pb2.Tensor]
    reward_terms: _tensor_pb2.Tensor
    previous_action: _tensor_pb2.Tensor
    first: _tensor_pb2.Tensor
    def __init__(self, policy_id: _Optional[str] = ..., observation: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., mask: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., sample: _Optional[bool] = ..., seed: _Optional[int] = ..., env_spec: _Optional[_Union[_task_pb2.EnvSpec, _Mapping]] = ..., memory: _Optional[_Mapping[str, _tensor_pb2.Tensor]] = ..., reward_terms: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., previous_action: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., first: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ActResponse(_message.Message):
    __slots__ = ("action", "memory")
    class MemoryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _tensor_pb2.Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    action: _tensor_pb2.Tensor
    memory: _containers.MessageMap[str, _tensor_pb2.Tensor]
    def __init__(self, action: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., memory: _Optional[_Mapping[str, _tensor_pb2.Tensor]] = ...) -> None: ...

class GetNearestContextsRequest(_message.Message):
    __slots__ = ("content", "task_id", "name", "limit", "metric")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    task_id: str
    name: str
    limit: int
    metric: bytes
    def __init__(self, content: _Optional[bytes] = ..., task_id: _Optional[str] = ..., name: _Optional[str] = ..., limit: _Optional[int] = ..., metric: _Optional[bytes] = ...) -> None: ...

class ContextReason(_message.Message):
    __slots__ = ("quantity", "here", "there", "distance")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    THERE_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    quantity: str
    here: str
    there: str
    distance: float
    def __init__(self, quantity: _Optional[str] = ..., here: _Optional[str] = ..., there: _Optional[str] = ..., distance: _Optional[float] = ...) -> None: ...

class NearContext(_message.Message):
    __slots__ = ("task_id", "name", "policy_id", "task", "distance", "alike", "differs")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    ALIKE_FIELD_NUMBER: _ClassVar[int]
    DIFFERS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    name: str
    policy_id: str
    task: str
    distance: float
    alike: _containers.RepeatedCompositeFieldContainer[ContextReason]
    differs: _containers.RepeatedCompositeFieldContainer[ContextReason]
    def __init__(self, task_id: _Optional[str] = ..., name: _Optional[str] = ..., policy_id: _Optional[str] = ..., task: _Optional[str] = ..., distance: _Optional[float] = ..., alike: _Optional[_Iterable[_Union[ContextReason, _Mapping]]] = ..., differs: _Optional[_Iterable[_Union[ContextReason, _Mapping]]] = ...) -> None: ...

class SkippedContext(_message.Message):
    __slots__ = ("task_id", "name", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    name: str
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetNearestContextsResponse(_message.Message):
    __slots__ = ("nearest", "skipped")
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    nearest: _containers.RepeatedCompositeFieldContainer[NearContext]
    skipped: _containers.RepeatedCompositeFieldContainer[SkippedContext]
    def __init__(self, nearest: _Optional[_Iterable[_Union[NearContext, _Mapping]]] = ..., skipped: _Optional[_Iterable[_Union[SkippedContext, _Mapping]]] = ...) -> None: ...
