"""Settings that do nothing beside the others that were chosen, so that whoever gives one is told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from lwmecps_core.believing import Believing
from lwmecps_core.curricular import Curricular
from lwmecps_core.env_ids import V2, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.objective import Constrained, SloSpec
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec

_SLOTS = {"cell": ("ntm", "dnc")}
_CURRICULA = {"curriculum": ("replay", "mutate")}
ACTS_WITH: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    **{field.name: {"context": ("belief",)} for field in fields(Believing)},
    **dict.fromkeys(("memory_slots", "memory_width", "memory_reads"), _SLOTS),
    "cell_size": {"cell": ("lstm",)},
    **{field.name: _CURRICULA for field in fields(Curricular) if field.name != "curriculum"},
    "mutation_share": {"curriculum": ("mutate",)},
    "schedule_share": {"schedule": ("linear", "cosine")},
}
"""Setting → another setting of the same kind of run or algorithm, if it has it, and its values with which this acts."""
TUNED = ("hpa_calibrated", "hpa_tuned", "rate_rule")
"""Baselines that have settings which are tuned on other tasks."""


def idle(settings: Any) -> Iterator[tuple[str, str]]:
    """Names of the settings of a configuration that do nothing, and with what they would."""
    for field in fields(settings):
        for other, values in ACTS_WITH.get(field.name, {}).items():
            if (found := getattr(settings, other, values[0])) not in values:
                yield field.name, f"acts with {other}: {' or '.join(values)} only, not with {found}"


def check_training(algorithm: AlgorithmConfig, cfg: TrainConfig) -> None:
    """Raise `InvalidInput` naming settings that can't be together, or mean nothing to the algorithm."""
    chosen, shown = cfg.curriculum != "uniform", cfg.imitation_episodes > 0
    changing = {"collections_per_task": cfg.collections_per_task > 1, "curriculum": chosen, "imitation_episodes": shown}
    reason = "is of one policy for changing tasks; independent ones keep theirs"
    found = [Violation(name, reason) for name, given in changing.items() if given and cfg.independent]
    if cfg.entropy_share != 1.0 and not isinstance(algorithm, PPOConfig):
        found.append(Violation("entropy_share", f"is of PPO's entropy bonus; {algorithm.name} has none"))
    elif cfg.entropy_share != 1.0 and getattr(algorithm, "entropy_coef", None) == 0.0:
        found.append(Violation("entropy_share", "is of PPO's entropy bonus, whose weight, entropy_coef, is 0"))
    if shown and not isinstance(algorithm, PPOConfig):
        found.append(Violation("imitation_episodes", f"is of PPO's policies; {algorithm.name} learns by values"))
    if shown and chosen:
        found.append(Violation("imitation_episodes", "has no scores, by which a curriculum chooses tasks"))
    if found:
        raise InvalidInput("training", found)


def bounds(tasks: Iterable[TaskSpec | TaskDistribution]) -> list[SloSpec]:
    """Those of the tasks that have any."""
    every = (task.slo if isinstance(task, TaskDistribution) else task.objective.slo for task in tasks)
    return [slo for slo in every if slo]


def check_tasks(cfg: TrainConfig, tasks: Sequence[TaskSpec | TaskDistribution]) -> None:
    """Raise `InvalidInput` naming settings that none of the tasks has a use for."""
    if cfg.imitation_episodes and (still := [t.env_id for t in tasks if version_of(t.env_id) == V2]):
        reason = f"needs an autoscaler, and {still[0]} scales no replicas"
        raise InvalidInput("training", [Violation("imitation_episodes", reason)])
    if bounds(tasks):
        return
    usual = Constrained()
    changed = [x.name for x in fields(Constrained) if getattr(cfg, x.name) != getattr(usual, x.name)]
    if changed:
        raise InvalidInput(
            "training", [Violation(name, "is for tasks with bounds (objective.slo)") for name in changed]
        )
