"""Learning an optimiser: descent through its own steps on sinusoids, each new, from weights drawn anew."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.meta import learnt_optimiser as learnt
from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, OptimiserData, State
from lwmecps_core.optimiser import PackedOptimiser, scheduled
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.sinusoids import SquaredError, Waves
from lwmecps_core.tree import Tree, by_task, detached, gradients, leaves, tree_map, with_leaves

POINTS = 20
"""That a gradient is of; every step has new ones."""
USUAL_TASKS = 64
PROBLEM = SquaredError()


def learn(cfg: OptimiserConfig, seed: int) -> OptimiserData:
    """An optimiser from `cfg.steps` steps of Adam on truncated unrolls; a pure function of its arguments.

    Every step goes on with `cfg.tasks` problems for `cfg.unroll` steps of the optimiser and descends the mean of
    log(1 + loss / usual) there, `usual` being what Adam leaves at that age: early and late steps count alike, and one
    problem that gets out of hand doesn't outweigh all others. After `cfg.horizon` steps a problem is replaced; they
    take turns in that, so that any age is among them. The gradient is exact within an unroll, that through the
    gradients of the losses included; what came before it is taken as given, which prefers optimisers that are good soon
    (Metz et al. 2019, arXiv:1810.10180).
    """
    generator = torch_generator(seed, "optimiser")
    outer = PackedOptimiser(learnt.init(cfg, generator), cfg.learning_rate, max_grad_norm=1.0)
    waves, params, kept = fresh(cfg.tasks, generator)
    scale, turns = usual(cfg, seed), max(1, cfg.horizon // cfg.unroll)
    for step in range(cfg.steps):
        new = torch.tensor([step > 0 and (step + k) % turns == 0 for k in range(cfg.tasks)])
        waves, params, kept = replaced((waves, params, kept), fresh(cfg.tasks, generator), new)
        batches = [waves.points(POINTS, generator) for _ in range(cfg.unroll + 1)]
        outer.rate_share = scheduled("cosine", 1.0, step, cfg.steps)
        theta = tree_map(lambda leaf: leaf.detach().requires_grad_(), outer.params)
        objective, params, kept = unroll(theta, params, kept, batches, scale)
        found = with_leaves(theta, torch.autograd.grad(objective, leaves(theta)))
        if all(bool(x.isfinite().all()) for x in leaves(found)):
            outer.step(found)
        params, kept = detached(params), {name: x.detach() for name, x in kept.items()}
        lost = torch.cat([x.flatten(1) for x in leaves(params)], 1).isfinite().all(1).logical_not()
        waves, params, kept = replaced((waves, params, kept), fresh(cfg.tasks, generator), lost)
    return OptimiserData(cfg, detached(outer.params))


def unroll(
    theta: Tree, params: Params, kept: State, batches: Sequence[Batch], scale: Tensor
) -> tuple[Tensor, Params, State]:
    """Steps of an optimiser, one for each batch but the last: with a graph, the mean over steps and problems of
    log(1 + the loss after a step, on the next batch (no step is judged by the points that it has seen), over `scale` at
    that age); and where the steps led.
    """
    values: list[Tensor] = []
    current = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    losses = PROBLEM.losses(current, {}, batches[0])
    for batch in batches[1:]:
        found = gradients(losses, current, create_graph=True)
        current, kept = learnt.update(theta, found, kept, current)
        losses = PROBLEM.losses(current, {}, batch)
        age = kept["step"].long().clamp_max(len(scale) - 1)
        values.append(losses["net"] / scale[age])
    return torch.stack(values).log1p().mean(), current, kept


def usual(cfg: OptimiserConfig, seed: int) -> Tensor:
    """Mean losses `[cfg.horizon + 1]` of problems after so many steps of Adam at `cfg.first_rate`."""
    generator = torch_generator(seed, "usual")
    adam = learnt.init(cfg, generator)
    waves, params, kept = fresh(USUAL_TASKS, generator)
    found: list[Tensor] = []
    for _ in range(cfg.horizon + 1):
        params = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
        losses = PROBLEM.losses(params, {}, waves.points(POINTS, generator))
        found.append(losses["net"].detach().mean())
        gradient = gradients(losses, params)
        with torch.no_grad():
            params, kept = learnt.update(adam, gradient, kept, params)
    return torch.stack(found)


def fresh(tasks: int, generator: torch.Generator) -> tuple[Waves, Params, State]:
    """So many new sinusoids, random weights for each, and nothing remembered."""
    starts = [PROBLEM.init(generator) for _ in range(tasks)]
    params = tree_map(lambda *own: torch.stack(own), *starts)
    return Waves.draw(tasks, generator), params, learnt.state(params)


Problems = tuple[Waves, Params, State]


def replaced(old: Problems, new: Problems, where: Tensor) -> Problems:
    """Problems, and others in the places `[K]` that are marked."""
    waves, params, kept = old
    others, starts, _ = new

    def chosen(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(by_task(where, x), y, x)

    drawn = Waves(chosen(waves.amplitude, others.amplitude), chosen(waves.phase, others.phase))
    return drawn, tree_map(chosen, params, starts), learnt.forgotten(kept, where)
