"""Telling fleets of clusters apart from five examples of each: metric networks beside raw statistics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.validation.results import RESULTS, write
from lwmecps_core.context.portrait import standardised
from lwmecps_core.meta.likeness import MetricData
from lwmecps_core.meta.metric import REGISTRY, MetricConfig, make
from lwmecps_core.specs import FAMILIES, TaskDistribution
from lwmecps_core.statistics import interval
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.metric import (
    CLUSTERS,
    FLEETS,
    WATCHED,
    Floats,
    fleet_tasks,
    labels,
    learn,
    some_episodes,
    watched,
)
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-fleets.json"
TRAINING, HELD_OUT, PER_FAMILY = 6_000_000, 7_000_000, 40
"""First fleets that metrics are learnt from and that measure; clusters of each family that measure."""
SEEDS, EPISODES = (0, 1, 2, 3, 4), 400
RAW = ("nearest neighbour, raw", "nearest mean, raw", "nearest mean, whitened")


@dataclass(frozen=True)
class FleetProblem:
    """Clusters to tell apart, `[G, N, F]` standardised with 0 for what is not known."""

    name: str
    rows: Tensor


def run(
    seeds: Sequence[int] = SEEDS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
    fleets: int = FLEETS,
    steps: int = MetricConfig().steps,
) -> list[dict[str, Any]]:
    """Learn every metric with every seed and score it on held-out fleets; `fleets` and `steps` shorten it."""
    torch.set_num_threads(1)
    looks = fleet_looks(TaskDistribution(), TRAINING, fleets)
    problems = held_out(max(fleets // 3, 5))
    say(f"watched {fleets} fleets")
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        comparers = raw(looks)
        for name in REGISTRY:
            learnt = learn(list(looks.values()), MetricConfig(name=name, steps=steps), seed)
            comparers[name] = comparer(learnt)
        for name, compare in comparers.items():
            for problem in problems:
                found = accuracy(compare, problem.rows, seed)
                scores.setdefault(name, {}).setdefault(problem.name, []).append(found)
            say(f"seed {seed} {name}: " + ", ".join(f"{k} {x[-1]:.1%}" for k, x in scores[name].items()))
    rows = [
        {"name": name, "accuracy": {p: _summary(x) for p, x in by.items()}, "fleets": fleets, "seeds": list(seeds)}
        for name, by in scores.items()
    ]
    write(rows, out)
    return rows


def held_out(fleets: int) -> list[FleetProblem]:
    """New fleets after 20 intervals and after a day, larger clusters than were learnt from, and the five families."""
    small, large = TaskDistribution(), TaskDistribution(nodes=8, deployments=8)
    looks = fleet_looks(small, HELD_OUT, fleets)
    families = [draw(TaskDistribution(family=f), HELD_OUT + i) for f in FAMILIES for i in range(PER_FAMILY)]
    of_family = watched(families, WATCHED[-1:], HELD_OUT)[WATCHED[-1]].reshape(len(FAMILIES), PER_FAMILY, -1)
    return [
        *(FleetProblem(f"new fleets, {at} intervals", filled(x)) for at, x in looks.items()),
        FleetProblem("new fleets, 8 × 8", filled(fleet_looks(large, HELD_OUT + fleets, fleets)[WATCHED[-1]])),
        FleetProblem("the five families", filled(of_family)),
    ]


def fleet_looks(size: TaskDistribution, first: int, fleets: int) -> dict[int, Floats]:
    """Portraits `[G, N, F]` of fleets after each of `WATCHED` intervals."""
    tasks = fleet_tasks(size, range(first, first + fleets), CLUSTERS)
    return {at: x.reshape(fleets, CLUSTERS, -1) for at, x in watched(tasks, WATCHED, first).items()}


def filled(rows: Floats) -> Tensor:
    """As networks take portraits."""
    return torch.from_numpy(np.nan_to_num(standardised(rows), nan=0.0)).float()


Comparer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Support `[..., S, F]`, kinds `[..., S, K]`, query `[..., Q, F]` → scores `[..., Q, K]`."""


def raw(looks: Mapping[int, Floats]) -> dict[str, Comparer]:
    """Nothing learnt by descent: distances as they are, and after a linear map under which fleets of the training
    clusters are round (within-class covariance normalisation: Hatch et al. 2006, Interspeech).
    """
    rows = torch.cat([filled(x) for x in looks.values()])
    inside = (rows - rows.mean(1, keepdim=True)).flatten(0, 1)
    covariance = inside.T @ inside / len(inside)
    covariance += 0.1 * covariance.diagonal().mean() * torch.eye(len(covariance))
    whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))

    def neighbour(support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        far = torch.cdist(query, support)[..., None, :]
        return -torch.where(kinds.mT.bool()[..., None, :, :], far, torch.inf).amin(-1)

    def mean(support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        return -torch.cdist(query, kinds.mT @ support / kinds.sum(-2)[..., None])

    def whitened(support: Tensor, kinds: Tensor, query: Tensor) -> Tensor:
        return mean(support @ whitening, kinds, query @ whitening)

    return dict(zip(RAW, (neighbour, mean, whitened), strict=True))


def comparer(learnt: MetricData) -> Comparer:
    """What a network does."""
    metric = make(learnt.cfg)
    return lambda support, kinds, query: metric.scores(learnt.params, support, kinds, query)


def accuracy(compare: Comparer, rows: Tensor, seed: int) -> float:
    """Share of queries that are given their kind, over `EPISODES` episodes that are the same for all comparers."""
    cfg = MetricConfig()
    kinds, wanted = (x.expand(EPISODES, *x.shape) for x in labels(cfg))
    support, query = some_episodes(rows[None], cfg, EPISODES, torch_generator(seed, "episodes"))
    return float((compare(support, kinds, query).argmax(-1) == wanted).float().mean())


def _summary(values: Sequence[float]) -> dict[str, float]:
    found = interval(values)
    return {"mean": round(found.mean, 4), "ci95": round(found.ci95, 4) if len(values) > 1 else 0.0}
