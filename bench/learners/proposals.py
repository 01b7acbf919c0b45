"""Proposals for each family from trainings on the other four, beside defaults with as many episodes: their cells.

Trials are trainings with settings drawn alike for all families. What is learnt from them on four families is proposed
for the fifth, whose own trials it doesn't see, and is trained there as often as defaults are.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from bench.context.cells import Cell, ClusterKind
from bench.keys import USUAL, key
from bench.learners.populations import CHOICES, DEMO, NUMBERS
from lwmecps_core.choosing import family
from lwmecps_core.choosing.proposing import Past, Proposal, flat, propose
from lwmecps_core.config import config
from lwmecps_core.run_config import EvaluateConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import FAMILIES

PROPOSED, DEFAULTS, BY_HAND = "proposed", "defaults", "by hand"
"""The second are the library's; the last were found by trial on `mec_city`, one of the families (decision 0004)."""
TRIALS, TRIAL_SEED, TUNING_SEED, TUNING_TASKS = 16, 5_000, 700_000, 16
"""Settings that are tried on each family, what they are drawn by, and the clusters that measure them."""
SEEDS, TASKS = 3, 64
TRAINING = replace(DEMO.context_training, total_episodes=3_280)
"""An eighth of the flagship's episodes, for trials and for what they are proposed for alike."""
KEPT = DEMO.context_algorithm
"""Sizes of networks and of batches, which are not chosen."""


@config
class TrialCell:
    """A training on a family, measured on clusters that no result is told on."""

    problem: ClusterKind
    number: int
    algorithm: PPOConfig
    training: TrainConfig = TRAINING
    measuring: EvaluateConfig = EvaluateConfig(episodes=2)

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, TRIAL_SEED, TUNING_SEED)

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"{self.problem.family} trial {self.number}"


@config
class TrialOutcome:
    """The reward that a trial reached, the CPU time of its training, and the commit."""

    reward: float
    training_cpu_s: float = 0.0
    commit: str = ""


def trials(count: int = TRIALS) -> list[TrialCell]:
    """The same settings on every family."""
    problems = [ClusterKind(family=name) for name in FAMILIES]
    return [TrialCell(problem=problem, number=i, algorithm=_drawn(i)) for i in range(count) for problem in problems]


def _drawn(number: int) -> PPOConfig:
    rng = np.random.default_rng([TRIAL_SEED, number])
    numbers = {name: span.drawn(rng) for name, span in NUMBERS.items()}
    return replace(KEPT, **numbers, **{name: some[int(rng.integers(len(some)))] for name, some in CHOICES.items()})


def defaults() -> PPOConfig:
    """The library's own of what is looked for, as they were until these very results changed them."""
    return replace(KEPT, **{name: getattr(USUAL, name) for name in (*NUMBERS, *CHOICES)})


def proposed(cells: list[TrialCell], outcomes: Mapping[str, TrialOutcome]) -> dict[str, Proposal]:
    """Family → what the trials on the others come to; only of families that are left four with all of their trials."""
    by_family: dict[str, list[Past]] = {}
    for cell in cells:
        if cell.key in outcomes:
            past = Past(cell.problem.family, flat(cell.algorithm, cell.training), outcomes[cell.key].reward)
            by_family.setdefault(cell.problem.family, []).append(past)
    whole = {name for name in FAMILIES if len(by_family.get(name, ())) * len(FAMILIES) == len(cells)}
    found = {}
    for new in FAMILIES:
        if others := whole - {new} if len(whole - {new}) == len(FAMILIES) - 1 else set():
            past = [run for name in FAMILIES if name in others for run in by_family[name]]
            found[new] = propose(past, {name: _about(name) for name in FAMILIES}, new, flat(defaults(), TRAINING))
    return found


@cache
def _about(name: str) -> dict[str, float]:
    from bench.context.measure import distribution  # PyTorch, which only the processes that train need otherwise

    return family.about([distribution(ClusterKind(family=name))])


def cells(proposals: Mapping[str, Proposal], seeds: int = SEEDS) -> list[Cell]:
    """On every family that has a proposal: training with it, with defaults, and as was found by hand."""
    names = (*NUMBERS, *CHOICES)
    return [
        Cell(
            problem=ClusterKind(family=name),
            method=method,
            seed=seed,
            tasks=TASKS,
            algorithm=algorithm,
            training=TRAINING,
            measuring=EvaluateConfig(episodes=DEMO.evaluation_episodes, episodes_before=(0, 1)),
        )
        for seed in range(seeds)
        for name, proposal in proposals.items()
        for method, algorithm in {
            PROPOSED: replace(KEPT, **{n: proposal.settings[n] for n in names}),
            DEFAULTS: defaults(),
            BY_HAND: KEPT,
        }.items()
    ]
