"""The cells that the benchmark consists of: the rules of a version, or a policy with a training seed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench.context.cells import sharper
from bench.keys import USUAL, key
from lwmecps_core.config import config
from lwmecps_core.run_config import LearntContextName, PPOConfig, TrainConfig
from lwmecps_core.specs import EnvId
from services.cli.demo_settings import DemoSettings, remembering

HELD_OUT_SEED, TRAINING_SEED, CHOOSING_SEED = 2_000_000, 3_000_000, 4_000_000
"""Of the tasks that measure, those that policies learn from, and those on which settings are chosen."""
EVALUATION_SEED = 2_000_000
RULES = "rules"
LEARNT: tuple[LearntContextName, ...] = ("recurrent", "statistics")
"""Contexts of the policies; the first is the one that the bars are about."""
SEEDS, HELD_OUT = 5, 32
"""Training seeds, and held-out tasks of each workload, of the whole benchmark."""
FACTORS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Times the multipliers that training ended with: one policy's curve."""
CONTROLS = ("static", "hpa", "hpa_tuned", "rate_rule_adapted")
"""As they come: by default, or with settings chosen on the very cluster by a dozen episodes."""
HPA = "hpa over targets"
WINDOWS_S = (0.0, 60.0, 300.0)
"""Of its stabilisation; the last is Kubernetes' own."""
BOUND_SPREAD, MULTIPLIER_SPREAD = 2.0, 10.0
"""What training is told: nearly all that policies are told afterwards."""
START = 0.1
"""Multipliers that training begins with: while failing is cheap a policy finds out what can be switched off."""
CURIOUS, CURIOUS_AT_LAST = 3.0, 0.1
"""Weight of the entropy bonus, times the demo's, and the share of it that is left in the end."""
LONGER = 2
"""How many times as many episodes as the demo's training takes."""


@config
class SloCell:
    """A policy, trained with a seed on all workloads together, or, without a seed, the rules."""

    env_id: EnvId
    method: str
    seed: int = 0
    tasks: int = 32
    episodes: int = 2
    """Of every task that measures."""
    choosing: int = 16
    """Tasks of each workload on which settings are chosen."""
    training_tasks: int = 64
    """Of each workload."""
    start: float = START
    """Multipliers that training begins with."""
    nodes: int = 4
    algorithm: PPOConfig = USUAL
    training: TrainConfig = TrainConfig()

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, HELD_OUT_SEED, EVALUATION_SEED)

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"{self.env_id} {self.method} {self.seed}"


def cells(env_ids: Sequence[EnvId], tasks: int, seeds: int = SEEDS, **less: Any) -> list[SloCell]:
    """All cells of these versions, the rules first; `less` training where time is short (`total_episodes`)."""
    found = [cell for env_id in env_ids for cell in _of(env_id, tasks, seeds, less)]
    return sorted(found, key=lambda cell: (cell.env_id, cell.method != RULES, cell.seed, cell.method))


def _of(env_id: EnvId, tasks: int, seeds: int, less: dict[str, Any]) -> Iterator[SloCell]:
    yield SloCell(env_id=env_id, method=RULES, tasks=tasks)
    for seed in range(seeds):
        for context in LEARNT:
            demo = remembering(DemoSettings() if env_id == "lwmecps-v3" else sharper(DemoSettings()), context)
            algorithm, usual = demo.context_algorithm, demo.context_training
            training = replace(
                usual,
                bound_spread=BOUND_SPREAD,
                multiplier_spread=MULTIPLIER_SPREAD,
                entropy_share=CURIOUS_AT_LAST,
                **{"total_episodes": LONGER * (usual.total_episodes or 0)} | less,
            )
            yield SloCell(
                env_id=env_id,
                method=context,
                seed=seed,
                tasks=tasks,
                algorithm=replace(algorithm, entropy_coef=CURIOUS * (algorithm.entropy_coef or 0.0)),
                training=training,
            )
