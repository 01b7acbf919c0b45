"""Populations beside the flagship's hand-tuned training, from as many episodes in all: their cells."""

from collections.abc import Mapping
from dataclasses import replace

from bench.context.cells import EVALUATION_SEED, FLAGSHIP, HELD_OUT_SEED, Cell
from bench.context.cells import cells as context_cells
from bench.context.results import Found
from bench.keys import key
from lwmecps_core.choosing.population import PopulationPlan
from lwmecps_core.choosing.span import Span
from lwmecps_core.config import config, dump
from lwmecps_core.run_config import EvaluateConfig
from services.cli.demo_settings import DemoSettings

POPULATION, SEARCH, DEFAULTS = "population", "random search", "context"
"""The last are the context benchmark's own cells: one policy, settings that were found by hand on other tasks."""
SEEDS, TASKS = 5, 64
DEMO = DemoSettings()
NUMBERS: Mapping[str, Span] = {
    "learning_rate": Span(low=2e-4, high=2e-2),
    "discount_factor": Span(low=0.8, high=0.99, scale="complement"),
    "entropy_coef": Span(low=1e-3, high=1e-1),
}
CHOICES = {"context": ("none", "statistics")}


def common(looked_for: Mapping[str, object]) -> dict[str, object]:
    """The demo's settings of the training and of the algorithm, without what is looked for."""
    own = {**dump(DEMO.context_training), **dump(DEMO.context_algorithm)}
    left = {"name", "total_episodes", "evaluation_episodes", "independent", *looked_for}
    return {name: value for name, value in own.items() if name not in left}


PLAN = PopulationPlan(
    settings=common({**NUMBERS, **CHOICES}),
    numbers=NUMBERS,
    choices=CHOICES,
    members=8,
    generations=4,
    episodes=800,
    measured_tasks=16,
    measuring=EvaluateConfig(episodes=1),
)
"""8 × 4 × 800 episodes to learn from and 8 × 4 × 16 that measure are 26,112; the flagship learns from 26,240."""


@config
class PopulationCell:
    """A population, and how its best policy is measured: as the cell that it is `like`."""

    like: Cell
    method: str
    plan: PopulationPlan

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, HELD_OUT_SEED, EVALUATION_SEED)

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.plan.seed

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"{self.like.family} {self.method} {self.seed}"


@config
class PopulationOutcome:
    """What the member that was best in the end earns on held-out clusters, with which settings in each generation, and
    the commit.
    """

    found: tuple[Found, ...]
    values: tuple[Mapping[str, float | str], ...]
    replaced: int
    """How often a member took over from another."""
    training_cpu_s: float = 0.0
    commit: str = ""


def cells(seeds: int = SEEDS) -> list[PopulationCell]:
    """A population and a random search for each training seed."""
    shares = {POPULATION: PLAN.replaced_share, SEARCH: 0.0}
    return [
        PopulationCell(
            like=replace(cell, also=(), steps=None),
            method=name,
            plan=replace(PLAN, tasks=(FLAGSHIP,), replaced_share=share, seed=cell.seed),
        )
        for cell in beside(seeds)
        for name, share in shares.items()
    ]


def beside(seeds: int = SEEDS) -> list[Cell]:
    """The context benchmark's own cells, to compare with."""
    flagship = context_cells((FLAGSHIP,), TASKS, max(seeds, SEEDS))
    return [c for c in flagship if c.method == DEFAULTS and c.problem.env_id == "lwmecps-v3" and c.seed < seeds]
