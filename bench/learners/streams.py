"""Streams of clusters: the cells of the benchmark of what a policy keeps that meets one cluster after another."""

from collections.abc import Mapping
from dataclasses import replace

from bench.keys import key
from lwmecps_core.config import config
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import FAMILIES
from services.cli.demo_settings import DemoSettings

STREAM_SEED, EVALUATION_SEED = 9_000_000, 9_000_000
"""Of the first stream's clusters (those of other seeds follow), and of the episodes that measure."""
SEEDS = 5
DEMO = DemoSettings()
NO_STEP, NOTHING, CONTEXT, REPLAY, BOTH, PULLED = (
    "no step, contexts",
    "nothing",
    "contexts",
    "replay",
    "replay and contexts",
    "pulled back, contexts",
)
KEEPING: Mapping[str, ContinualConfig] = {
    NO_STEP: ContinualConfig(learning_rate=0.0, replay_share=0.0),
    NOTHING: ContinualConfig(replay_share=0.0, keep_contexts=False),
    CONTEXT: ContinualConfig(replay_share=0.0),
    REPLAY: ContinualConfig(keep_contexts=False),
    BOTH: ContinualConfig(),
    PULLED: ContinualConfig(replay_share=0.0, weight_penalty=1.0),
}
"""What is kept of earlier clusters: the flagship that never steps first. No setting was tuned (docs/learners.md)."""


@config
class StreamCell:
    """A policy of many clusters of one family, and the stream of all families' clusters that it meets in every way."""

    seed: int = 0
    rounds: int = 2
    """Clusters of each family; the families take turns."""
    families: tuple[str, ...] = FAMILIES
    algorithm: PPOConfig = DEMO.context_algorithm
    training: TrainConfig = replace(DEMO.context_training, total_episodes=3_280)
    """Of the policy that the stream begins with."""
    ways: tuple[tuple[str, ContinualConfig], ...] = tuple(KEEPING.items())

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, STREAM_SEED, EVALUATION_SEED)

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"stream, seed {self.seed}"


@config
class Stream:
    """One way of keeping: R, a line for each number of clusters that were met, and CPU time of the whole stream."""

    keeping: str
    r: tuple[tuple[float, ...], ...]
    cpu_s: float = 0.0


@config
class StreamOutcome:
    """All that a cell found, the CPU time of its training, and the commit."""

    streams: tuple[Stream, ...]
    training_cpu_s: float = 0.0
    commit: str = ""


StreamOutcomes = Mapping[str, StreamOutcome]
"""By the key of the cell."""


def cells(seeds: int = SEEDS) -> list[StreamCell]:
    """One for each training seed."""
    return [StreamCell(seed=seed) for seed in range(seeds)]
