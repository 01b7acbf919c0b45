"""What the demo trains and with which settings; found by trial on tasks of other seeds than the demo's."""

from lwmecps_core.config import config
from lwmecps_core.run_config import AdaptConfig, AlgorithmConfig, MetaConfig, PPOConfig, TrainConfig

BASELINES = (
    "random", "uniform", "static", "greedy_latency", "greedy_load", "optimized_balance", "hpa_calibrated", "oracle",
)  # fmt: skip


@config
class DemoSettings:
    """Settings of the demo's runs; all methods are measured over the same episodes of the same held-out tasks."""

    nodes: int = 4
    deployments: int = 4
    evaluation_episodes: int = 8

    meta_algorithm: AlgorithmConfig = PPOConfig(entropy_coef=0.0)
    meta: MetaConfig = MetaConfig(
        inner_lr=0.05, outer_lr=1e-3, adaptation_steps=5, meta_batch_size=16, num_meta_epochs=200, episodes_per_step=4
    )
    multi_task_algorithm: AlgorithmConfig = PPOConfig()
    multi_task: TrainConfig = TrainConfig(total_episodes=6400, episodes_per_batch=4, tasks_per_batch=16)
    scratch_algorithm: AlgorithmConfig = PPOConfig(learning_rate=1e-3)
    scratch: TrainConfig = TrainConfig(
        total_episodes=100, episodes_per_batch=4, independent=True, evaluation_episodes=8
    )
    adaptation: AdaptConfig = AdaptConfig(adaptation_steps=5, episodes_per_step=4, evaluation_episodes=8)
