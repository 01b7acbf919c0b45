"""What the demo trains and with which settings; found by trial on tasks of other seeds than the demo's."""

from dataclasses import replace

from lwmecps_core.config import config
from lwmecps_core.run_config import AdaptConfig, FOMAMLConfig, LearntContextName, MetaConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import WRITTEN, TaskDistribution

BASELINES = (
    "random",
    "uniform",
    "static",
    "greedy_latency",
    "greedy_load",
    "optimized_balance",
    "hpa",
    "hpa_calibrated",
    "hpa_tuned",
    "rate_rule",
    "rate_rule_adapted",
    "oracle",
)

PPO = PPOConfig(
    learning_rate=2e-3,
    discount_factor=0.9,
    gae_lambda=0.9,
    entropy_coef=0.01,
    n_epochs=4,
    batch_size=1200,
    hidden_size=(32, 32),
)

MULTI_TASK = TrainConfig(
    total_episodes=26_240, episodes_per_batch=4, tasks_per_batch=20, schedule="linear", schedule_share=1.0
)


@config
class DemoSettings:
    """Settings of the demo's runs; all methods are measured over the same episodes of the same held-out tasks."""

    nodes: int = 4
    """Nodes of every cluster."""
    deployments: int = 4
    """Deployments on every cluster."""
    evaluation_episodes: int = 4
    """Episodes that measure a method on each task."""

    algorithm: PPOConfig = PPO
    """What learns in meta-training and in multi-task training."""
    context_algorithm: PPOConfig = replace(PPO, context="statistics")
    """The same, which remembers the cluster that it acts on."""
    blind_algorithm: PPOConfig = replace(PPO, ignore_blocks=WRITTEN)
    """The same, which isn't told what the operator wrote."""
    privileged_algorithm: PPOConfig = replace(PPO, context="privileged")
    """The same, which is told all that is hidden."""
    meta: MetaConfig = MetaConfig(
        # Behind the warm-up 8 % of these rates are left, and less and less.
        learner=FOMAMLConfig(rate_lr=1.0),
        inner_lr=0.03,
        outer_lr=3e-3,
        adaptation_steps=3,
        meta_batch_size=20,
        episodes_per_step=4,
        outer_epochs=2,
        tasks_per_update=5,
        warmup_epochs=240,
        num_meta_epochs=262,
        schedule="linear",
        schedule_share=1.0,
    )
    """Meta-training."""
    context_training: TrainConfig = replace(MULTI_TASK, collections_per_task=3)
    """Its training: the same data and schedule, but three episodes in a row on each task, as it will act."""
    multi_task: TrainConfig = MULTI_TASK
    """One policy for all tasks, from as many episodes as meta-training takes: 240 × 80 in the warm-up, 22 × 4 × 80
    after it."""
    episodes_before: tuple[int, ...] = (0, 1, 4)
    """Episodes that the policy with a context has had on a cluster when it is measured there."""
    scratch_algorithm: PPOConfig = replace(
        PPO, learning_rate=6e-3, discount_factor=0.7, gae_lambda=0.7, entropy_coef=0.03, n_epochs=8, batch_size=60
    )
    """What learns from nothing on one cluster."""
    scratch: TrainConfig = TrainConfig(
        total_episodes=100,
        episodes_per_batch=4,
        independent=True,
        evaluation_episodes=4,
        schedule="linear",
        schedule_share=1.0,
    )
    """One policy for each held-out cluster."""
    adaptation: AdaptConfig = AdaptConfig(
        adaptation_steps=5, episodes_per_step=4, evaluation_episodes=4, keep_placement_if_worse=False
    )
    """Adaptation to held-out clusters, where nothing stands in for a policy that is bad."""
    polish: AdaptConfig = AdaptConfig(
        adaptation_steps=5, episodes_per_step=4, evaluation_episodes=4, inner_lr=0.001, keep_placement_if_worse=False
    )
    """Plain steps on held-out clusters, of policies that were not taught to adapt."""
    real_horizon: int = 60
    """Control intervals of an episode on a real cluster; with `real_pace` it takes some 20 seconds."""
    real_pace: float = 40.0
    """Seconds of a task on a real cluster that pass in one second."""


SHORT_TASKS = 2


def shortened(settings: DemoSettings) -> DemoSettings:
    """The same demo with so little training that its figures say nothing: whether all of it runs."""

    def trained(config: TrainConfig) -> TrainConfig:
        return replace(config, total_episodes=4, episodes_per_batch=2, tasks_per_batch=1)

    def adapted(config: AdaptConfig) -> AdaptConfig:
        return replace(config, adaptation_steps=2, episodes_per_step=1, evaluation_episodes=1)

    meta = replace(settings.meta, num_meta_epochs=2, meta_batch_size=2, adaptation_steps=2, episodes_per_step=1)
    return replace(
        settings,
        evaluation_episodes=1,
        meta=meta,
        multi_task=trained(settings.multi_task),
        context_training=trained(settings.context_training),
        scratch=replace(settings.scratch, total_episodes=4, episodes_per_batch=2, evaluation_episodes=1),
        adaptation=adapted(settings.adaptation),
        polish=adapted(settings.polish),
        episodes_before=(0, 2),
    )


def remembering(settings: DemoSettings, context: LearntContextName) -> DemoSettings:
    """The same demo, whose policy with a memory has the context of that name.

    One that is learnt is trained on two episodes in a row, so that there is something to remember of the first in the
    second: on half as many rollouts, and on half as many tasks at a time.
    """
    algorithm, training = replace(settings.algorithm, context=context), settings.context_training
    if context == "recurrent":
        algorithm = replace(algorithm, n_steps=2 * TaskDistribution().horizon)
        plain = settings.multi_task
        episodes, tasks = (plain.total_episodes or 0) // 2, plain.tasks_per_batch // 2
        training = replace(plain, total_episodes=episodes, tasks_per_batch=tasks)
    return replace(settings, context_algorithm=algorithm, context_training=training)
