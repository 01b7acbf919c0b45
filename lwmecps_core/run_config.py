"""Settings of algorithms and runs, by the names that users know.

The string below a setting is its one sentence: `--help`, the contract and `docs/cli.md` have it from here. A class that
changes an inherited default leaves the sentence as it is.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from lwmecps_core.believing import Believing
from lwmecps_core.cells import Remembering
from lwmecps_core.config import Content, config
from lwmecps_core.curricular import Curricular
from lwmecps_core.discovered import Discovered
from lwmecps_core.evaluating import EvaluateConfig as EvaluateConfig
from lwmecps_core.former import with_learner
from lwmecps_core.objective import Constrained
from lwmecps_core.specs import NonNegative, Positive, Share

ScheduleName = Literal["constant", "linear", "cosine"]
ContextName = Literal["none", "statistics", "privileged"]
"""What any algorithm can remember: it is recorded with the observation."""
LearntContextName = Literal[ContextName, "recurrent", "belief"]
"""What one that learns from whole sequences can."""
HeadName = Literal["ordered", "categorical"]
Count = Annotated[int, Field(ge=1)]
Samples = Annotated[int, Field(ge=1, le=1_000_000)]
Tasks = Annotated[int, Field(ge=1, le=10_000)]
Episodes = Annotated[int, Field(ge=1, le=100_000)]
"""Of what is in memory at once; more is a slip of the finger that takes a learner's memory."""
BlockName = Literal["deployment", "node", "pair", "objective", "limits", "expense", "tariff", "home_tariff", "calls"]
"""Blocks that a policy can do without; the time is in `global`, and the last four are of tasks that use them."""
Backend = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
"""Where clusters are; the contract's enum of that name says which there are."""
SIMULATED, RECORDED = "simulated", "load_profile"
"""The backends that are the simulator: with the task's workload, and under recorded load."""


@config
class _Scheduled:
    """What everything that trains over a known number of steps has."""

    schedule: ScheduleName = "constant"
    """How the learning rate goes down towards the end."""
    schedule_share: Share = 0.3
    """Share of the steps, the last ones, over which it goes down to 0."""


@config
class _Common:
    """What every algorithm has."""

    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    discount_factor: Share = 0.99
    """Discount per control interval."""
    ignore_blocks: tuple[BlockName, ...] = ()
    """Blocks of the observation that the policy doesn't see, such as objective and limits, which its operator wrote."""
    context: ContextName = "none"
    """What the policy remembers of the cluster that it acts on: nothing (none), running statistics of what it showed in
    this and earlier episodes (statistics), or, as a control in the simulator, all that is hidden (privileged)."""


@config
class _WithNetworks(_Common):
    """What every algorithm with networks has."""

    batch_size: Samples = 256
    """Transitions per minibatch."""
    max_grad_norm: Positive = 10.0
    """Largest norm of a gradient."""
    hidden_size: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1)] = (64, 32)
    """Units of each hidden layer."""
    network: Literal["mlp", "set"] = "set"
    """Plain layers over the whole observation (mlp), or encoders shared by nodes and by deployments (set), whose number
    of weights depends on no number of nodes."""


@config
class _WithReplay(_WithNetworks):
    """What every algorithm with a replay memory and target networks has."""

    memory_size: Count = 100_000
    """Transitions that the replay memory keeps."""
    updates_per_batch: Count = 64
    """Updates after each collected batch."""
    return_steps: Count = 1
    """Control intervals whose rewards are counted before a critic says what follows."""
    tau: Share = 0.005
    """Share of the online networks that moves into the target networks whenever these move."""


@config
class PPOConfig(Believing, Remembering, _WithNetworks):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    name: Literal["ppo"] = "ppo"
    """Names the algorithm."""
    learning_rate: Positive = 2e-3
    discount_factor: Share = 0.9
    max_grad_norm: Positive = 0.5
    gae_lambda: Share = 0.9
    """λ of generalised advantage estimation."""
    clip_epsilon: Positive = 0.2
    """Largest relative change of an action's probability that still earns."""
    entropy_coef: NonNegative | None = None
    """Weight of the entropy bonus, summed over an action's components; none given: 0.01 for up to four of these, and
    less with the square of their number."""
    value_function_coef: NonNegative = 0.5
    """Weight of the value loss."""
    n_steps: Annotated[int, Field(ge=0)] = 0
    """Control intervals of every collected rollout (0: whole episodes)."""
    n_epochs: Count = 8
    """Passes over each batch."""
    head: HeadName = "ordered"
    """How counts of replicas are drawn: whether any runs, and how many as a number (ordered), or every count by a logit
    of its own (categorical), as in policies of Stable-Baselines3."""
    context: LearntContextName = "none"  # type: ignore[assignment]  # the one setting that may be more than others'
    """What the policy remembers of the cluster that it acts on: nothing (none), running statistics of what it showed in
    this and earlier episodes (statistics), what it has learnt to remember of them (recurrent: RL², Duan et al. 2016,
    arXiv:1611.02779), for which minibatches hold whole rollouts, what it has learnt to believe of what is hidden
    (belief: VariBAD), or, as a control in the simulator, all that is hidden (privileged)."""


@config
class DQNConfig(_WithReplay):
    """Double deep Q-learning with a target network and replay (van Hasselt et al. 2016, arXiv:1509.06461)."""

    name: Literal["dqn"] = "dqn"
    """Names the algorithm."""
    learning_rate: Positive = 1e-3
    memory_size: Count = 10_000
    batch_size: Samples = 32
    tau: Share = 0.05
    epsilon: Share = 0.1
    """Share of random actions."""


@config
class QLearningConfig(_Common):
    """Tabular Q-learning on a discretised observation (Watkins and Dayan 1992, Machine Learning 8, 279–292)."""

    name: Literal["q_learning"] = "q_learning"
    """Names the algorithm."""
    learning_rate: Positive = 0.1
    """Share of an error that an update corrects."""
    epsilon: Share = 0.1
    """Share of random actions."""
    bins: Annotated[int, Field(ge=2)] = 6
    """Intervals that every feature of the observation is divided into."""
    table_size: Annotated[int, Field(ge=1, le=10_000_000)] = 4096
    """Rows of the table; observations share rows when they are more."""


@config
class SACConfig(_WithReplay):
    """Soft actor-critic with twin critics (Haarnoja et al. 2018, arXiv:1812.05905; discrete: Christodoulou 2019,
    arXiv:1910.07207).
    """

    name: Literal["sac"] = "sac"
    """Names the algorithm."""
    alpha: Positive = 0.2
    """Weight of the entropy: its value, or where it starts with `auto_entropy`."""
    auto_entropy: bool = True
    """Learn `alpha` so that the entropy stays near a target."""


@config
class TD3Config(_WithReplay):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    name: Literal["td3"] = "td3"
    """Names the algorithm."""
    learning_rate: Positive = 1e-3
    policy_delay: Count = 2
    """Updates of the critics for every update of the actor and of the target networks."""
    target_noise: NonNegative = 0.2
    """Standard deviation of the noise on the target's action, as a share of half the action's range."""
    noise_clip: NonNegative = 0.5
    """Largest size of that noise, as a share of half the action's range."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of the noise on actions, as a share of half the action's range."""


@config
class DiscoConfig(Discovered, _WithNetworks):
    """Learning by a learnt update rule (DiscoRL: Oh et al. 2025, doi:10.1038/s41586-025-09761-x)."""

    name: Literal["disco"] = "disco"
    """Names the algorithm."""


AlgorithmConfig = Annotated[
    PPOConfig | DQNConfig | QLearningConfig | SACConfig | TD3Config | DiscoConfig, Field(discriminator="name")
]


def fits_any_size(algorithm: AlgorithmConfig) -> bool:
    """Whether the number of weights depends on no number of nodes or deployments."""
    return getattr(algorithm, "network", "mlp") == "set"


WARMUP_ONLY = frozenset(
    {"learning_rate", "batch_size", "max_grad_norm", "n_steps", "n_epochs", "memory_size", "updates_per_batch"}
)
"""Settings of an algorithm that say how plain training goes: meta-training heeds them while it warms up."""


def rollout_length(algorithm: AlgorithmConfig) -> int:
    """Control intervals of every rollout that training collects (0: whole episodes)."""
    return getattr(algorithm, "n_steps", 0)


@config
class _Weighed:
    """What every meta-learner whose objective weighs several points has."""

    multi_step_loss: Share = 0.5
    """Share of the meta-objective that weighs the points before the last inner step, in equal parts (MAML++)."""


@config
class _LearnsRates(_Weighed):
    """What every meta-learner that learns the rates of inner steps has."""

    learn_inner_lr: bool = True
    """Learn an inner rate for every parameter (Meta-SGD: Li et al. 2017, arXiv:1707.09835)."""
    rate_lr: Positive = 0.03
    """Step size of the outer optimiser on the logarithm of the inner rates."""


@config
class MAMLConfig(_LearnsRates):
    """The gradient through the inner steps, second order (Finn et al. 2017, arXiv:1703.03400)."""

    name: Literal["maml"] = "maml"
    """Names the meta-learner."""


@config
class FOMAMLConfig(_LearnsRates):
    """MAML with inner gradients held constant (Finn et al. 2017, arXiv:1703.03400, section 5.2)."""

    name: Literal["fomaml"] = "fomaml"
    """Names the meta-learner."""


@config
class IMAMLConfig(_Weighed):
    """The implicit gradient at the end of a proximal inner problem (Rajeswaran et al. 2019, arXiv:1909.04630)."""

    name: Literal["imaml"] = "imaml"
    """Names the meta-learner."""
    proximal: Positive = 1.0
    """Weight λ of the inner problem's proximal term ½λ‖φ − θ‖²."""
    solver_steps: Count = 10
    """Most iterations of the linear solver."""


@config
class ReptileConfig:
    """Towards the adapted parameters (Nichol et al. 2018, arXiv:1803.02999)."""

    name: Literal["reptile"] = "reptile"
    """Names the meta-learner."""


MetaLearnerConfig = Annotated[MAMLConfig | FOMAMLConfig | IMAMLConfig | ReptileConfig, Field(discriminator="name")]
META_LEARNERS: Mapping[str, Any] = {cls.name: cls for cls in get_args(get_args(MetaLearnerConfig)[0])}
"""Name of a meta-learner → class of its settings."""


@config
class MetaConfig(Curricular, _Scheduled):
    """Meta-training: chains of collections and inner steps on many tasks, and descent of the meta-gradient."""

    learner: MetaLearnerConfig = MAMLConfig()
    """The meta-learner and the settings that are its own; in a file, they and its name (`method`) may also stand among
    the others."""
    inner_lr: NonNegative = 0.01
    """Step size of an inner step, or where it starts with `learn_inner_lr`."""
    outer_lr: Positive = 1e-3
    """Step size of the outer optimiser."""
    adaptation_steps: Annotated[int, Field(ge=1, le=50)] = 5
    """Inner steps on each task."""
    meta_batch_size: Tasks = 4
    """Tasks in each epoch."""
    num_meta_epochs: Count = 100
    """Epochs in all, those of the warm-up among them."""
    episodes_per_step: Episodes = 4
    """Episodes per task and inner step."""
    max_grad_norm: Positive = 1.0
    """Largest norm of a meta-gradient."""
    outer_epochs: Count = 1
    """Passes over the tasks of one collection: the ratios in the losses allow a few, as in PPO (ProMP)."""
    tasks_per_update: Annotated[int, Field(ge=0)] = 0
    """Tasks per outer update within a pass (0: all at once)."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """How many of the epochs come first as plain multi-task training, which costs a fraction of a meta-gradient."""

    @property
    def method(self) -> str:
        """The meta-learner's name."""
        return self.learner.name

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, data: Any) -> Any:
        taken = {field.name for field in fields(cls)}
        return with_learner(data, META_LEARNERS, taken) if isinstance(data, Mapping) else data


@config
class TrainConfig(Curricular, Constrained, _Scheduled):
    """Training of one policy, on one task or on many at once (multi-task)."""

    total_episodes: Count | None = None
    """Episodes in all; none given: the most that any of its tasks asks for (`episodes`), else 100."""
    episodes_per_batch: Episodes = 4
    """Episodes per task in each batch."""
    tasks_per_batch: Tasks = 1
    """How many tasks a batch mixes when there are several (drawn anew each time)."""
    collections_per_task: Count = 1
    """Batches in a row that each task is part of, over which a policy with a context goes on remembering it."""
    entropy_share: Share = 1.0
    """Share of the weight of PPO's entropy bonus that is left in the last step, to which it goes down evenly."""
    imitation_episodes: Annotated[int, Field(ge=0)] = 0
    """Episodes, in whole batches before those of `total_episodes`, in which a policy of PPO watches the autoscaler, by
    the settings that suit each task best, and learns to do the same (0: none)."""
    independent: bool = False
    """Train one policy for each given task, side by side, in place of one policy for all of them."""
    evaluation_episodes: Annotated[int, Field(ge=0)] = 0
    """Episodes per task that measure the result when training ends (0: none)."""


@config
class TransferConfig(_Scheduled):
    """Training of a stored policy on another task."""

    method: Literal["feature_extraction", "fine_tuning", "layer_wise", "domain_adaptation"] = "fine_tuning"
    """Train the output layers only (feature_extraction), all weights (fine_tuning), frozen layers that thaw one by one
    (layer_wise), or features that don't tell the source from the target (domain_adaptation)."""
    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    total_episodes: Count | None = None
    """Episodes in all; none given: the most that any of its tasks asks for (`episodes`), else 20."""
    episodes_per_batch: Episodes = 4
    """Episodes in each batch."""
    frozen_layers: Annotated[int, Field(ge=0)] = 1
    """Layers, from the input on, that `layer_wise` begins with frozen; they thaw one by one, the last one first."""
    domain_weight: NonNegative = 0.1
    """Weight λ of the reversed gradient of the domain classifier of `domain_adaptation`."""
    compare_scratch: bool = False
    """Also train from nothing on the same task, for `transfer_metric`."""


@config
class AdaptConfig:
    """Adaptation of a stored policy to one task by inner steps."""

    adaptation_steps: Annotated[int, Field(ge=1, le=50)] = 5
    """Inner steps on each task."""
    episodes_per_step: Episodes = 4
    """Episodes per task and inner step."""
    inner_lr: NonNegative | None = None
    """One rate for all parameters; none given: the rates that the policy learnt."""
    keep_start_if_worse: bool = True
    """Go back to the start on every task where support episodes of the adapted policy are worse: on the way when they
    lose a fifth (and go on with half the rates), at the end when they lose anything."""
    keep_placement_if_worse: bool = True
    """Leave a task as it was deployed where the start loses a fifth of what it earns so in an episode without chance,
    or where it earns most so at the end, and explore no more where that has cost a fifth; takes one collection that
    changes nothing, and one episode."""
    random_weights: bool = False
    """Start from random weights in place of the policy's (a control: the same steps, nothing learnt)."""
    evaluation_episodes: Count = 8
    """Episodes per task that measure the policy before the first step and after every step."""
    compare_oracle: bool = False
    """Also search the oracle at the end, for `adaptation_accuracy`."""
    optimiser: Annotated[Content, Field(min_length=1, max_length=32_768)] | None = None
    """File of `optimiser learn` whose steps take the place of plain ones, at its own rate or at `inner_lr`."""
    backend: Backend = SIMULATED
    """Where the tasks' clusters are: in the simulator, or real ones, which their `kubernetes` describes, and where
    episodes follow one another and only the start and the end are measured."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.compare_oracle and self.backend != SIMULATED:
            raise ValueError("compare_oracle: only a simulated cluster has an oracle")
        return self
