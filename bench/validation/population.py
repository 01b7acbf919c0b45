"""Population-based training where the best settings change while it learns: two problems in closed form.

The first is the paper's (Jaderberg et al. 2017, arXiv:1711.09846, figure 2): ascend Q(θ) = 1.2 − θ₀² − θ₁² by the
gradient of 1.2 − h₀θ₀² − h₁θ₁², from θ = (0.9, 0.9); one member begins with h = (1, 0), the other with (0, 1). The
second is gradient descent on noisy samples of ½(θ − x)², x ~ N(0, 1), from θ = 10 (Schaul et al. 2013,
arXiv:1206.1106): with the rate α the mean of θ² becomes (1 − α)²θ² + α², so that the best rate, θ² / (θ² + 1), falls.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.validation.results import RESULTS, write
from lwmecps_core.choosing.population import Member, PopulationPlan, Values, begun, descended
from lwmecps_core.choosing.span import Span

OUT = RESULTS / "validation-population.json"
SEEDS = tuple(range(100))
SHARE = Span(low=0.0, high=1.0, scale="linear")
TWO = PopulationPlan(
    numbers={"h0": SHARE, "h1": SHARE}, first={"h0": 1.0, "h1": 0.0}, members=2, generations=40, factors=(0.8, 1.2)
)
RATES = PopulationPlan(numbers={"rate": Span(low=1e-3, high=1.0)}, members=8, generations=20)
STEPS, ASCENT = {"two": 5, "rates": 10}, 0.02
"""Of each generation, and the rate of ascent on the first problem."""
START = 100.0
"""Mean of θ² at the start of the second."""
GRID = np.geomspace(1e-3, 1.0, 10_000)
"""Constant rates that are all tried out."""
Floats = NDArray[np.float64]
Learn = Callable[[Floats, Values], Floats]


def ascended(theta: Floats, values: Values) -> Floats:
    """θ `[2]` after a generation on the first problem."""
    h = np.array([values["h0"], values["h1"]])
    return theta * (1.0 - 2.0 * ASCENT * h) ** STEPS["two"]


def quality(theta: Floats) -> float:
    """Q of the first problem."""
    return float(1.2 - np.square(theta).sum())


def settled(mean_square: Floats, values: Values) -> Floats:
    """The mean of θ² `[1]` after a generation on the second problem."""
    return noisy(mean_square, np.full(STEPS["rates"], values["rate"]))


def noisy(mean_square: Any, rates: Floats) -> Any:
    """The mean of θ² after one step with each of the rates `[T]` or `[T, ...]`."""
    for rate in rates:
        mean_square = (1.0 - rate) ** 2 * mean_square + rate**2
    return mean_square


def evolved(
    plan: PopulationPlan, start: Floats, learn: Learn, score: Callable[[Floats], float], second: Values | None = None
) -> float:
    """The best score in the end of a population whose weights all begin as `start`; `second` is of the other member."""
    members = list(begun(plan))
    if second is not None:
        members[1] = Member(values=second)
    weights = [start] * plan.members
    for number in range(plan.generations):
        if number:
            members = list(descended(plan, tuple(members), number))
            weights = [weights[i if m.parent is None else m.parent] for i, m in enumerate(members)]
        weights = [learn(x, m.values) for x, m in zip(weights, members, strict=True)]
        members = [replace(m, score=score(x)) for m, x in zip(members, weights, strict=True)]
    return max(m.score for m in members if m.score is not None)


def of_two(plan: PopulationPlan) -> float:
    """Q that the paper's two members reach."""
    return evolved(plan, np.array([0.9, 0.9]), ascended, quality, {"h0": 0.0, "h1": 1.0})


def of_rates(plan: PopulationPlan) -> float:
    """The mean of θ² that a population of rates reaches."""
    return -evolved(plan, np.array([START]), settled, lambda x: -float(x[0]))


def run(
    run_seeds: Sequence[int] = SEEDS, out: Path = OUT, say: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Both problems by populations with every seed, and by what is known of them without one."""
    steps = RATES.generations * STEPS["rates"]
    constant = noisy(START, np.broadcast_to(GRID, (steps, len(GRID))))
    down = noisy(START, np.linspace(1.0, 0.0, steps, endpoint=False)[:, None] * GRID)
    alone = replace(TWO, replaced_share=0.0)
    found = {
        "Q: two members, each alone": [of_two(alone)],
        "Q: two members, a population": [of_two(replace(TWO, seed=seed)) for seed in run_seeds],
        "Q: the largest there is": [1.2],
        "θ²: 8 constant rates, the best": [of_rates(replace(RATES, replaced_share=0.0, seed=s)) for s in run_seeds],
        "θ²: 10,000 constant rates, the best": [float(constant.min())],
        "θ²: 10,000 rates that fall evenly to 0, the best": [float(down.min())],
        "θ²: a population of 8": [of_rates(replace(RATES, seed=seed)) for seed in run_seeds],
        "θ²: the best rate in every step": [1.0 / (1.0 / START + steps)],
    }
    rows: list[dict[str, Any]] = []
    for name, values in found.items():
        x = np.array(values)
        spread = {"least": float(x.min()), "largest": float(x.max())} if len(x) > 1 else {}
        rows.append({"name": name, "mean": float(x.mean()), **spread, "seeds": len(x) if len(x) > 1 else 0})
        say(f"{name}: {x.mean():.4g}")
    write(rows, out, ("numpy",))
    return rows
