from protos import validate as _validate_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeSpec(_message.Message):
    __slots__ = ("name", "cpu_millicores", "ram_mib", "tx_mbps", "rx_mbps", "access_latency_ms", "replica_hour", "idle_watts", "busy_watts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLICORES_FIELD_NUMBER: _ClassVar[int]
    RAM_MIB_FIELD_NUMBER: _ClassVar[int]
    TX_MBPS_FIELD_NUMBER: _ClassVar[int]
    RX_MBPS_FIELD_NUMBER: _ClassVar[int]
    ACCESS_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    REPLICA_HOUR_FIELD_NUMBER: _ClassVar[int]
    IDLE_WATTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_WATTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cpu_millicores: float
    ram_mib: float
    tx_mbps: float
    rx_mbps: float
    access_latency_ms: float
    replica_hour: float
    idle_watts: float
    busy_watts: float
    def __init__(self, name: _Optional[str] = ..., cpu_millicores: _Optional[float] = ..., ram_mib: _Optional[float] = ..., tx_mbps: _Optional[float] = ..., rx_mbps: _Optional[float] = ..., access_latency_ms: _Optional[float] = ..., replica_hour: _Optional[float] = ..., idle_watts: _Optional[float] = ..., busy_watts: _Optional[float] = ...) -> None: ...

class ClusterSpec(_message.Message):
    __slots__ = ("nodes", "rtt_ms")
    NODES_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeSpec]
    rtt_ms: _tensor_pb2.Tensor
    def __init__(self, nodes: _Optional[_Iterable[_Union[NodeSpec, _Mapping]]] = ..., rtt_ms: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class CallSpec(_message.Message):
    __slots__ = ("deployment", "times")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    times: float
    def __init__(self, deployment: _Optional[str] = ..., times: _Optional[float] = ...) -> None: ...

class DeploymentSpec(_message.Message):
    __slots__ = ("name", "cpu_millicores", "ram_mib", "tx_mbps", "rx_mbps", "cpu_time_ms", "cpu_time_cv", "concurrency", "startup_s", "timeout_ms", "max_replicas", "initial_replicas", "allowed_nodes", "usable_cores", "abandon", "calls", "min_replicas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLICORES_FIELD_NUMBER: _ClassVar[int]
    RAM_MIB_FIELD_NUMBER: _ClassVar[int]
    TX_MBPS_FIELD_NUMBER: _ClassVar[int]
    RX_MBPS_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_CV_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    STARTUP_S_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_NODES_FIELD_NUMBER: _ClassVar[int]
    USABLE_CORES_FIELD_NUMBER: _ClassVar[int]
    ABANDON_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cpu_millicores: float
    ram_mib: float
    tx_mbps: float
    rx_mbps: float
    cpu_time_ms: float
    cpu_time_cv: float
    concurrency: int
    startup_s: float
    timeout_ms: float
    max_replicas: int
    initial_replicas: int
    allowed_nodes: _containers.RepeatedScalarFieldContainer[str]
    usable_cores: float
    abandon: bool
    calls: _containers.RepeatedCompositeFieldContainer[CallSpec]
    min_replicas: int
    def __init__(self, name: _Optional[str] = ..., cpu_millicores: _Optional[float] = ..., ram_mib: _Optional[float] = ..., tx_mbps: _Optional[float] = ..., rx_mbps: _Optional[float] = ..., cpu_time_ms: _Optional[float] = ..., cpu_time_cv: _Optional[float] = ..., concurrency: _Optional[int] = ..., startup_s: _Optional[float] = ..., timeout_ms: _Optional[float] = ..., max_replicas: _Optional[int] = ..., initial_replicas: _Optional[int] = ..., allowed_nodes: _Optional[_Iterable[str]] = ..., usable_cores: _Optional[float] = ..., abandon: _Optional[bool] = ..., calls: _Optional[_Iterable[_Union[CallSpec, _Mapping]]] = ..., min_replicas: _Optional[int] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("replicas",)
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    replicas: _tensor_pb2.Tensor
    def __init__(self, replicas: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ClusterState(_message.Message):
    __slots__ = ("time_s", "nodes", "deployments", "desired", "ready_replicas", "cpu_utilisation", "ram_utilisation", "request_rate_rps", "latency_ms")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    READY_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    CPU_UTILISATION_FIELD_NUMBER: _ClassVar[int]
    RAM_UTILISATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    nodes: _containers.RepeatedScalarFieldContainer[str]
    deployments: _containers.RepeatedScalarFieldContainer[str]
    desired: Placement
    ready_replicas: _tensor_pb2.Tensor
    cpu_utilisation: _tensor_pb2.Tensor
    ram_utilisation: _tensor_pb2.Tensor
    request_rate_rps: _tensor_pb2.Tensor
    latency_ms: _tensor_pb2.Tensor
    def __init__(self, time_s: _Optional[float] = ..., nodes: _Optional[_Iterable[str]] = ..., deployments: _Optional[_Iterable[str]] = ..., desired: _Optional[_Union[Placement, _Mapping]] = ..., ready_replicas: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., cpu_utilisation: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., ram_utilisation: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., request_rate_rps: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., latency_ms: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
