"""Optimisers on held-out sinusoids: learnt ones beside Adam, whose rate and schedule are tuned on others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.validation.results import RESULTS, write
from lwmecps_core.meta import learnt_optimiser
from lwmecps_core.meta.learnt_optimiser import OptimiserConfig
from lwmecps_core.optimiser import scheduled
from lwmecps_core.run_config import ScheduleName
from lwmecps_core.statistics import interval
from lwmecps_core.training.learnt_optimiser import POINTS, PROBLEM, fresh, learn
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.sinusoids import Waves
from lwmecps_core.tree import Tree, detached, gradients, leaves, tree_map

OUT = RESULTS / "validation-optimisers.json"
SEEDS = (0, 1, 2)
CONFIG = OptimiserConfig()
STEPS = (10, 100, 300, 1000)
RATES = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
MEANS, SQUARES = (0.5, 0.9, 0.95), (0.9, 0.99, 0.999)
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)
TUNING_SEED, TEST_SEED = 700_000, 800_000
TUNING_TASKS, TEST_TASKS, TEST_POINTS = 64, 160, 100
Losses = NDArray[np.float64]
Step = Callable[[Tree], Tree]
"""Gradients `[K, ...]` → the parameters after a step against them."""


@dataclass(frozen=True)
class TunedAdam:
    """Adam with a rate and a schedule over so many steps (constant: over any)."""

    rate: float
    schedule: ScheduleName
    momenta: tuple[float, float] = (0.9, 0.999)

    def __str__(self) -> str:
        return f"{self.rate:g} {self.schedule} {self.momenta[0]:g} {self.momenta[1]:g}"

    def steps(self, params: Tree, total: int) -> Step:
        """The steps of one run."""
        current, made = detached(params), 0
        adam = torch.optim.Adam(leaves(current), self.rate, self.momenta, fused=True)

        def step(grads: Tree) -> Tree:
            nonlocal made
            adam.param_groups[0]["lr"] = self.rate * scheduled(self.schedule, 1.0, made, total)
            for leaf, pull in zip(leaves(current), leaves(grads), strict=True):
                leaf.grad = pull.contiguous()
            adam.step()
            made += 1
            return current

        return step


@dataclass(frozen=True)
class LearntSteps:
    """A network."""

    theta: Tree

    def steps(self, params: Tree, total: int) -> Step:
        """The steps of one run."""
        current, kept = params, learnt_optimiser.state(params)

        def step(grads: Tree) -> Tree:
            nonlocal current, kept
            with torch.no_grad():
                current, kept = learnt_optimiser.update(self.theta, grads, kept, current)
            return current

        return step


def losses(optimiser: TunedAdam | LearntSteps, tasks: int, marks: Sequence[int], seed: int) -> Iterator[Losses]:
    """Mean squared errors `[tasks]` on other points after so many steps; sinusoids, first weights and points of every
    step follow from the seed, and are the same for all optimisers.
    """
    generator = torch_generator(seed, "optimisers")
    waves, params, _ = fresh(tasks, generator)
    test, step = waves.points(TEST_POINTS, generator), optimiser.steps(params, max(marks))
    for made in range(1, max(marks) + 1):
        params = step(_gradient(params, waves, generator))
        if made in marks:
            found: Tensor = PROBLEM.losses(detached(params), {}, test)["net"]
            yield found.double().numpy()


def _gradient(params: Tree, waves: Waves, generator: torch.Generator) -> Tree:
    live = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    return gradients(PROBLEM.losses(live, {}, waves.points(POINTS, generator)), live)


def tuned(tasks: int, marks: Sequence[int]) -> dict[int, TunedAdam]:
    """For each number of steps the Adam that leaves the least mean loss, out of all rates with all schedules."""
    score: dict[tuple[int, TunedAdam], float] = {}
    for rate in RATES:
        constant = TunedAdam(rate, "constant")
        of_constant = losses(constant, tasks, marks, TUNING_SEED)
        score |= {(at, constant): float(x.mean()) for at, x in zip(marks, of_constant, strict=True)}
        for schedule, at in product(SCHEDULES[1:], marks):
            (last,) = losses(TunedAdam(rate, schedule), tasks, (at,), TUNING_SEED)
            score[at, TunedAdam(rate, schedule)] = float(last.mean())
    best: dict[int, TunedAdam] = {}
    for at in marks:
        mine = {adam: x for (steps, adam), x in score.items() if steps == at}
        best[at] = min(mine, key=lambda adam: mine[adam])
    return best


def with_momenta(best: Mapping[int, TunedAdam], tasks: int) -> dict[int, TunedAdam]:
    """The same with the best of other momenta, and of rates around that of the usual ones, too."""
    found: dict[int, TunedAdam] = {}
    for at, adam in best.items():
        tried = [
            replace(adam, rate=adam.rate * factor, momenta=momenta)
            for factor, momenta in product((0.5, 1.0, 2.0), product(MEANS, SQUARES))
        ]
        left = [float(next(losses(each, tasks, (at,), TUNING_SEED)).mean()) for each in tried]
        found[at] = tried[int(np.argmin(left))]
    return found


def run(
    seeds: Sequence[int] = SEEDS,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
    cfg: OptimiserConfig = CONFIG,
    marks: Sequence[int] = STEPS,
    tasks: tuple[int, int] = (TUNING_TASKS, TEST_TASKS),
) -> list[dict[str, Any]]:
    """Tune Adam, learn an optimiser with every seed, and measure all on held-out sinusoids; arguments shorten it."""
    torch.set_num_threads(1)
    tuning, held_out = tasks
    best = tuned(tuning, marks)
    better = with_momenta(best, tuning)
    for name, chosen in (("rate and schedule", best), ("and momenta", better)):
        say(f"Adam, {name}: " + ", ".join(f"{at} steps {adam}" for at, adam in chosen.items()))
    constant = TunedAdam(best[100 if 100 in best else marks[0]].rate, "constant")
    with_them, without = (
        {at: next(losses(adam, held_out, (at,), TEST_SEED)) for at, adam in chosen.items()} for chosen in (better, best)
    )
    rows = [
        _row("Adam, tuned for each column", with_them, with_them, chosen={str(at): str(x) for at, x in better.items()}),
        _row("the same with usual momenta", without, with_them, chosen={str(at): str(x) for at, x in best.items()}),
        _row("Adam, one constant rate", _marked(constant, held_out, marks), with_them, chosen={"all": str(constant)}),
        _row("Adam at 0.001", _marked(TunedAdam(1e-3, "constant"), held_out, marks), with_them),
    ]
    by_seed: list[dict[int, Losses]] = []
    for seed in seeds:
        by_seed.append(_marked(LearntSteps(learn(cfg, seed).theta), held_out, marks))
        say(f"learnt, seed {seed}: " + ", ".join(f"{at} {x.mean():.3f}" for at, x in by_seed[-1].items()))
        mean = {at: np.mean([each[at] for each in by_seed], axis=0) for at in marks}
        of_seeds = {str(at): [float(each[at].mean()) for each in by_seed] for at in marks}
        learnt = _row("learnt", mean, with_them, seeds=list(seeds[: len(by_seed)]), of_seeds=of_seeds)
        write([*rows, learnt], out)
    return [*rows, learnt]


def _marked(optimiser: TunedAdam | LearntSteps, tasks: int, marks: Sequence[int]) -> dict[int, Losses]:
    return dict(zip(marks, losses(optimiser, tasks, marks, TEST_SEED), strict=True))


def _row(name: str, found: Mapping[int, Losses], beside: Mapping[int, Losses], **others: Any) -> dict[str, Any]:
    """Mean losses, and how much less than the tuned Adam's, task by task."""
    return {
        "name": name,
        "loss": {str(at): _summary(x) for at, x in found.items()},
        "minus_tuned": {str(at): _summary(x - beside[at]) for at, x in found.items()},
        "test_tasks": len(next(iter(found.values()))),
    } | others


def _summary(values: Losses) -> dict[str, float]:
    found = interval(values)
    return {"mean": round(found.mean, 4), "ci95": round(found.ci95, 4)}
