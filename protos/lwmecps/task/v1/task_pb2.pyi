from protos import validate as _validate_pb2
from protos.lwmecps.cluster.v1 import cluster_pb2 as _cluster_pb2
from protos.lwmecps.common.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pattern(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATTERN_UNSPECIFIED: _ClassVar[Pattern]
    PATTERN_UNIFORM: _ClassVar[Pattern]
    PATTERN_DIURNAL: _ClassVar[Pattern]
    PATTERN_BURST: _ClassVar[Pattern]
    PATTERN_GRADUAL: _ClassVar[Pattern]
    PATTERN_RECORDED: _ClassVar[Pattern]

class Arrivals(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARRIVALS_UNSPECIFIED: _ClassVar[Arrivals]
    ARRIVALS_POISSON: _ClassVar[Arrivals]
    ARRIVALS_BURST: _ClassVar[Arrivals]

class Resample(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESAMPLE_UNSPECIFIED: _ClassVar[Resample]
    RESAMPLE_MEAN: _ClassVar[Resample]
    RESAMPLE_MAX: _ClassVar[Resample]
    RESAMPLE_SAMPLE: _ClassVar[Resample]

class SloScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLO_SCOPE_UNSPECIFIED: _ClassVar[SloScope]
    SLO_SCOPE_OVERALL: _ClassVar[SloScope]
    SLO_SCOPE_EACH: _ClassVar[SloScope]

class Routing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTING_UNSPECIFIED: _ClassVar[Routing]
    ROUTING_CLUSTER: _ClassVar[Routing]
    ROUTING_LEAST_CONNECTIONS: _ClassVar[Routing]
    ROUTING_LOCAL_FIRST: _ClassVar[Routing]

class LatencyModel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LATENCY_MODEL_UNSPECIFIED: _ClassVar[LatencyModel]
    LATENCY_MODEL_QUEUE: _ClassVar[LatencyModel]
    LATENCY_MODEL_TESTAPP: _ClassVar[LatencyModel]

class Usage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_UNSPECIFIED: _ClassVar[Usage]
    USAGE_METRICS_SERVER: _ClassVar[Usage]
    USAGE_SIMULATED: _ClassVar[Usage]

class Fallback(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_UNSPECIFIED: _ClassVar[Fallback]
    FALLBACK_NONE: _ClassVar[Fallback]
    FALLBACK_SIMULATED: _ClassVar[Fallback]

class OtherWriters(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OTHER_WRITERS_UNSPECIFIED: _ClassVar[OtherWriters]
    OTHER_WRITERS_REFUSE: _ClassVar[OtherWriters]
    OTHER_WRITERS_OVERRIDE: _ClassVar[OtherWriters]

class Family(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAMILY_UNSPECIFIED: _ClassVar[Family]
    FAMILY_KUBERNETES_SCALING: _ClassVar[Family]
    FAMILY_LOAD_BALANCING: _ClassVar[Family]
    FAMILY_RESOURCE_OPTIMIZATION: _ClassVar[Family]
    FAMILY_MEC_CITY: _ClassVar[Family]
    FAMILY_LOAD_PROFILE: _ClassVar[Family]

class OptimizationTarget(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMIZATION_TARGET_UNSPECIFIED: _ClassVar[OptimizationTarget]
    OPTIMIZATION_TARGET_CPU: _ClassVar[OptimizationTarget]
    OPTIMIZATION_TARGET_MEMORY: _ClassVar[OptimizationTarget]
    OPTIMIZATION_TARGET_LATENCY: _ClassVar[OptimizationTarget]

class ActionEntity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_ENTITY_UNSPECIFIED: _ClassVar[ActionEntity]
    ACTION_ENTITY_GLOBAL: _ClassVar[ActionEntity]
    ACTION_ENTITY_DEPLOYMENT: _ClassVar[ActionEntity]
    ACTION_ENTITY_PAIR: _ClassVar[ActionEntity]
PATTERN_UNSPECIFIED: Pattern
PATTERN_UNIFORM: Pattern
PATTERN_DIURNAL: Pattern
PATTERN_BURST: Pattern
PATTERN_GRADUAL: Pattern
PATTERN_RECORDED: Pattern
ARRIVALS_UNSPECIFIED: Arrivals
ARRIVALS_POISSON: Arrivals
ARRIVALS_BURST: Arrivals
RESAMPLE_UNSPECIFIED: Resample
RESAMPLE_MEAN: Resample
RESAMPLE_MAX: Resample
RESAMPLE_SAMPLE: Resample
SLO_SCOPE_UNSPECIFIED: SloScope
SLO_SCOPE_OVERALL: SloScope
SLO_SCOPE_EACH: SloScope
ROUTING_UNSPECIFIED: Routing
ROUTING_CLUSTER: Routing
ROUTING_LEAST_CONNECTIONS: Routing
ROUTING_LOCAL_FIRST: Routing
LATENCY_MODEL_UNSPECIFIED: LatencyModel
LATENCY_MODEL_QUEUE: LatencyModel
LATENCY_MODEL_TESTAPP: LatencyModel
USAGE_UNSPECIFIED: Usage
USAGE_METRICS_SERVER: Usage
USAGE_SIMULATED: Usage
FALLBACK_UNSPECIFIED: Fallback
FALLBACK_NONE: Fallback
FALLBACK_SIMULATED: Fallback
OTHER_WRITERS_UNSPECIFIED: OtherWriters
OTHER_WRITERS_REFUSE: OtherWriters
OTHER_WRITERS_OVERRIDE: OtherWriters
FAMILY_UNSPECIFIED: Family
FAMILY_KUBERNETES_SCALING: Family
FAMILY_LOAD_BALANCING: Family
FAMILY_RESOURCE_OPTIMIZATION: Family
FAMILY_MEC_CITY: Family
FAMILY_LOAD_PROFILE: Family
OPTIMIZATION_TARGET_UNSPECIFIED: OptimizationTarget
OPTIMIZATION_TARGET_CPU: OptimizationTarget
OPTIMIZATION_TARGET_MEMORY: OptimizationTarget
OPTIMIZATION_TARGET_LATENCY: OptimizationTarget
ACTION_ENTITY_UNSPECIFIED: ActionEntity
ACTION_ENTITY_GLOBAL: ActionEntity
ACTION_ENTITY_DEPLOYMENT: ActionEntity
ACTION_ENTITY_PAIR: ActionEntity

class Failover(_message.Message):
    __slots__ = ("deployments",)
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    deployments: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, deployments: _Optional[_Iterable[int]] = ...) -> None: ...

class Servers(_message.Message):
    __slots__ = ("stations",)
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    stations: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, stations: _Optional[_Iterable[int]] = ...) -> None: ...

class MobilitySpec(_message.Message):
    __slots__ = ("leave", "come_back", "neighbours", "seed")
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    COME_BACK_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    leave: float
    come_back: float
    neighbours: int
    seed: int
    def __init__(self, leave: _Optional[float] = ..., come_back: _Optional[float] = ..., neighbours: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class WorkloadSpec(_message.Message):
    __slots__ = ("pattern", "base_users", "amplitude", "period_s", "phase", "recorded_users", "recorded_step_s", "request_interval_s", "arrivals", "noise", "share", "failover", "speedup", "random_start", "resample", "mobility")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    BASE_USERS_FIELD_NUMBER: _ClassVar[int]
    AMPLITUDE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RECORDED_USERS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_STEP_S_FIELD_NUMBER: _ClassVar[int]
    REQUEST_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    FAILOVER_FIELD_NUMBER: _ClassVar[int]
    SPEEDUP_FIELD_NUMBER: _ClassVar[int]
    RANDOM_START_FIELD_NUMBER: _ClassVar[int]
    RESAMPLE_FIELD_NUMBER: _ClassVar[int]
    MOBILITY_FIELD_NUMBER: _ClassVar[int]
    pattern: Pattern
    base_users: _tensor_pb2.Tensor
    amplitude: float
    period_s: float
    phase: _tensor_pb2.Tensor
    recorded_users: _tensor_pb2.Tensor
    recorded_step_s: float
    request_interval_s: float
    arrivals: Arrivals
    noise: float
    share: _tensor_pb2.Tensor
    failover: _containers.RepeatedCompositeFieldContainer[Failover]
    speedup: float
    random_start: bool
    resample: Resample
    mobility: MobilitySpec
    def __init__(self, pattern: _Optional[_Union[Pattern, str]] = ..., base_users: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., amplitude: _Optional[float] = ..., period_s: _Optional[float] = ..., phase: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., recorded_users: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., recorded_step_s: _Optional[float] = ..., request_interval_s: _Optional[float] = ..., arrivals: _Optional[_Union[Arrivals, str]] = ..., noise: _Optional[float] = ..., share: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., failover: _Optional[_Iterable[_Union[Failover, _Mapping]]] = ..., speedup: _Optional[float] = ..., random_start: _Optional[bool] = ..., resample: _Optional[_Union[Resample, str]] = ..., mobility: _Optional[_Union[MobilitySpec, _Mapping]] = ...) -> None: ...

class PricesSpec(_message.Message):
    __slots__ = ("replica_hour", "move", "kwh")
    REPLICA_HOUR_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    KWH_FIELD_NUMBER: _ClassVar[int]
    replica_hour: float
    move: float
    kwh: float
    def __init__(self, replica_hour: _Optional[float] = ..., move: _Optional[float] = ..., kwh: _Optional[float] = ...) -> None: ...

class SloSpec(_message.Message):
    __slots__ = ("failed_share", "latency_p95_ms", "window", "scope", "allowed", "failed_share_multiplier", "latency_p95_multiplier")
    FAILED_SHARE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    FAILED_SHARE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    failed_share: float
    latency_p95_ms: float
    window: int
    scope: SloScope
    allowed: float
    failed_share_multiplier: float
    latency_p95_multiplier: float
    def __init__(self, failed_share: _Optional[float] = ..., latency_p95_ms: _Optional[float] = ..., window: _Optional[int] = ..., scope: _Optional[_Union[SloScope, str]] = ..., allowed: _Optional[float] = ..., failed_share_multiplier: _Optional[float] = ..., latency_p95_multiplier: _Optional[float] = ...) -> None: ...

class ObjectiveSpec(_message.Message):
    __slots__ = ("latency", "replicas", "imbalance", "sla", "moves", "target_latency_ms", "slo", "energy")
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    IMBALANCE_FIELD_NUMBER: _ClassVar[int]
    SLA_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    TARGET_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    SLO_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    latency: float
    replicas: float
    imbalance: float
    sla: float
    moves: float
    target_latency_ms: float
    slo: SloSpec
    energy: float
    def __init__(self, latency: _Optional[float] = ..., replicas: _Optional[float] = ..., imbalance: _Optional[float] = ..., sla: _Optional[float] = ..., moves: _Optional[float] = ..., target_latency_ms: _Optional[float] = ..., slo: _Optional[_Union[SloSpec, _Mapping]] = ..., energy: _Optional[float] = ...) -> None: ...

class PrometheusSpec(_message.Message):
    __slots__ = ("base_url", "label", "rate_query", "latency_ms_query", "latency_p95_ms_query", "failed_share_query")
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    RATE_QUERY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_QUERY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_MS_QUERY_FIELD_NUMBER: _ClassVar[int]
    FAILED_SHARE_QUERY_FIELD_NUMBER: _ClassVar[int]
    base_url: str
    label: str
    rate_query: str
    latency_ms_query: str
    latency_p95_ms_query: str
    failed_share_query: str
    def __init__(self, base_url: _Optional[str] = ..., label: _Optional[str] = ..., rate_query: _Optional[str] = ..., latency_ms_query: _Optional[str] = ..., latency_p95_ms_query: _Optional[str] = ..., failed_share_query: _Optional[str] = ...) -> None: ...

class ApplicationSpec(_message.Message):
    __slots__ = ("base_url", "group_id")
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    base_url: str
    group_id: str
    def __init__(self, base_url: _Optional[str] = ..., group_id: _Optional[str] = ...) -> None: ...

class KubernetesSpec(_message.Message):
    __slots__ = ("namespace", "label_selector", "manage", "rollback", "ready_deadline_s", "unreachable_deadline_s", "usage", "prometheus", "test_application", "fallback", "max_moves_per_interval", "min_replicas", "latency_ceiling_ms", "pace", "other_writers")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    MANAGE_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    READY_DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROMETHEUS_FIELD_NUMBER: _ClassVar[int]
    TEST_APPLICATION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    MAX_MOVES_PER_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_CEILING_MS_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    OTHER_WRITERS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    label_selector: str
    manage: bool
    rollback: bool
    ready_deadline_s: float
    unreachable_deadline_s: float
    usage: Usage
    prometheus: PrometheusSpec
    test_application: ApplicationSpec
    fallback: Fallback
    max_moves_per_interval: int
    min_replicas: int
    latency_ceiling_ms: float
    pace: float
    other_writers: OtherWriters
    def __init__(self, namespace: _Optional[str] = ..., label_selector: _Optional[str] = ..., manage: _Optional[bool] = ..., rollback: _Optional[bool] = ..., ready_deadline_s: _Optional[float] = ..., unreachable_deadline_s: _Optional[float] = ..., usage: _Optional[_Union[Usage, str]] = ..., prometheus: _Optional[_Union[PrometheusSpec, _Mapping]] = ..., test_application: _Optional[_Union[ApplicationSpec, _Mapping]] = ..., fallback: _Optional[_Union[Fallback, str]] = ..., max_moves_per_interval: _Optional[int] = ..., min_replicas: _Optional[int] = ..., latency_ceiling_ms: _Optional[float] = ..., pace: _Optional[float] = ..., other_writers: _Optional[_Union[OtherWriters, str]] = ...) -> None: ...

class TaskSpec(_message.Message):
    __slots__ = ("name", "env_id", "cluster", "deployments", "workload", "objective", "horizon", "interval_s", "episodes", "routing", "latency_model", "family", "kubernetes", "prices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENV_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MODEL_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    KUBERNETES_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    env_id: str
    cluster: _cluster_pb2.ClusterSpec
    deployments: _containers.RepeatedCompositeFieldContainer[_cluster_pb2.DeploymentSpec]
    workload: WorkloadSpec
    objective: ObjectiveSpec
    horizon: int
    interval_s: float
    episodes: int
    routing: Routing
    latency_model: LatencyModel
    family: str
    kubernetes: KubernetesSpec
    prices: PricesSpec
    def __init__(self, name: _Optional[str] = ..., env_id: _Optional[str] = ..., cluster: _Optional[_Union[_cluster_pb2.ClusterSpec, _Mapping]] = ..., deployments: _Optional[_Iterable[_Union[_cluster_pb2.DeploymentSpec, _Mapping]]] = ..., workload: _Optional[_Union[WorkloadSpec, _Mapping]] = ..., objective: _Optional[_Union[ObjectiveSpec, _Mapping]] = ..., horizon: _Optional[int] = ..., interval_s: _Optional[float] = ..., episodes: _Optional[int] = ..., routing: _Optional[_Union[Routing, str]] = ..., latency_model: _Optional[_Union[LatencyModel, str]] = ..., family: _Optional[str] = ..., kubernetes: _Optional[_Union[KubernetesSpec, _Mapping]] = ..., prices: _Optional[_Union[PricesSpec, _Mapping]] = ...) -> None: ...

class TaskDistribution(_message.Message):
    __slots__ = ("family", "env_id", "nodes", "deployments", "max_replicas", "horizon", "recorded_users", "recorded_step_s", "max_pods", "cpu_requirement", "memory_requirement", "traffic_pattern", "latency_threshold", "optimization_target", "constraint_weight", "recorded_request_interval_s", "recorded_failover", "resample", "slo", "prices", "min_replicas")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ENV_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    RECORDED_USERS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_STEP_S_FIELD_NUMBER: _ClassVar[int]
    MAX_PODS_FIELD_NUMBER: _ClassVar[int]
    CPU_REQUIREMENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_REQUIREMENT_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_PATTERN_FIELD_NUMBER: _ClassVar[int]
    LATENCY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZATION_TARGET_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINT_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_REQUEST_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FAILOVER_FIELD_NUMBER: _ClassVar[int]
    RESAMPLE_FIELD_NUMBER: _ClassVar[int]
    SLO_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    family: Family
    env_id: str
    nodes: int
    deployments: int
    max_replicas: int
    horizon: int
    recorded_users: _tensor_pb2.Tensor
    recorded_step_s: float
    max_pods: int
    cpu_requirement: float
    memory_requirement: float
    traffic_pattern: Pattern
    latency_threshold: float
    optimization_target: OptimizationTarget
    constraint_weight: float
    recorded_request_interval_s: float
    recorded_failover: _containers.RepeatedCompositeFieldContainer[Servers]
    resample: Resample
    slo: SloSpec
    prices: PricesSpec
    min_replicas: int
    def __init__(self, family: _Optional[_Union[Family, str]] = ..., env_id: _Optional[str] = ..., nodes: _Optional[int] = ..., deployments: _Optional[int] = ..., max_replicas: _Optional[int] = ..., horizon: _Optional[int] = ..., recorded_users: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., recorded_step_s: _Optional[float] = ..., max_pods: _Optional[int] = ..., cpu_requirement: _Optional[float] = ..., memory_requirement: _Optional[float] = ..., traffic_pattern: _Optional[_Union[Pattern, str]] = ..., latency_threshold: _Optional[float] = ..., optimization_target: _Optional[_Union[OptimizationTarget, str]] = ..., constraint_weight: _Optional[float] = ..., recorded_request_interval_s: _Optional[float] = ..., recorded_failover: _Optional[_Iterable[_Union[Servers, _Mapping]]] = ..., resample: _Optional[_Union[Resample, str]] = ..., slo: _Optional[_Union[SloSpec, _Mapping]] = ..., prices: _Optional[_Union[PricesSpec, _Mapping]] = ..., min_replicas: _Optional[int] = ...) -> None: ...

class ObservationBlock(_message.Message):
    __slots__ = ("name", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class EnvSpec(_message.Message):
    __slots__ = ("env_id", "blocks", "nvec", "action_size", "horizon", "action_entity")
    ENV_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NVEC_FIELD_NUMBER: _ClassVar[int]
    ACTION_SIZE_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    ACTION_ENTITY_FIELD_NUMBER: _ClassVar[int]
    env_id: str
    blocks: _containers.RepeatedCompositeFieldContainer[ObservationBlock]
    nvec: _containers.RepeatedScalarFieldContainer[int]
    action_size: int
    horizon: int
    action_entity: ActionEntity
    def __init__(self, env_id: _Optional[str] = ..., blocks: _Optional[_Iterable[_Union[ObservationBlock, _Mapping]]] = ..., nvec: _Optional[_Iterable[int]] = ..., action_size: _Optional[int] = ..., horizon: _Optional[int] = ..., action_entity: _Optional[_Union[ActionEntity, str]] = ...) -> None: ...
