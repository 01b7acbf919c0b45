from protos import validate as _validate_pb2
from protos.lwmecps.registry.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_VIEW_UNSPECIFIED: _ClassVar[TaskView]
    TASK_VIEW_SUMMARY: _ClassVar[TaskView]
    TASK_VIEW_SPEC: _ClassVar[TaskView]
    TASK_VIEW_FULL: _ClassVar[TaskView]

class TaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_KIND_UNSPECIFIED: _ClassVar[TaskKind]
    TASK_KIND_TASK: _ClassVar[TaskKind]
    TASK_KIND_DISTRIBUTION: _ClassVar[TaskKind]
TASK_VIEW_UNSPECIFIED: TaskView
TASK_VIEW_SUMMARY: TaskView
TASK_VIEW_SPEC: TaskView
TASK_VIEW_FULL: TaskView
TASK_KIND_UNSPECIFIED: TaskKind
TASK_KIND_TASK: TaskKind
TASK_KIND_DISTRIBUTION: TaskKind

class Recording(_message.Message):
    __slots__ = ("sha256", "steps", "nodes", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    steps: int
    nodes: int
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., steps: _Optional[int] = ..., nodes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class TaskSummary(_message.Message):
    __slots__ = ("kind", "env_id", "family", "nodes", "deployments", "horizon", "recording")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENV_ID_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    kind: TaskKind
    env_id: str
    family: str
    nodes: int
    deployments: int
    horizon: int
    recording: Recording
    def __init__(self, kind: _Optional[_Union[TaskKind, str]] = ..., env_id: _Optional[str] = ..., family: _Optional[str] = ..., nodes: _Optional[int] = ..., deployments: _Optional[int] = ..., horizon: _Optional[int] = ..., recording: _Optional[_Union[Recording, _Mapping]] = ...) -> None: ...

class DownloadRecordingRequest(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    def __init__(self, sha256: _Optional[str] = ...) -> None: ...

class DownloadRecordingResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: _policy_pb2.ArtefactHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[_policy_pb2.ArtefactHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...
