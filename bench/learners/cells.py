"""The cells of the benchmark: what a known cluster's policy is worth as a start, with a training seed."""

from dataclasses import replace

from bench.keys import key
from lwmecps_core.config import config
from lwmecps_core.meta.metric import MetricConfig
from lwmecps_core.run_config import AdaptConfig, PPOConfig, TrainConfig, TransferConfig
from services.cli.demo_settings import DemoSettings

FLEET_SEED, METRIC_SEED, EVALUATION_SEED = 8_000_000, 6_000_000, 8_000_000
"""Of the first known fleet (new ones follow), of those that metrics are learnt from, and of episodes that measure."""
SEEDS = 5
DEMO = DemoSettings()


@config
class StartCell:
    """A general policy, policies of known fleets that go on from it, and starts on their new clusters."""

    seed: int = 0
    fleets: int = 5
    """That are known; as many new ones measure, too."""
    known: int = 5
    """Clusters of each known fleet: what its policy learns from, and what it is recognised by."""
    held_out: int = 4
    """Clusters of each fleet that measure."""
    episodes: int = 4
    """Of every cluster that measures."""
    metric_fleets: int = 48
    metric: MetricConfig = MetricConfig(steps=300)
    algorithm: PPOConfig = DEMO.context_algorithm
    training: TrainConfig = replace(DEMO.context_training, total_episodes=3_280)
    """Of the general policy."""
    own: TransferConfig = TransferConfig(total_episodes=240, learning_rate=3e-4, episodes_per_batch=20)
    """Of each fleet's policy, four episodes of each of its clusters in a batch; the general one goes on for as many
    episodes as all of them together. Chosen on other fleets (seeds from 7,000,000 on, docs/learners.md).
    """
    steps: AdaptConfig = replace(DEMO.polish, adaptation_steps=2)

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, FLEET_SEED, METRIC_SEED, EVALUATION_SEED)

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"nearest as a start, seed {self.seed}"


def cells(seeds: int = SEEDS) -> list[StartCell]:
    """One for each training seed."""
    return [StartCell(seed=seed) for seed in range(seeds)]
