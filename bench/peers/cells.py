"""What is trained: each learner with each training seed on fresh clusters of one kind."""

from collections.abc import Iterator
from dataclasses import replace

from bench.context.cells import EVALUATION_SEED, FLAGSHIP, HELD_OUT_SEED, ClusterKind
from bench.keys import key
from lwmecps_core.config import config
from lwmecps_core.run_config import PPOConfig, TrainConfig
from services.cli.demo_settings import PPO, DemoSettings, remembering

PROBLEM = ClusterKind(family=FLAGSHIP)
TUNING_SEED = 700_000
"""Tasks by which settings are chosen are drawn by the seeds from this one on."""
EPISODES = 6_400
"""Of training: 768,000 transitions."""
TASKS, AT_ONCE = 20, 4
"""Fresh tasks of a rollout, and environments that each of them has side by side."""
OURS, THEIRS = ("set", "mlp", "recurrent"), ("PPO", "MaskablePPO", "RecurrentPPO")
SEEDS = {"recurrent": 3, "RecurrentPPO": 3}
"""Training seeds, where they are not five."""
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
WIDTHS = {"PPO": (32, 64, 128), "MaskablePPO": (32, 64, 128), "RecurrentPPO": (32, 64)}
"""What is tried of the others: learning rates at the start, and units of each layer."""


@config
class PeerCell:
    """One training. Ours have the demo's settings; of the others the learning rate and the width are tried."""

    learner: str
    seed: int = 0
    rate: float = 0.0
    width: int = 0
    tuning: bool = False
    episodes: int = EPISODES
    tasks: int = 64

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, EVALUATION_SEED, TUNING_SEED if self.tuning else HELD_OUT_SEED)

    @property
    def name(self) -> str:
        """As progress shows it."""
        tried = f" {self.rate:g}, {self.width} units" if self.learner in THEIRS else ""
        return f"{self.learner} {self.seed}{tried}{' on tuning tasks' if self.tuning else ''}"


def trials(learner: str) -> Iterator[PeerCell]:
    """What is tried of one of the others, with one training seed."""
    for rate in RATES:
        for width in WIDTHS[learner]:
            yield PeerCell(learner=learner, rate=rate, width=width, tuning=True)


def measured(learner: str, chosen: PeerCell | None = None) -> Iterator[PeerCell]:
    """What is reported of a learner, with the settings of the trial `chosen`."""
    for seed in range(SEEDS.get(learner, 5)):
        if chosen is None:
            yield PeerCell(learner=learner, seed=seed)
        else:
            yield replace(chosen, seed=seed, tuning=False)


def settings(learner: str, episodes: int) -> tuple[PPOConfig, TrainConfig]:
    """Ours: the demo's, on as many episodes."""
    demo = DemoSettings()
    if learner == "recurrent":
        demo = remembering(demo, "recurrent")
        # A rollout is two episodes in a row.
        return demo.context_algorithm, replace(demo.context_training, total_episodes=episodes // 2)
    algorithm = replace(PPO, network="mlp") if learner == "mlp" else PPO
    return algorithm, replace(demo.multi_task, total_episodes=episodes)
