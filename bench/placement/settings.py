"""What the placement benchmark trains, with which settings; found by trial on tasks of seeds that it doesn't report."""

from collections.abc import Mapping
from dataclasses import fields, replace
from math import ceil
from typing import Any

from lwmecps_core.config import config
from lwmecps_core.run_config import (
    META_LEARNERS,
    AdaptConfig,
    AlgorithmConfig,
    DQNConfig,
    MetaConfig,
    PPOConfig,
    QLearningConfig,
    SACConfig,
    TD3Config,
    TrainConfig,
    TransferConfig,
)
from services.cli.demo_settings import DemoSettings

FIRST_HELD_OUT_SEED = 1000
"""Held-out tasks are drawn by the seeds from this one on; what settings were tried on came from seeds below it."""
TRAINING_SEED = 1
"""The first training seed."""
SEEDS = 5
"""Training seeds of what is trained on other tasks with `OF_SEVERAL_SEEDS`: the headline's method and its controls."""
OF_SEVERAL_SEEDS = ("ppo",)
EVALUATION_SEED = 1000
HIDDEN = (32, 32)
META_METHODS = ("maml", "fomaml", "imaml", "reptile")
TRANSFER_METHODS = ("fine_tuning", "feature_extraction", "layer_wise", "domain_adaptation")
RULES = (
    *("random", "uniform", "static", "greedy_latency", "greedy_load", "optimized_balance"),
    *("hpa", "hpa_calibrated", "hpa_tuned", "rate_rule", "rate_rule_adapted"),
)
V1_RULES = ("random", "static", "hpa_calibrated")
"""Those that make sense in lwmecps-v1, where one deployment is scaled by one replica at a time."""

FROM_MEMORY: dict[str, Any] = {"memory_size": 100_000, "hidden_size": HIDDEN}
"""Of what learns from a memory of transitions."""
MANY: Mapping[str, AlgorithmConfig] = {
    "ppo": PPOConfig(
        learning_rate=2e-3, discount_factor=0.9, gae_lambda=0.9, n_epochs=4, batch_size=2400, hidden_size=HIDDEN
    ),
    "dqn": DQNConfig(
        learning_rate=3e-3,
        discount_factor=0.97,
        tau=0.026,
        epsilon=0.013,
        batch_size=256,
        updates_per_batch=300,
        **FROM_MEMORY,
    ),
    "sac": SACConfig(
        learning_rate=5.6e-3,
        discount_factor=0.65,
        tau=0.04,
        alpha=0.08,
        batch_size=256,
        updates_per_batch=200,
        **FROM_MEMORY,
    ),
    "td3": TD3Config(
        learning_rate=3e-3,
        discount_factor=0.975,
        tau=0.15,
        policy_delay=1,
        exploration_noise=0.31,
        batch_size=512,
        updates_per_batch=272,
        **FROM_MEMORY,
    ),
}
"""Algorithms that learn one policy from many tasks at once (decision 0004)."""
ONWARDS = replace(MANY["ppo"], batch_size=240)
"""What goes on learning on one task from a policy of other tasks, and what makes such a policy on one task."""
ONE: Mapping[str, AlgorithmConfig] = {
    "ppo": DemoSettings().scratch_algorithm,
    "dqn": DQNConfig(
        learning_rate=2.6e-3,
        discount_factor=0.966,
        return_steps=2,
        tau=0.065,
        epsilon=0.042,
        batch_size=256,
        updates_per_batch=180,
        **FROM_MEMORY,
    ),
    "sac": SACConfig(
        learning_rate=2.3e-3,
        discount_factor=0.83,
        tau=0.03,
        alpha=0.33,
        batch_size=256,
        updates_per_batch=104,
        **FROM_MEMORY,
    ),
    "td3": TD3Config(
        learning_rate=2.1e-3,
        discount_factor=0.78,
        tau=0.143,
        policy_delay=3,
        exploration_noise=0.42,
        batch_size=256,
        updates_per_batch=130,
        **FROM_MEMORY,
    ),
    "q_learning": QLearningConfig(discount_factor=0.9),
}
"""What learns from nothing from one task's few episodes (decision 0004)."""


@config
class Settings:
    """Sizes of everything; `scaled` shrinks them."""

    tasks: int = 20
    """Held-out tasks of each family."""
    evaluation_episodes: int = 4
    multi_task: TrainConfig = TrainConfig(total_episodes=8000, episodes_per_batch=4, tasks_per_batch=20)
    """Of the policy that meta-learning goes on from."""
    meta_epochs: int = 10
    rate_lr: float = 0.1
    """Of the methods that learn rates."""
    meta: MetaConfig = MetaConfig(
        inner_lr=0.03,
        outer_lr=3e-4,
        adaptation_steps=3,
        meta_batch_size=20,
        episodes_per_step=4,
        outer_epochs=2,
        tasks_per_update=5,
    )
    adaptation: AdaptConfig = AdaptConfig(adaptation_steps=5, episodes_per_step=4, evaluation_episodes=4)
    frugal_epochs: int = 16
    frugal_inner_lr: float = 0.003
    """One episode's gradient is noisier than that of four."""
    frugal: AdaptConfig = AdaptConfig(adaptation_steps=2, episodes_per_step=1, evaluation_episodes=4)
    """One episode for each inner step, one that changes nothing, one of the start without chance, one for the last
    check: 5 % of what `alone` takes."""
    alone: TrainConfig = DemoSettings().scratch
    source: TrainConfig = TrainConfig(total_episodes=200, episodes_per_batch=4)
    """The policy that transfer starts from: trained on one other task of the family."""
    transfer: TransferConfig = TransferConfig(learning_rate=2e-3, total_episodes=20, episodes_per_batch=4)


META: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"inner_lr": 0.01},
    "ppo_imaml": {"inner_lr": 0.003},
    "sac": {"outer_epochs": 1},
    "sac_imaml": {"outer_lr": 3e-5},
    "td3": {"outer_epochs": 1},
    "td3_imaml": {"outer_lr": 3e-5},
}
"""What differs from `Settings.meta` for an algorithm, and for one of its methods. PPO's steps follow whole episodes, so
longer ones than these ruin a policy before the rates are learnt. At 3e-4, implicit
gradients through actor and critic cost the start more than adaptation brings back."""


def meta_settings(settings: Settings, algorithm: str, method: str) -> MetaConfig:
    """Meta-training by `method` after the multi-task steps that its warm-up consists of."""
    warmup = steps(settings.multi_task)
    own = {**META.get(algorithm, {}), **META.get(f"{algorithm}_{method}", {})}
    cls = META_LEARNERS[method]
    learner = cls(rate_lr=settings.rate_lr) if hasattr(cls, "rate_lr") else cls()
    own |= {"learner": learner, "warmup_epochs": warmup, "num_meta_epochs": warmup + settings.meta_epochs}
    return replace(settings.meta, **own)


def steps(cfg: TrainConfig) -> int:
    """Collections that a training on many tasks consists of."""
    return ceil(cfg.total_episodes / (cfg.episodes_per_batch * cfg.tasks_per_batch))


def scaled(settings: Settings, scale: float) -> Settings:
    """All training shrunk to the share `scale`, with at least one collection of each."""

    def part(count: int, least: int = 1) -> int:
        return max(least, round(count * scale))

    changed: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if "_epochs" in field.name:
            changed[field.name] = part(value)
        elif isinstance(value, TrainConfig | TransferConfig):
            batch = value.episodes_per_batch * getattr(value, "tasks_per_batch", 1)
            changed[field.name] = replace(value, total_episodes=part(value.total_episodes, batch))
    return replace(settings, **changed)
