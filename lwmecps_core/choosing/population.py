"""Populations of runs: what they are made of, and which member takes over from which.

Population-based training (Jaderberg et al. 2017, arXiv:1711.09846, algorithm 1): members train side by side; after each
generation those that earn least take over weights and settings of some that earn most (*exploit*), and vary the
settings that they took (*explore*). So settings change while a policy learns, which no search over constant ones finds.

All of it is pure functions of the plan, the generation before and (seed, generation, member).
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from itertools import product
from math import prod
from typing import Annotated, Any, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from lwmecps_core.choosing.span import Span
from lwmecps_core.config import Share, config
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.integrations.runs import RunRequest, settings_of
from lwmecps_core.run_config import AlgorithmConfig, EvaluateConfig, TrainConfig

ALGORITHMS: Mapping[str, Any] = {cls.name: cls for cls in get_args(get_args(AlgorithmConfig)[0])}
ALGORITHM = "algorithm"
"""What the choice of an algorithm is called among settings."""
MOST_COMBINATIONS = 256
"""Of choices; every one is tried out on paper before anything is trained."""
FIXED = ("total_episodes", "independent", "evaluation_episodes")
"""Settings of training that a population decides itself: `episodes` and `measuring` say the like."""
Choices = Annotated[tuple[str | int | float | bool, ...], Field(min_length=1, max_length=64)]
Values = Mapping[str, Any]
"""Name of a setting → value."""
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


@config
class PopulationPlan:
    """What a population trains on, what of its settings is looked for, and how often members take over."""

    tasks: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    """Ids of registered tasks or distributions, or their files."""
    algorithm: str = "ppo"
    """Which algorithm learns, unless that is among the choices."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What all members have in common, of `train` and of the algorithm. A schedule of the learning rate is that of the
    whole population: only the last generation follows it, by at most all of its steps."""
    numbers: Mapping[str, Span] = field(default_factory=dict)
    """Settings that are drawn from a range and varied when they are taken over."""
    choices: Mapping[str, Choices] = field(default_factory=dict)
    """Settings that are drawn from a list (`algorithm` may be one) and taken over as they are, for weights are of one
    algorithm with one context: which of them is best is left to selection alone."""
    first: Mapping[str, Any] = field(default_factory=dict)
    """What the first member begins with of all that, such as settings that were good elsewhere; the rest is drawn."""
    members: Annotated[int, Field(ge=2, le=64)] = 8
    """How many there are."""
    generations: Annotated[int, Field(ge=1, le=1000)] = 8
    """How often each of them trains and is measured."""
    episodes: Annotated[int, Field(ge=1, le=10_000_000)] = 400
    """Episodes that each member trains for in each generation."""
    measured_tasks: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Tasks drawn from the distributions that measure all members alike; 0: the given tasks themselves."""
    measured_seed: Seed = 700_000
    """Seed of drawing them, and of the episodes there: not the one that results are told on."""
    measuring: EvaluateConfig = EvaluateConfig(episodes=2)
    """How a member is measured after a generation; the reward in the last episode of `episodes_before` counts."""
    replaced_share: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Share of the members that take over from as many others (0: nobody, which makes a random search)."""
    redraw_chance: Share = 0.25
    """Chance of each number that is taken over to be drawn anew."""
    factors: Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1)] = (0.8, 1.2)
    """By one of which it is multiplied otherwise."""
    seed: Seed = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.numbers and not self.choices:
            raise ValueError("numbers or choices must name a setting: else there is nothing to look for")
        if twice := sorted({*self.numbers} & {*self.choices}):
            raise ValueError(f"choices.{twice[0]}: stands among the numbers, too")
        for name in (*self.numbers, *self.choices):
            if name in self.settings:
                raise ValueError(f"settings.{name}: is looked for, so it can't be given, too (first may name it)")
        for name in (*self.settings, *self.numbers, *self.choices):
            if name in FIXED:
                raise ValueError(f"{name}: is the population's own (episodes, measuring)")
        for name, value in self.first.items():
            if not self._may_be(name, value):
                raise ValueError(f"first.{name}: {value!r} is none of the numbers or choices that are looked for")
        if self.measuring.baseline:
            raise ValueError("measuring.baseline: members are measured, not baselines")
        return self

    def _may_be(self, name: str, value: Any) -> bool:
        if name in self.choices:
            return value in self.choices[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and name in self.numbers and self.numbers[name].low <= value <= self.numbers[name].high


@config
class Member:
    """A member in one generation: what it trained with, from whose weights, and what came of it."""

    values: Mapping[str, Any]
    """What was looked for: name of a setting → value."""
    parent: int | None = None
    """Whose weights it went on with: its own number, or that of another; none in the first generation, and where it
    begins anew."""
    start: str = ""
    """Id of the policy with those weights."""
    run: str = ""
    """Its training."""
    measured_by: str = ""
    """The run that measured it."""
    policy: str = ""
    """What it has learnt."""
    score: float | None = None
    """Reward of an episode; none: its training failed."""
    error: str = ""
    """Why."""


Generation = tuple[Member, ...]


@config
class Population:
    """A plan and the generations that are over: what is kept, and gone on from."""

    plan: PopulationPlan
    generations: tuple[Generation, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for i, generation in enumerate(self.generations):
            if len(generation) != self.plan.members:
                raise ValueError(f"generations[{i}]: has {len(generation)} members, not {self.plan.members}")
        return self


def begun(plan: PopulationPlan) -> Generation:
    """The members before the first generation: settings at random, but for what `first` says of the first one."""
    return tuple(
        Member(values=_drawn(plan, _rng(plan, 0, i)) | (dict(plan.first) if i == 0 else {}))
        for i in range(plan.members)
    )


def descended(plan: PopulationPlan, before: Generation, generation: int) -> Generation:
    """The members of the next `generation` (from 1), of those that have been measured.

    Who takes over gets the policy and the settings of its parent, the numbers varied; the others keep theirs.
    """
    parents = succession([m.score for m in before], plan.replaced_share, _rng(plan, generation, plan.members))
    members = []
    for i, parent in enumerate(parents):
        rng = _rng(plan, generation, i)
        if parent is None:
            members.append(Member(values=_drawn(plan, rng)))
        else:
            taken = before[parent].values
            values = taken if parent == i else explored(plan, taken, rng)
            members.append(Member(values=values, parent=parent, start=before[parent].policy))
    return tuple(members)


def succession(scores: Sequence[float | None], share: float, rng: np.random.Generator) -> list[int | None]:
    """Whose weights and settings each member goes on with: truncation selection (Jaderberg et al. 2017, section 4.1.1).

    The ⌊share · members⌋ that earn least, at least one where the share is above 0, each take over from one of as many
    that earn most, drawn alike. Members that failed (no score) take over from these, too, or begin anew (None) where
    nobody takes over from anybody. Equal scores: the first member is the better one.
    """
    count = max(1, int(share * len(scores))) if share else 0
    order = sorted((i for i, x in enumerate(scores) if x is not None), key=lambda i: (-_score(scores[i]), i))
    failed = [i for i, x in enumerate(scores) if x is None]
    best = order[:count]
    worst = {*failed, *(i for i in order[len(order) - max(0, count - len(failed)) :] if i not in best)}
    return [i if i not in worst else (best[int(rng.integers(len(best)))] if best else None) for i in range(len(scores))]


def _score(x: float | None) -> float:
    return -np.inf if x is None else x


def explored(plan: PopulationPlan, values: Values, rng: np.random.Generator) -> dict[str, Any]:
    """Settings that were taken over, every number drawn anew by chance, else times one of the factors; choices stay."""
    found = dict(values)
    for name, span in plan.numbers.items():
        anew, factor = rng.random() < plan.redraw_chance, plan.factors[int(rng.integers(len(plan.factors)))]
        found[name] = span.drawn(rng) if anew else span.varied(values[name], factor)
    return found


def _drawn(plan: PopulationPlan, rng: np.random.Generator) -> dict[str, Any]:
    numbers = {name: span.drawn(rng) for name, span in plan.numbers.items()}
    return numbers | {name: some[int(rng.integers(len(some)))] for name, some in plan.choices.items()}


def _rng(plan: PopulationPlan, generation: int, member: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, generation, member])


def best_of(generation: Generation) -> int:
    """The member that earned most; the first of equal ones."""
    return max(range(len(generation)), key=lambda i: (_score(generation[i].score), -i))


def lineage(generations: Sequence[Generation], member: int) -> list[int | None]:
    """Whose weights the member of the last generation has had in each generation; None: they had not begun yet."""
    found: list[int | None] = [member]
    for generation in reversed(generations[1:]):
        at = found[0]
        found.insert(0, None if at is None else generation[at].parent)
    return found


def training_of(plan: PopulationPlan, values: Values, generation: int) -> RunRequest:
    """The training of a member with these values in a generation (from 0), without its seed and its policy.

    Of what is looked for it has what its algorithm has. Its learning rate, and the weight of its entropy bonus, are
    constant but in the last generation; only in the first it watches the autoscaler.
    """
    algorithm = str(values.get(ALGORITHM, plan.algorithm))
    own = {name: x for name, x in values.items() if name in known_to(algorithm)}
    settings = {**plan.settings, **own, "total_episodes": plan.episodes}
    if generation > 0:
        settings.pop("imitation_episodes", None)
    if generation < plan.generations - 1:
        settings.pop("entropy_share", None)
        settings |= {"schedule": "constant"} if "schedule" in settings else {}
    elif "schedule" in settings:
        share = settings.get("schedule_share", TrainConfig().schedule_share)
        settings["schedule_share"] = min(1.0, share * plan.generations)
    return RunRequest(tasks=plan.tasks, algorithm=algorithm, settings=settings)


def known_to(algorithm: str) -> set[str]:
    """Names of the settings that training by an algorithm has."""
    return {x.name for cls in (TrainConfig, ALGORITHMS[algorithm]) for x in fields(cls)} - {"name"}


def check(plan: PopulationPlan, source: str) -> None:
    """Raise `InvalidInput` naming what no member could be trained with: every choice with both ends of every range."""
    if not plan.tasks:
        raise InvalidInput(source, [Violation("tasks", "must name a task or a distribution")])
    if (count := prod(len(some) for some in plan.choices.values())) > MOST_COMBINATIONS:
        reason = f"make {count:,} combinations, at most {MOST_COMBINATIONS} are taken"
        raise InvalidInput(source, [Violation("choices", reason)])
    algorithms = [str(name) for name in plan.choices.get(ALGORITHM, (plan.algorithm,))]
    if unknown := [name for name in algorithms if name not in ALGORITHMS]:
        named = f"choices.{ALGORITHM}" if ALGORITHM in plan.choices else ALGORITHM
        raise InvalidInput(source, [Violation(named, f"{unknown[0]!r} is none of {', '.join(ALGORITHMS)}")])
    for group in ("numbers", "choices"):
        for name in getattr(plan, group):
            if name != ALGORITHM and not any(name in known_to(algorithm) for algorithm in algorithms):
                reason = f"is no setting of training by {' or '.join(algorithms)}"
                raise InvalidInput(source, [Violation(f"{group}.{name}", reason)])
    for chosen in product(*plan.choices.values()):
        values = dict(zip(plan.choices, chosen, strict=True))
        for end in ("low", "high"):
            tried = values | {name: getattr(span, end) for name, span in plan.numbers.items()}
            try:
                settings_of(training_of(plan, tried, plan.generations - 1))
            except InvalidInput as error:
                told = ", ".join(f"{name} {value}" for name, value in values.items())
                raise InvalidInput(source + (f", {told}" if told else ""), error.violations) from None
