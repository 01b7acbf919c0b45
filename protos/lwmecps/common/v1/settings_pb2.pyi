from protos import validate as _validate_pb2
from protos.lwmecps.common.v1 import backend_pb2 as _backend_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Network(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NETWORK_UNSPECIFIED: _ClassVar[Network]
    NETWORK_MLP: _ClassVar[Network]
    NETWORK_SET: _ClassVar[Network]

class Schedule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_UNSPECIFIED: _ClassVar[Schedule]
    SCHEDULE_CONSTANT: _ClassVar[Schedule]
    SCHEDULE_LINEAR: _ClassVar[Schedule]
    SCHEDULE_COSINE: _ClassVar[Schedule]

class Curriculum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CURRICULUM_UNSPECIFIED: _ClassVar[Curriculum]
    CURRICULUM_UNIFORM: _ClassVar[Curriculum]
    CURRICULUM_REPLAY: _ClassVar[Curriculum]
    CURRICULUM_MUTATE: _ClassVar[Curriculum]

class CurriculumScore(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CURRICULUM_SCORE_UNSPECIFIED: _ClassVar[CurriculumScore]
    CURRICULUM_SCORE_VALUE_LOSS: _ClassVar[CurriculumScore]
    CURRICULUM_SCORE_QUICK_REGRET: _ClassVar[CurriculumScore]
    CURRICULUM_SCORE_REGRET: _ClassVar[CurriculumScore]

class Block(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCK_UNSPECIFIED: _ClassVar[Block]
    BLOCK_DEPLOYMENT: _ClassVar[Block]
    BLOCK_NODE: _ClassVar[Block]
    BLOCK_PAIR: _ClassVar[Block]
    BLOCK_OBJECTIVE: _ClassVar[Block]
    BLOCK_LIMITS: _ClassVar[Block]
    BLOCK_EXPENSE: _ClassVar[Block]
    BLOCK_TARIFF: _ClassVar[Block]
    BLOCK_HOME_TARIFF: _ClassVar[Block]
    BLOCK_CALLS: _ClassVar[Block]

class Context(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTEXT_UNSPECIFIED: _ClassVar[Context]
    CONTEXT_NONE: _ClassVar[Context]
    CONTEXT_STATISTICS: _ClassVar[Context]
    CONTEXT_RECURRENT: _ClassVar[Context]
    CONTEXT_PRIVILEGED: _ClassVar[Context]
    CONTEXT_BELIEF: _ClassVar[Context]

class Head(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEAD_UNSPECIFIED: _ClassVar[Head]
    HEAD_ORDERED: _ClassVar[Head]
    HEAD_CATEGORICAL: _ClassVar[Head]

class Cell(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CELL_UNSPECIFIED: _ClassVar[Cell]
    CELL_GRU: _ClassVar[Cell]
    CELL_LSTM: _ClassVar[Cell]
    CELL_NTM: _ClassVar[Cell]
    CELL_DNC: _ClassVar[Cell]

class MetaMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    META_METHOD_UNSPECIFIED: _ClassVar[MetaMethod]
    META_METHOD_MAML: _ClassVar[MetaMethod]
    META_METHOD_FOMAML: _ClassVar[MetaMethod]
    META_METHOD_IMAML: _ClassVar[MetaMethod]
    META_METHOD_IMPLICIT_FOMAML: _ClassVar[MetaMethod]
    META_METHOD_REPTILE: _ClassVar[MetaMethod]

class TransferMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSFER_METHOD_UNSPECIFIED: _ClassVar[TransferMethod]
    TRANSFER_METHOD_FINE_TUNING: _ClassVar[TransferMethod]
    TRANSFER_METHOD_FEATURE_EXTRACTION: _ClassVar[TransferMethod]
    TRANSFER_METHOD_LAYER_WISE: _ClassVar[TransferMethod]
    TRANSFER_METHOD_DOMAIN_ADAPTATION: _ClassVar[TransferMethod]
NETWORK_UNSPECIFIED: Network
NETWORK_MLP: Network
NETWORK_SET: Network
SCHEDULE_UNSPECIFIED: Schedule
SCHEDULE_CONSTANT: Schedule
SCHEDULE_LINEAR: Schedule
SCHEDULE_COSINE: Schedule
CURRICULUM_UNSPECIFIED: Curriculum
CURRICULUM_UNIFORM: Curriculum
CURRICULUM_REPLAY: Curriculum
CURRICULUM_MUTATE: Curriculum
CURRICULUM_SCORE_UNSPECIFIED: CurriculumScore
CURRICULUM_SCORE_VALUE_LOSS: CurriculumScore
CURRICULUM_SCORE_QUICK_REGRET: CurriculumScore
CURRICULUM_SCORE_REGRET: CurriculumScore
BLOCK_UNSPECIFIED: Block
BLOCK_DEPLOYMENT: Block
BLOCK_NODE: Block
BLOCK_PAIR: Block
BLOCK_OBJECTIVE: Block
BLOCK_LIMITS: Block
BLOCK_EXPENSE: Block
BLOCK_TARIFF: Block
BLOCK_HOME_TARIFF: Block
BLOCK_CALLS: Block
CONTEXT_UNSPECIFIED: Context
CONTEXT_NONE: Context
CONTEXT_STATISTICS: Context
CONTEXT_RECURRENT: Context
CONTEXT_PRIVILEGED: Context
CONTEXT_BELIEF: Context
HEAD_UNSPECIFIED: Head
HEAD_ORDERED: Head
HEAD_CATEGORICAL: Head
CELL_UNSPECIFIED: Cell
CELL_GRU: Cell
CELL_LSTM: Cell
CELL_NTM: Cell
CELL_DNC: Cell
META_METHOD_UNSPECIFIED: MetaMethod
META_METHOD_MAML: MetaMethod
META_METHOD_FOMAML: MetaMethod
META_METHOD_IMAML: MetaMethod
META_METHOD_IMPLICIT_FOMAML: MetaMethod
META_METHOD_REPTILE: MetaMethod
TRANSFER_METHOD_UNSPECIFIED: TransferMethod
TRANSFER_METHOD_FINE_TUNING: TransferMethod
TRANSFER_METHOD_FEATURE_EXTRACTION: TransferMethod
TRANSFER_METHOD_LAYER_WISE: TransferMethod
TRANSFER_METHOD_DOMAIN_ADAPTATION: TransferMethod

class AlgorithmConfig(_message.Message):
    __slots__ = ("ppo", "dqn", "q_learning", "sac", "td3", "disco")
    PPO_FIELD_NUMBER: _ClassVar[int]
    DQN_FIELD_NUMBER: _ClassVar[int]
    Q_LEARNING_FIELD_NUMBER: _ClassVar[int]
    SAC_FIELD_NUMBER: _ClassVar[int]
    TD3_FIELD_NUMBER: _ClassVar[int]
    DISCO_FIELD_NUMBER: _ClassVar[int]
    ppo: PPOConfig
    dqn: DQNConfig
    q_learning: QLearningConfig
    sac: SACConfig
    td3: TD3Config
    disco: DiscoConfig
    def __init__(self, ppo: _Optional[_Union[PPOConfig, _Mapping]] = ..., dqn: _Optional[_Union[DQNConfig, _Mapping]] = ..., q_learning: _Optional[_Union[QLearningConfig, _Mapping]] = ..., sac: _Optional[_Union[SACConfig, _Mapping]] = ..., td3: _Optional[_Union[TD3Config, _Mapping]] = ..., disco: _Optional[_Union[DiscoConfig, _Mapping]] = ...) -> None: ...

class PPOConfig(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "gae_lambda", "clip_epsilon", "entropy_coef", "value_function_coef", "n_epochs", "batch_size", "max_grad_norm", "hidden_size", "network", "n_steps", "ignore_blocks", "context", "head", "cell", "cell_size", "belief_size", "belief_lr", "belief_kl_weight", "belief_prefixes", "belief_intervals", "belief_updates", "belief_batch_size", "belief_memory_size", "belief_told", "memory_slots", "memory_width", "memory_reads")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    GAE_LAMBDA_FIELD_NUMBER: _ClassVar[int]
    CLIP_EPSILON_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_COEF_FIELD_NUMBER: _ClassVar[int]
    VALUE_FUNCTION_COEF_FIELD_NUMBER: _ClassVar[int]
    N_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    N_STEPS_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    CELL_SIZE_FIELD_NUMBER: _ClassVar[int]
    BELIEF_SIZE_FIELD_NUMBER: _ClassVar[int]
    BELIEF_LR_FIELD_NUMBER: _ClassVar[int]
    BELIEF_KL_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BELIEF_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    BELIEF_INTERVALS_FIELD_NUMBER: _ClassVar[int]
    BELIEF_UPDATES_FIELD_NUMBER: _ClassVar[int]
    BELIEF_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    BELIEF_MEMORY_SIZE_FIELD_NUMBER: _ClassVar[int]
    BELIEF_TOLD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SLOTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_WIDTH_FIELD_NUMBER: _ClassVar[int]
    MEMORY_READS_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    gae_lambda: float
    clip_epsilon: float
    entropy_coef: float
    value_function_coef: float
    n_epochs: int
    batch_size: int
    max_grad_norm: float
    hidden_size: _containers.RepeatedScalarFieldContainer[int]
    network: Network
    n_steps: int
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    head: Head
    cell: Cell
    cell_size: int
    belief_size: int
    belief_lr: float
    belief_kl_weight: float
    belief_prefixes: int
    belief_intervals: int
    belief_updates: int
    belief_batch_size: int
    belief_memory_size: int
    belief_told: float
    memory_slots: int
    memory_width: int
    memory_reads: int
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., gae_lambda: _Optional[float] = ..., clip_epsilon: _Optional[float] = ..., entropy_coef: _Optional[float] = ..., value_function_coef: _Optional[float] = ..., n_epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., hidden_size: _Optional[_Iterable[int]] = ..., network: _Optional[_Union[Network, str]] = ..., n_steps: _Optional[int] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ..., head: _Optional[_Union[Head, str]] = ..., cell: _Optional[_Union[Cell, str]] = ..., cell_size: _Optional[int] = ..., belief_size: _Optional[int] = ..., belief_lr: _Optional[float] = ..., belief_kl_weight: _Optional[float] = ..., belief_prefixes: _Optional[int] = ..., belief_intervals: _Optional[int] = ..., belief_updates: _Optional[int] = ..., belief_batch_size: _Optional[int] = ..., belief_memory_size: _Optional[int] = ..., belief_told: _Optional[float] = ..., memory_slots: _Optional[int] = ..., memory_width: _Optional[int] = ..., memory_reads: _Optional[int] = ...) -> None: ...

class DQNConfig(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "epsilon", "memory_size", "batch_size", "updates_per_batch", "tau", "max_grad_norm", "hidden_size", "network", "ignore_blocks", "context", "return_steps")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RETURN_STEPS_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    epsilon: float
    memory_size: int
    batch_size: int
    updates_per_batch: int
    tau: float
    max_grad_norm: float
    hidden_size: _containers.RepeatedScalarFieldContainer[int]
    network: Network
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    return_steps: int
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., epsilon: _Optional[float] = ..., memory_size: _Optional[int] = ..., batch_size: _Optional[int] = ..., updates_per_batch: _Optional[int] = ..., tau: _Optional[float] = ..., max_grad_norm: _Optional[float] = ..., hidden_size: _Optional[_Iterable[int]] = ..., network: _Optional[_Union[Network, str]] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ..., return_steps: _Optional[int] = ...) -> None: ...

class QLearningConfig(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "epsilon", "bins", "table_size", "ignore_blocks", "context")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    BINS_FIELD_NUMBER: _ClassVar[int]
    TABLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    epsilon: float
    bins: int
    table_size: int
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., epsilon: _Optional[float] = ..., bins: _Optional[int] = ..., table_size: _Optional[int] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ...) -> None: ...

class DiscoConfig(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "rule", "prediction_size", "segment", "memory_size", "updates_per_batch", "batch_size", "model_size", "n_steps", "max_grad_norm", "hidden_size", "network", "ignore_blocks", "context", "value_bins")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MODEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    N_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_BINS_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    rule: bytes
    prediction_size: int
    segment: int
    memory_size: int
    updates_per_batch: int
    batch_size: int
    model_size: int
    n_steps: int
    max_grad_norm: float
    hidden_size: _containers.RepeatedScalarFieldContainer[int]
    network: Network
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    value_bins: int
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., rule: _Optional[bytes] = ..., prediction_size: _Optional[int] = ..., segment: _Optional[int] = ..., memory_size: _Optional[int] = ..., updates_per_batch: _Optional[int] = ..., batch_size: _Optional[int] = ..., model_size: _Optional[int] = ..., n_steps: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., hidden_size: _Optional[_Iterable[int]] = ..., network: _Optional[_Union[Network, str]] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ..., value_bins: _Optional[int] = ...) -> None: ...

class SACConfig(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "tau", "alpha", "auto_entropy", "memory_size", "batch_size", "updates_per_batch", "max_grad_norm", "hidden_size", "network", "ignore_blocks", "context", "return_steps")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    AUTO_ENTROPY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RETURN_STEPS_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    tau: float
    alpha: float
    auto_entropy: bool
    memory_size: int
    batch_size: int
    updates_per_batch: int
    max_grad_norm: float
    hidden_size: _containers.RepeatedScalarFieldContainer[int]
    network: Network
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    return_steps: int
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., tau: _Optional[float] = ..., alpha: _Optional[float] = ..., auto_entropy: _Optional[bool] = ..., memory_size: _Optional[int] = ..., batch_size: _Optional[int] = ..., updates_per_batch: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., hidden_size: _Optional[_Iterable[int]] = ..., network: _Optional[_Union[Network, str]] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ..., return_steps: _Optional[int] = ...) -> None: ...

class TD3Config(_message.Message):
    __slots__ = ("learning_rate", "discount_factor", "tau", "policy_delay", "target_noise", "noise_clip", "exploration_noise", "memory_size", "batch_size", "updates_per_batch", "max_grad_norm", "hidden_size", "network", "ignore_blocks", "context", "return_steps")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    POLICY_DELAY_FIELD_NUMBER: _ClassVar[int]
    TARGET_NOISE_FIELD_NUMBER: _ClassVar[int]
    NOISE_CLIP_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_NOISE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    IGNORE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RETURN_STEPS_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    discount_factor: float
    tau: float
    policy_delay: int
    target_noise: float
    noise_clip: float
    exploration_noise: float
    memory_size: int
    batch_size: int
    updates_per_batch: int
    max_grad_norm: float
    hidden_size: _containers.RepeatedScalarFieldContainer[int]
    network: Network
    ignore_blocks: _containers.RepeatedScalarFieldContainer[Block]
    context: Context
    return_steps: int
    def __init__(self, learning_rate: _Optional[float] = ..., discount_factor: _Optional[float] = ..., tau: _Optional[float] = ..., policy_delay: _Optional[int] = ..., target_noise: _Optional[float] = ..., noise_clip: _Optional[float] = ..., exploration_noise: _Optional[float] = ..., memory_size: _Optional[int] = ..., batch_size: _Optional[int] = ..., updates_per_batch: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., hidden_size: _Optional[_Iterable[int]] = ..., network: _Optional[_Union[Network, str]] = ..., ignore_blocks: _Optional[_Iterable[_Union[Block, str]]] = ..., context: _Optional[_Union[Context, str]] = ..., return_steps: _Optional[int] = ...) -> None: ...

class MAMLConfig(_message.Message):
    __slots__ = ("learn_inner_lr", "rate_lr", "multi_step_loss")
    LEARN_INNER_LR_FIELD_NUMBER: _ClassVar[int]
    RATE_LR_FIELD_NUMBER: _ClassVar[int]
    MULTI_STEP_LOSS_FIELD_NUMBER: _ClassVar[int]
    learn_inner_lr: bool
    rate_lr: float
    multi_step_loss: float
    def __init__(self, learn_inner_lr: _Optional[bool] = ..., rate_lr: _Optional[float] = ..., multi_step_loss: _Optional[float] = ...) -> None: ...

class FOMAMLConfig(_message.Message):
    __slots__ = ("learn_inner_lr", "rate_lr", "multi_step_loss")
    LEARN_INNER_LR_FIELD_NUMBER: _ClassVar[int]
    RATE_LR_FIELD_NUMBER: _ClassVar[int]
    MULTI_STEP_LOSS_FIELD_NUMBER: _ClassVar[int]
    learn_inner_lr: bool
    rate_lr: float
    multi_step_loss: float
    def __init__(self, learn_inner_lr: _Optional[bool] = ..., rate_lr: _Optional[float] = ..., multi_step_loss: _Optional[float] = ...) -> None: ...

class IMAMLConfig(_message.Message):
    __slots__ = ("proximal", "solver_steps", "multi_step_loss")
    PROXIMAL_FIELD_NUMBER: _ClassVar[int]
    SOLVER_STEPS_FIELD_NUMBER: _ClassVar[int]
    MULTI_STEP_LOSS_FIELD_NUMBER: _ClassVar[int]
    proximal: float
    solver_steps: int
    multi_step_loss: float
    def __init__(self, proximal: _Optional[float] = ..., solver_steps: _Optional[int] = ..., multi_step_loss: _Optional[float] = ...) -> None: ...

class ReptileConfig(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MetaConfig(_message.Message):
    __slots__ = ("maml", "fomaml", "imaml", "reptile", "method", "inner_lr", "outer_lr", "adaptation_steps", "meta_batch_size", "num_meta_epochs", "episodes_per_step", "learn_inner_lr", "max_grad_norm", "multi_step_loss", "outer_epochs", "tasks_per_update", "warmup_epochs", "rate_lr", "proximal", "solver_steps", "schedule", "schedule_share", "curriculum", "curriculum_score", "replay_share", "replay_temperature", "replay_staleness", "replay_size", "learn_from_fresh", "mutation_share")
    MAML_FIELD_NUMBER: _ClassVar[int]
    FOMAML_FIELD_NUMBER: _ClassVar[int]
    IMAML_FIELD_NUMBER: _ClassVar[int]
    REPTILE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    INNER_LR_FIELD_NUMBER: _ClassVar[int]
    OUTER_LR_FIELD_NUMBER: _ClassVar[int]
    ADAPTATION_STEPS_FIELD_NUMBER: _ClassVar[int]
    META_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    NUM_META_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    LEARN_INNER_LR_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    MULTI_STEP_LOSS_FIELD_NUMBER: _ClassVar[int]
    OUTER_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    TASKS_PER_UPDATE_FIELD_NUMBER: _ClassVar[int]
    WARMUP_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    RATE_LR_FIELD_NUMBER: _ClassVar[int]
    PROXIMAL_FIELD_NUMBER: _ClassVar[int]
    SOLVER_STEPS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_SHARE_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_SCORE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_STALENESS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARN_FROM_FRESH_FIELD_NUMBER: _ClassVar[int]
    MUTATION_SHARE_FIELD_NUMBER: _ClassVar[int]
    maml: MAMLConfig
    fomaml: FOMAMLConfig
    imaml: IMAMLConfig
    reptile: ReptileConfig
    method: MetaMethod
    inner_lr: float
    outer_lr: float
    adaptation_steps: int
    meta_batch_size: int
    num_meta_epochs: int
    episodes_per_step: int
    learn_inner_lr: bool
    max_grad_norm: float
    multi_step_loss: float
    outer_epochs: int
    tasks_per_update: int
    warmup_epochs: int
    rate_lr: float
    proximal: float
    solver_steps: int
    schedule: Schedule
    schedule_share: float
    curriculum: Curriculum
    curriculum_score: CurriculumScore
    replay_share: float
    replay_temperature: float
    replay_staleness: float
    replay_size: int
    learn_from_fresh: bool
    mutation_share: float
    def __init__(self, maml: _Optional[_Union[MAMLConfig, _Mapping]] = ..., fomaml: _Optional[_Union[FOMAMLConfig, _Mapping]] = ..., imaml: _Optional[_Union[IMAMLConfig, _Mapping]] = ..., reptile: _Optional[_Union[ReptileConfig, _Mapping]] = ..., method: _Optional[_Union[MetaMethod, str]] = ..., inner_lr: _Optional[float] = ..., outer_lr: _Optional[float] = ..., adaptation_steps: _Optional[int] = ..., meta_batch_size: _Optional[int] = ..., num_meta_epochs: _Optional[int] = ..., episodes_per_step: _Optional[int] = ..., learn_inner_lr: _Optional[bool] = ..., max_grad_norm: _Optional[float] = ..., multi_step_loss: _Optional[float] = ..., outer_epochs: _Optional[int] = ..., tasks_per_update: _Optional[int] = ..., warmup_epochs: _Optional[int] = ..., rate_lr: _Optional[float] = ..., proximal: _Optional[float] = ..., solver_steps: _Optional[int] = ..., schedule: _Optional[_Union[Schedule, str]] = ..., schedule_share: _Optional[float] = ..., curriculum: _Optional[_Union[Curriculum, str]] = ..., curriculum_score: _Optional[_Union[CurriculumScore, str]] = ..., replay_share: _Optional[float] = ..., replay_temperature: _Optional[float] = ..., replay_staleness: _Optional[float] = ..., replay_size: _Optional[int] = ..., learn_from_fresh: _Optional[bool] = ..., mutation_share: _Optional[float] = ...) -> None: ...

class TrainConfig(_message.Message):
    __slots__ = ("total_episodes", "episodes_per_batch", "tasks_per_batch", "independent", "evaluation_episodes", "schedule", "schedule_share", "collections_per_task", "multiplier_kp", "multiplier_ki", "multiplier_kd", "multiplier_spread", "bound_spread", "curriculum", "curriculum_score", "replay_share", "replay_temperature", "replay_staleness", "replay_size", "learn_from_fresh", "mutation_share", "entropy_share", "imitation_episodes")
    TOTAL_EPISODES_FIELD_NUMBER: _ClassVar[int]
    EPISODES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    TASKS_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    INDEPENDENT_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_EPISODES_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_SHARE_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_KP_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_KI_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_KD_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_SPREAD_FIELD_NUMBER: _ClassVar[int]
    BOUND_SPREAD_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_SCORE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_STALENESS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARN_FROM_FRESH_FIELD_NUMBER: _ClassVar[int]
    MUTATION_SHARE_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_SHARE_FIELD_NUMBER: _ClassVar[int]
    IMITATION_EPISODES_FIELD_NUMBER: _ClassVar[int]
    total_episodes: int
    episodes_per_batch: int
    tasks_per_batch: int
    independent: bool
    evaluation_episodes: int
    schedule: Schedule
    schedule_share: float
    collections_per_task: int
    multiplier_kp: float
    multiplier_ki: float
    multiplier_kd: float
    multiplier_spread: float
    bound_spread: float
    curriculum: Curriculum
    curriculum_score: CurriculumScore
    replay_share: float
    replay_temperature: float
    replay_staleness: float
    replay_size: int
    learn_from_fresh: bool
    mutation_share: float
    entropy_share: float
    imitation_episodes: int
    def __init__(self, total_episodes: _Optional[int] = ..., episodes_per_batch: _Optional[int] = ..., tasks_per_batch: _Optional[int] = ..., independent: _Optional[bool] = ..., evaluation_episodes: _Optional[int] = ..., schedule: _Optional[_Union[Schedule, str]] = ..., schedule_share: _Optional[float] = ..., collections_per_task: _Optional[int] = ..., multiplier_kp: _Optional[float] = ..., multiplier_ki: _Optional[float] = ..., multiplier_kd: _Optional[float] = ..., multiplier_spread: _Optional[float] = ..., bound_spread: _Optional[float] = ..., curriculum: _Optional[_Union[Curriculum, str]] = ..., curriculum_score: _Optional[_Union[CurriculumScore, str]] = ..., replay_share: _Optional[float] = ..., replay_temperature: _Optional[float] = ..., replay_staleness: _Optional[float] = ..., replay_size: _Optional[int] = ..., learn_from_fresh: _Optional[bool] = ..., mutation_share: _Optional[float] = ..., entropy_share: _Optional[float] = ..., imitation_episodes: _Optional[int] = ...) -> None: ...

class TransferConfig(_message.Message):
    __slots__ = ("method", "learning_rate", "total_episodes", "episodes_per_batch", "frozen_layers", "domain_weight", "compare_scratch", "schedule", "schedule_share")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EPISODES_FIELD_NUMBER: _ClassVar[int]
    EPISODES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    FROZEN_LAYERS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    COMPARE_SCRATCH_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_SHARE_FIELD_NUMBER: _ClassVar[int]
    method: TransferMethod
    learning_rate: float
    total_episodes: int
    episodes_per_batch: int
    frozen_layers: int
    domain_weight: float
    compare_scratch: bool
    schedule: Schedule
    schedule_share: float
    def __init__(self, method: _Optional[_Union[TransferMethod, str]] = ..., learning_rate: _Optional[float] = ..., total_episodes: _Optional[int] = ..., episodes_per_batch: _Optional[int] = ..., frozen_layers: _Optional[int] = ..., domain_weight: _Optional[float] = ..., compare_scratch: _Optional[bool] = ..., schedule: _Optional[_Union[Schedule, str]] = ..., schedule_share: _Optional[float] = ...) -> None: ...

class ContinualConfig(_message.Message):
    __slots__ = ("episodes_per_cluster", "episodes_per_batch", "tasks_per_batch", "learning_rate", "replay_share", "keep_contexts", "weight_penalty", "random_weights", "evaluation_episodes")
    EPISODES_PER_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    EPISODES_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    TASKS_PER_BATCH_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    KEEP_CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PENALTY_FIELD_NUMBER: _ClassVar[int]
    RANDOM_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_EPISODES_FIELD_NUMBER: _ClassVar[int]
    episodes_per_cluster: int
    episodes_per_batch: int
    tasks_per_batch: int
    learning_rate: float
    replay_share: float
    keep_contexts: bool
    weight_penalty: float
    random_weights: bool
    evaluation_episodes: int
    def __init__(self, episodes_per_cluster: _Optional[int] = ..., episodes_per_batch: _Optional[int] = ..., tasks_per_batch: _Optional[int] = ..., learning_rate: _Optional[float] = ..., replay_share: _Optional[float] = ..., keep_contexts: _Optional[bool] = ..., weight_penalty: _Optional[float] = ..., random_weights: _Optional[bool] = ..., evaluation_episodes: _Optional[int] = ...) -> None: ...

class AdaptConfig(_message.Message):
    __slots__ = ("adaptation_steps", "episodes_per_step", "inner_lr", "random_weights", "evaluation_episodes", "compare_oracle", "keep_start_if_worse", "backend", "keep_placement_if_worse", "optimiser")
    ADAPTATION_STEPS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    INNER_LR_FIELD_NUMBER: _ClassVar[int]
    RANDOM_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_EPISODES_FIELD_NUMBER: _ClassVar[int]
    COMPARE_ORACLE_FIELD_NUMBER: _ClassVar[int]
    KEEP_START_IF_WORSE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    KEEP_PLACEMENT_IF_WORSE_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_FIELD_NUMBER: _ClassVar[int]
    adaptation_steps: int
    episodes_per_step: int
    inner_lr: float
    random_weights: bool
    evaluation_episodes: int
    compare_oracle: bool
    keep_start_if_worse: bool
    backend: _backend_pb2.Backend
    keep_placement_if_worse: bool
    optimiser: bytes
    def __init__(self, adaptation_steps: _Optional[int] = ..., episodes_per_step: _Optional[int] = ..., inner_lr: _Optional[float] = ..., random_weights: _Optional[bool] = ..., evaluation_episodes: _Optional[int] = ..., compare_oracle: _Optional[bool] = ..., keep_start_if_worse: _Optional[bool] = ..., backend: _Optional[_Union[_backend_pb2.Backend, str]] = ..., keep_placement_if_worse: _Optional[bool] = ..., optimiser: _Optional[bytes] = ...) -> None: ...

class EvaluateConfig(_message.Message):
    __slots__ = ("episodes", "baseline", "episodes_before")
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    EPISODES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    episodes: int
    baseline: str
    episodes_before: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, episodes: _Optional[int] = ..., baseline: _Optional[str] = ..., episodes_before: _Optional[_Iterable[int]] = ...) -> None: ...
