"""Drives a population over `Runs`: a training and a measurement for each member and generation.

Requests are named by the plan, the generation and the member, so that whoever was killed and asks again gets the runs
that were made before, not others. All else follows from the plan and from what runs told: a population that goes on
from what was kept ends as an undisturbed one. A training starts from the weights of the generation before; what the
optimiser and the replay memory held is not kept over generations.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import isfinite

from lwmecps_core import algorithms
from lwmecps_core.choosing.population import (
    Generation,
    Member,
    PopulationPlan,
    Values,
    begun,
    check,
    descended,
    training_of,
)
from lwmecps_core.config import dump
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.placement import default_task
from lwmecps_core.errors import InvalidInput, RunEnded, Violation
from lwmecps_core.fits import check_goes_on
from lwmecps_core.integrations.runs import RunNews, RunRequest, Runs, completed, settings_of
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import ALL_ENV_IDS, EnvSpec
from lwmecps_core.training.sampling import seeds

REWARD = "test_avg_reward"
"""What a measurement tells of a policy."""
FAILED, UNKNOWN = "failed", "no reason given"
Told = Callable[[int, int, RunNews], None]
"""Hears of every news of a member's training: generation, member, news."""


def evolve(
    plan: PopulationPlan,
    runs: Runs,
    before: Sequence[Generation] = (),
    told: Told = lambda generation, member, news: None,
) -> Iterator[Generation]:
    """The generations that follow those that are over (`before`), each when all of its members have been measured.

    A member whose training or measurement fails has no score. Raises `InvalidInput` for a plan that can't be carried
    out, and `RunEnded` where nobody is left in a generation, or where somebody cancelled a run.
    """
    check_plan(plan, "population")
    last = before[-1] if before else None
    for number in range(len(before), plan.generations):
        members = descended(plan, last, number) if last else begun(plan)
        last = _measured(plan, runs, number, _trained(plan, runs, number, members, told))
        yield last


def check_plan(plan: PopulationPlan, source: str) -> None:
    """Raise `InvalidInput` naming what no member could be trained with (`check`), and any number under whose values
    weights can't be taken over.
    """
    check(plan, source)
    for chosen in product(*plan.choices.values()):
        least = dict(zip(plan.choices, chosen, strict=True)) | {name: span.low for name, span in plan.numbers.items()}
        for name, span in plan.numbers.items():
            one, other = (_algorithm(plan, {**least, name: value}) for value in (span.low, span.high))
            spec = _some_environment(one)
            try:
                check_goes_on(one, spec, other, spec, source)
            except InvalidInput:
                reason = "decides what weights there are, which members take over: list its values among the choices"
                raise InvalidInput(source, [Violation(f"numbers.{name}", reason)]) from None


def _some_environment(algorithm: AlgorithmConfig) -> EnvSpec:
    """Of the first version that the algorithm learns in."""
    refused = None
    for env_id in ALL_ENV_IDS:
        spec = env_spec(default_task(env_id))
        try:
            algorithms.make(algorithm, spec)
            return spec
        except InvalidInput as error:
            refused = error
    assert refused is not None  # there is an environment
    raise refused


def _algorithm(plan: PopulationPlan, values: Values) -> AlgorithmConfig:
    _, algorithm = settings_of(training_of(plan, values, 0))
    assert algorithm is not None  # training learns from nothing
    return algorithm


def name_of(plan: PopulationPlan) -> str:
    """What tells the population from others: a digest of its plan."""
    return hashlib.sha256(json.dumps(dump(plan), sort_keys=True).encode()).hexdigest()[:16]


def _trained(plan: PopulationPlan, runs: Runs, number: int, members: Generation, told: Told) -> Generation:
    """All members, trained side by side."""
    started = []
    for i, (member, seed) in enumerate(
        zip(members, seeds(plan.seed, f"population-{number}", len(members)), strict=True)
    ):
        asked = replace(training_of(plan, member.values, number), policy=member.start, seed=seed)
        started.append(replace(member, run=runs.start(_named(plan, asked, number, i))))
    return tuple(_learnt(runs, member, number, i, told) for i, member in enumerate(started))


def _measured(plan: PopulationPlan, runs: Runs, number: int, members: Generation) -> Generation:
    """All members that didn't fail, each measured in the same episodes of the same tasks."""
    common = RunRequest(
        tasks=plan.tasks,
        kind="evaluate",
        settings=dump(plan.measuring),
        num_tasks=plan.measured_tasks,
        task_seed=plan.measured_seed,
        seed=plan.measured_seed,
    )
    started = []
    for i, member in enumerate(members):
        asked = _named(plan, replace(common, policy=member.policy), number, i)
        started.append(replace(member, measured_by=runs.start(asked)) if member.policy else member)
    found = tuple(_scored(runs, member) if member.policy else member for member in started)
    if all(member.score is None for member in found):
        raise RunEnded(f"generation {number + 1}: every member failed, the first since {found[0].error}")
    return found


def _named(plan: PopulationPlan, asked: RunRequest, number: int, i: int) -> RunRequest:
    """The request under the name that belongs to a member in a generation alone."""
    once = f"population-{name_of(plan)}-{number}-{i}-{asked.kind}"
    return replace(asked, label=f"generation {number + 1}, member {i + 1}", request_id=once)


def _learnt(runs: Runs, member: Member, number: int, i: int, told: Told) -> Member:
    """A member whose training is over; one that failed says why."""
    news = None
    for news in runs.follow(member.run):
        told(number, i, news)
    if news is not None and news.state == FAILED:
        return replace(member, error=news.error or UNKNOWN)
    return replace(member, policy=completed(news).policy_id)


def _scored(runs: Runs, member: Member) -> Member:
    """A member that has been measured; a policy that can't be measured has failed."""
    found, news = float("nan"), None
    for news in runs.follow(member.measured_by):
        found = next((metrics[REWARD] for metrics in news.metrics.values() if REWARD in metrics), found)
    if news is not None and news.state == FAILED:
        return replace(member, error=news.error or UNKNOWN)
    completed(news)
    return replace(member, score=found) if isfinite(found) else replace(member, error=f"its {REWARD} is no number")
