"""Meta-training iterations on sinusoids (25 tasks, 10 points, MLP 40-40) by this library and in others' ways.

Every function here returns one iteration: tasks are given, the meta-gradient is computed, Adam takes a step.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from bench.cases import SEED
from bench.report import BenchRow
from bench.timing import interleave, seconds
from bench.validation.sinusoid import end_alone
from lwmecps_core import meta
from lwmecps_core.algorithms.base import Batch
from lwmecps_core.meta.base import collections
from lwmecps_core.meta.compiled import Compiled
from lwmecps_core.optimiser import PackedOptimiser
from lwmecps_core.training.sinusoids import HIDDEN, SquaredError, Waves

TASKS, SHOTS, INNER_LR, OUTER_LR = 25, 10, 0.01, 1e-3
REPEATS = 50
"""Iterations of ours in a round: after others' rounds the first few find cold caches."""
Iteration = Callable[[], object]


def data() -> tuple[Batch, Batch]:
    """Support and query points of all tasks."""
    generator = torch.Generator().manual_seed(SEED)
    waves = Waves.draw(TASKS, generator)
    return waves.points(SHOTS, generator), waves.points(SHOTS, generator)


def ours(method: str, steps: int, *, compiled: bool = False) -> Iteration:
    """All tasks at once through explicit batched products, the meta-gradient compiled or not."""
    problem, learner = SquaredError(), meta.make(end_alone(method))
    if compiled:
        learner = Compiled(learner)
    params = problem.init(torch.Generator().manual_seed(SEED))
    rates = learner.init(problem, params, INNER_LR)
    outer = PackedOptimiser(params, OUTER_LR, max_grad_norm=float("inf"))
    support, query = data()
    points = [support] * (collections(learner, steps) - 1) + [query]

    def iteration() -> Any:
        found = learner.meta_gradient(problem, outer.params, {}, rates, points, steps)
        outer.step(found.params)
        return found.params

    return iteration


def by_torchopt(steps: int) -> Iteration:
    """TorchOpt's functional optimisers under `vmap` over tasks."""
    import torchopt  # only this needs it

    inner, outer = torchopt.sgd(INNER_LR), torchopt.adam(OUTER_LR)
    params = SquaredError().init(torch.Generator().manual_seed(SEED))["net"]
    state: Any = outer.init(params)
    support, query = data()

    def after_steps(start: dict[str, Tensor], support: Batch, query: Batch) -> Tensor:
        adapted, moments = start, inner.init(start)
        for _ in range(steps):
            found = grad(_error)(adapted, support)
            updates, moments = inner.update(found, moments, params=adapted, inplace=False)
            adapted = torchopt.apply_updates(adapted, updates, inplace=False)
        return _error(adapted, query)

    def objective(start: dict[str, Tensor]) -> Tensor:
        return vmap(after_steps, in_dims=(None, 0, 0))(start, support, query).mean()

    def iteration() -> Any:
        nonlocal params, state
        found = grad(objective)(params)
        updates, state = outer.update(found, state, params=params, inplace=False)
        params = torchopt.apply_updates(params, updates, inplace=False)
        return {"net": found}

    return iteration


def by_loop(steps: int) -> Iteration:
    """A Python loop over tasks, `torch.func.functional_call` of one module, `torch.optim.Adam`."""
    net = nn.Sequential(nn.Linear(1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    flat = SquaredError().init(torch.Generator().manual_seed(SEED))["net"]
    names = {"hidden0": "0", "hidden1": "2", "out": "4"}
    net.load_state_dict(
        {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": x.mT if x.dim() > 1 else x for n, x in flat.items()}
    )
    start = dict(net.named_parameters())
    outer = torch.optim.Adam(start.values(), OUTER_LR)
    support, query = data()

    def error(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(functional_call(net, params, x), y)

    def iteration() -> Any:
        total: Any = 0.0
        for task in range(TASKS):
            adapted = start
            for _ in range(steps):
                loss = error(adapted, support["x"][task], support["y"][task])
                found = torch.autograd.grad(loss, list(adapted.values()), create_graph=True)
                adapted = {n: x - INNER_LR * g for (n, x), g in zip(adapted.items(), found, strict=True)}
            total = total + error(adapted, query["x"][task], query["y"][task])
        outer.zero_grad()
        (total / TASKS).backward()
        of_layers = {n: start[f"{names[n.split('.')[0]]}.{n.split('.')[1]}"].grad for n in flat}
        outer.step()
        return {"net": {n: g.mT if g.dim() > 1 else g for n, g in of_layers.items()}}  # type: ignore[union-attr]

    return iteration


def each(work: Iteration, repeats: int) -> float:
    """Processor time of one iteration, by `repeats` of them."""
    return seconds(lambda: [work() for _ in range(repeats)]) / repeats


def speed(name: str, others: Callable[[int], Iteration], against: str, *, floor: float, repeats: int) -> BenchRow:
    """Ours compiled against `others` at 1 and 5 inner steps; the worse ratio counts."""
    detail: dict[str, dict[str, float]] = {}
    for steps in (1, 5):
        theirs, own = others(steps), ours("maml", steps, compiled=True)
        pair = interleave(lambda work=theirs: each(work, repeats), lambda work=own: each(work, REPEATS))
        plain = ours("maml", steps)
        plain()
        detail[f"{steps} inner steps"] = {
            "ratio": pair.ratio,
            "other_ms": 1e3 * pair.measured,
            "compiled_ms": 1e3 * pair.reference,
            "uncompiled_ms": 1e3 * each(plain, REPEATS),
        }
    worst = min(d["ratio"] for d in detail.values())
    return BenchRow(
        name=name,
        value=1e3 / detail["5 inner steps"]["compiled_ms"],
        unit="meta-iterations/s",
        ratio=worst,
        against=f"{against} (the worse of 1 and 5 inner steps)",
        floor=f">= {floor:g} times",
        met=worst >= floor,
        detail=detail,
    )


def _error(net: dict[str, Tensor], batch: Batch) -> Tensor:
    return SquaredError().losses({"net": net}, {}, batch)["net"]
