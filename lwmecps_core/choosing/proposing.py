"""Settings for a family of clusters that is new, proposed from what runs on other families reached.

A Gaussian process over settings and families (Bardenet et al. 2013, "Collaborative hyperparameter tuning", ICML, who
rank; the covariance as a product over both, and returns that are standardised within each family, as Yogatama and Mann
2014, AISTATS). With z the reward of a run, less the mean of its family's runs and over their standard deviation,

    z = f(x, c) + ε,   cov f = (1 − ν) exp(−‖x − x'‖² / 2ℓ²) exp(−‖c − c'‖² / 2λ²),   ε ~ N(0, ν),

x the settings (`coded`) and c what the family's tasks are like (`likenesses`). ν, ℓ and λ are those of `GRID` under
which the runs are likeliest. Of the settings that were tried, and the defaults, those are proposed whose posterior mean
for the new family is highest: nothing that no run has had, and the defaults where nothing is expected to be better.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import isfinite, log, pi
from types import MappingProxyType
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import dump
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import AlgorithmConfig, TrainConfig

Floats = NDArray[np.float64]
Setting = float | int | str | bool | None
Settings = Mapping[str, Setting]
FEWEST_FAMILIES, FEWEST_RUNS, MOST_RUNS = 2, 3, 1000
"""Of families and of runs on each below which nothing is proposed; the newest runs beyond which none are looked at."""
GRID = tuple(product((0.05, 0.1, 0.2, 0.4, 0.7), (0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0, 1e6)))
"""ν, ℓ and λ that are tried; with the last λ families differ in nothing."""
ALGORITHM, MEASURES = "algorithm", ("evaluation_episodes",)
"""What the algorithm's name is called among settings, and settings that change nothing in what is learnt."""
ROUNDING = 1e-9
"""Features that vary by no more over families are the same for all."""
WIDE = 10.0
"""A number that varies by such a factor is compared by its logarithm (or by that of what it lacks to 1)."""


@dataclass(frozen=True)
class Past:
    """A run that is over: on which family, with which settings, and the reward that it reached."""

    family: str
    settings: Settings
    reward: float


@dataclass(frozen=True)
class Proposal:
    """Settings for a family, and what they are based on.

    `gain` is what they are expected to earn more than the defaults there, `gain_sd` how sure that is, both in standard
    deviations of the rewards of a family's runs. `likeness` is how much a family counts: 1 would be the very same one.
    """

    settings: Settings
    gain: float
    gain_sd: float
    runs: int
    likeness: Mapping[str, float]
    tried: int
    """Different settings among the runs."""
    noise: float
    """ν: the part of the rewards' variance that settings don't explain."""


def propose(
    past: Sequence[Past],
    families: Mapping[str, Mapping[str, float]],
    new: str,
    default: Settings,
    given: Settings = MappingProxyType({}),
) -> Proposal:
    """What to learn with on the family `new`, which `families` (name → what its tasks are like) has beside the others.

    `past` is from the newest run to the oldest; what is `given`, such as how long training may take, is not chosen, and
    is part of what is proposed. Raises `InvalidInput` where too little is known.
    """
    known = usable(past)
    tried = [{**run.settings, **given} for run in known]
    candidates = list({_key(one): one for one in ({**default, **given}, *tried)}.values())
    x = coded([*(run.settings for run in known), *candidates])
    c = likenesses([*(run.family for run in known), *(new for _ in candidates)], families)
    n, z = len(known), standardised(known)
    noise, width, reach = max(GRID, key=lambda at: evidence(covariance(x[:n], c[:n], at), z))
    every = covariance(x, c, (noise, width, reach)) - noise * np.eye(len(x))
    mean, spread = posterior(every, n, noise, z)
    best = int(mean.argmax())
    variance = spread[best, best] + spread[0, 0] - 2.0 * spread[best, 0]
    apart = {run.family: float(np.square(c[i] - c[n]).sum()) for i, run in enumerate(known)}
    return Proposal(
        settings=candidates[best],
        gain=float(mean[best] - mean[0]),
        gain_sd=float(np.sqrt(max(0.0, variance))),
        runs=n,
        likeness={name: float(np.exp(-d / (2.0 * reach**2))) for name, d in apart.items()},
        tried=len({_key(run.settings) for run in known}),
        noise=noise,
    )


def flat(algorithm: AlgorithmConfig, training: TrainConfig) -> dict[str, Setting]:
    """Settings of a training as plain values under their names; a list is its JSON. What only measures is left out."""
    both = {**dump(training), **{ALGORITHM if n == "name" else n: x for n, x in dump(algorithm).items()}}
    return {n: json.dumps(x) if isinstance(x, list) else x for n, x in both.items() if n not in MEASURES}


def unflat(settings: Settings) -> dict[str, Any]:
    """The inverse of `flat`, as a file for `train --settings` has it: the algorithm's own stand under `algorithm`."""
    whole = {n: json.loads(x) if isinstance(x, str) and x.startswith("[") else x for n, x in settings.items()}
    own = {field.name for field in fields(TrainConfig)}
    learns_by = {"name" if n == ALGORITHM else n: x for n, x in whole.items() if n not in own}
    return {ALGORITHM: learns_by, **{n: x for n, x in whole.items() if n in own}}


def usable(past: Sequence[Past]) -> list[Past]:
    """The newest runs of families that have enough, with rewards that differ; raises `InvalidInput` for too few."""
    finite = [run for run in past if isfinite(run.reward)][:MOST_RUNS]
    rewards: dict[str, list[float]] = {}
    for run in finite:
        rewards.setdefault(run.family, []).append(run.reward)
    enough = {family for family, own in rewards.items() if len(own) >= FEWEST_RUNS and max(own) > min(own)}
    if len(enough) < FEWEST_FAMILIES:
        reason = (
            f"of {len(finite)} trainings on {len(rewards)} families {len(enough)} families have at least {FEWEST_RUNS} "
            f"that differ in reward, and {FEWEST_FAMILIES} such families are needed: too little is known yet"
        )
        raise InvalidInput("past runs", [Violation("runs", reason)])
    return [run for run in finite if run.family in enough]


def standardised(runs: Sequence[Past]) -> Floats:
    """Rewards `[n]` less their family's mean, over its standard deviation."""
    rewards, names = np.array([run.reward for run in runs]), np.array([run.family for run in runs])
    z = np.empty_like(rewards)
    for name in set(names):
        own = names == name
        z[own] = (rewards[own] - rewards[own].mean()) / rewards[own].std()
    return z


def coded(settings: Sequence[Settings]) -> Floats:
    """Settings as numbers `[n, F]`: of a number its place in [0, 1] between the least and the largest, of anything else
    (a name, nothing, a setting that only others have) one coordinate for each value, √½ where it is that, so that any
    two are 1 apart.
    """
    columns: list[Floats] = []
    for name in sorted({name for one in settings for name in one}):
        values = [one.get(name, "absent") for one in settings]
        numbers = [float(x) for x in values if _is_number(x)]
        low, high, to = _scale(numbers)
        if high > low:
            columns.append(np.array([(to(float(x)) - low) / (high - low) if _is_number(x) else 0.5 for x in values]))
        kinds = ["number" if _is_number(x) else repr(x) for x in values]
        if len(set(kinds)) > 1:
            columns += [np.array([0.5**0.5 if kind == one else 0.0 for one in kinds]) for kind in sorted(set(kinds))]
    return np.stack(columns, -1) if columns else np.zeros((len(settings), 0))


def _is_number(x: Setting) -> TypeGuard[float]:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _scale(numbers: Sequence[float]) -> tuple[float, float, Callable[[float], float]]:
    """The least and the largest of numbers, on the scale on which they are compared, and the way there."""
    if not numbers:
        return 0.0, 0.0, float
    low, high = min(numbers), max(numbers)
    if low > 0.0 and high >= WIDE * low:
        return log(low), log(high), log
    if low > 0.0 and high < 1.0 and 1.0 - low >= WIDE * (1.0 - high):
        return -log(1.0 - low), -log(1.0 - high), lambda x: -log(1.0 - x)
    return low, high, float


def likenesses(names: Sequence[str], families: Mapping[str, Mapping[str, float]]) -> Floats:
    """What each one's family is like `[n, F]`: every number in standard deviations over the families, and over √F, so
    that two families are some 1 apart.
    """
    features = sorted({name for about in families.values() for name in about})
    table = np.array([[about.get(name, 0.0) for name in features] for about in families.values()])
    spread = table.std(0)
    differs = spread > ROUNDING
    scaled: Floats = (table - table.mean(0))[:, differs] / spread[differs] / max(1, differs.sum()) ** 0.5
    at = {name: i for i, name in enumerate(families)}
    return scaled[[at[name] for name in names]]


def covariance(x: Floats, c: Floats, at: tuple[float, float, float]) -> Floats:
    """Of what runs with settings `x` on families `c` reach `[n, n]`, their noise included; `at` is ν, ℓ and λ."""
    noise, width, reach = at
    apart = _squares(x) / width**2 + _squares(c) / reach**2
    made: Floats = (1.0 - noise) * np.exp(-0.5 * apart) + noise * np.eye(len(x))
    return made


def _squares(x: Floats) -> Floats:
    length = np.square(x).sum(-1)
    apart: Floats = np.maximum(length[:, None] + length[None] - 2.0 * x @ x.T, 0.0)
    return apart


def evidence(cov: Floats, z: Floats) -> float:
    """Log-likelihood of `z` `[n]` under N(0, cov)."""
    lower = np.linalg.cholesky(cov)
    white = np.linalg.solve(lower, z)
    return float(-0.5 * white @ white - np.log(np.diag(lower)).sum() - 0.5 * len(z) * log(2.0 * pi))


def posterior(every: Floats, n: int, noise: float, z: Floats) -> tuple[Floats, Floats]:
    """Mean `[m]` and covariance `[m, m]` of f at the last m points, given `z` at the first n; `every` is the prior's
    covariance of f at all `[n + m, n + m]`.
    """
    lower = np.linalg.cholesky(every[:n, :n] + noise * np.eye(n))
    across, white = np.linalg.solve(lower, every[:n, n:]), np.linalg.solve(lower, z)
    return across.T @ white, every[n:, n:] - across.T @ across


def _key(settings: Settings) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in settings.items()))
