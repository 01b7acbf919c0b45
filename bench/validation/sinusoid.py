"""Sinusoids from a few points (Finn et al. 2017, arXiv:1703.03400, section 5.1), by every meta-learner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core import meta
from lwmecps_core.algorithms.base import Params
from lwmecps_core.meta.base import collections
from lwmecps_core.meta.compiled import Compiled
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.optimiser import PackedOptimiser
from lwmecps_core.run_config import META_LEARNERS, MetaConfig, MetaLearnerConfig
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.sinusoids import SquaredError as SquaredError
from lwmecps_core.training.sinusoids import Waves as Waves
from lwmecps_core.tree import detached, expanded

OUT = RESULTS / "validation-sinusoid.json"
META_BATCH = 25
STEPS = (1, 5, 10)
TEST_TASKS, TEST_POINTS = 1000, 100


@dataclass(frozen=True)
class SinusoidCase:
    """One way to learn a start; `published` has the mean squared error after 1, 5 and 10 steps where one is known."""

    name: str
    shots: int
    cfg: MetaConfig
    published: tuple[float | None, float | None, float | None] = (None, None, None)
    iterations: int = 70_000
    pretraining: bool = False
    compiled: bool = True


def end_alone(method: str, **others: Any) -> MetaLearnerConfig:
    """A meta-learner whose objective is the end of adaptation alone, with one rate for all parameters."""
    cls = META_LEARNERS[method]
    wanted = {"multi_step_loss": 0.0, "learn_inner_lr": False}
    return cls(**{name: value for name, value in wanted.items() if hasattr(cls, name)}, **others)


def _config(learner: MetaLearnerConfig, **others: Any) -> MetaConfig:
    return MetaConfig(learner=learner, outer_lr=1e-3, **({"adaptation_steps": 1, "inner_lr": 0.01} | others))


# Nothing in an implicit gradient keeps the inner problem's curvature low, so that descent diverges at last: at a rate
# of 0.01 after some 450 iterations, at this one after some 2,400.
IMPLICIT = _config(end_alone("imaml", proximal=2.0, solver_steps=5), adaptation_steps=16, inner_lr=0.003)
REPTILE = _config(end_alone("reptile"), adaptation_steps=4)
MAML, FOMAML = _config(end_alone("maml")), _config(end_alone("fomaml"))
CASES = (
    SinusoidCase("MAML", 5, MAML, (0.60, 0.46, None)),
    SinusoidCase("MAML", 10, MAML, (0.35, 0.17, 0.12)),
    SinusoidCase("FOMAML", 5, FOMAML, (0.67, 0.37, 0.34)),
    SinusoidCase("FOMAML", 10, FOMAML, (0.40, 0.14, 0.11)),
    SinusoidCase("Reptile", 10, REPTILE, iterations=30_000),
    SinusoidCase("iMAML", 10, IMPLICIT, iterations=2_000, compiled=False),
    SinusoidCase("multi-task pretraining", 10, MAML, (2.56, 2.26, 2.17), iterations=20_000, pretraining=True),
)


def meta_train(case: SinusoidCase, seed: int) -> Params:
    """The start after `case.iterations` iterations of Adam at 1e-3, 25 new tasks each."""
    problem, learner = SquaredError(), meta.make(case.cfg.learner)
    if case.compiled:
        learner = Compiled(learner)
    generator = torch_generator(seed, "sinusoid")
    params = problem.init(generator)
    rates, steps = learner.init(problem, params, case.cfg.inner_lr), case.cfg.adaptation_steps
    outer = PackedOptimiser(params, case.cfg.outer_lr, max_grad_norm=float("inf"))
    for _ in range(case.iterations):
        waves = Waves.draw(META_BATCH, generator)
        support, query = (waves.points(case.shots, generator) for _ in range(2))
        if case.pretraining:
            found = meta_gradient(problem, outer.params, {}, rates, [], query)
        else:
            points = [support] * (collections(learner, steps) - 1) + [query]
            found = learner.meta_gradient(problem, outer.params, {}, rates, points, steps)
        outer.step(found.params)
    return detached(outer.params)


def errors(case: SinusoidCase, start: Params, seed: int) -> list[Tensor]:
    """Mean squared errors `[TEST_TASKS]` of new tasks, before adaptation and after each of 10 inner steps."""
    problem, learner = SquaredError(), meta.make(case.cfg.learner)
    generator = torch_generator(seed, "sinusoid-test")
    waves = Waves.draw(TEST_TASKS, generator)
    support, test = waves.points(case.shots, generator), waves.points(TEST_POINTS, generator)
    origin = current = expanded(start, TEST_TASKS)
    rates = learner.init(problem, origin, case.cfg.inner_lr)
    measured = [problem.losses(current, {}, test)["net"]]
    for _ in range(max(STEPS)):
        current = learner.step(problem, origin, current, {}, rates, support)
        measured.append(problem.losses(current, {}, test)["net"])
    return [x.detach() for x in measured]


def run(
    cases: Sequence[SinusoidCase] = CASES,
    seed: int = 0,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
    iterations: int | None = None,
) -> list[dict[str, Any]]:
    """Train and measure every case; one row per case, written to `out` after each. `iterations` shortens all."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for case in cases:
        case = replace(case, iterations=iterations or case.iterations)
        found = errors(case, meta_train(case, seed), seed)
        rows.append(
            {
                "name": f"{case.name}, {case.shots} shots",
                "ours": {str(step): mean_ci95(found[step].numpy()) for step in (0, *STEPS)},
                "published": {str(s): x for s, x in zip(STEPS, case.published, strict=True) if x is not None},
                "iterations": case.iterations,
                "seeds": [seed],
                "test_tasks": TEST_TASKS,
            }
        )
        say(f"{rows[-1]['name']}: " + ", ".join(f"{step} {np.mean(found[step].numpy()):.2f}" for step in (0, *STEPS)))
        write(rows, out)
    return rows
