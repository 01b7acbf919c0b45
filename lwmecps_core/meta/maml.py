"""Model-agnostic meta-learning over any algorithm, second- and first-order."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import inner_step
from lwmecps_core.meta.base import MetaGradient, point_weights
from lwmecps_core.meta.rates import Rates
from lwmecps_core.run_config import FOMAMLConfig, MAMLConfig
from lwmecps_core.tree import completed, expanded, expanded_extra, gradients, leaves, tree_map, with_leaves


class MAML(Rates):
    """One plain gradient step for every collection, and the gradient through all of them (Finn et al. 2017,
    arXiv:1703.03400), or with inner gradients held constant (`fomaml`, section 5.2 there).
    """

    def __init__(self, cfg: MAMLConfig | FOMAMLConfig) -> None:
        super().__init__(cfg.rate_lr)
        self._cfg = cfg

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """See `meta_gradient`; with respect to the logarithms of the rates."""
        found = meta_gradient(
            algo,
            params,
            extra,
            learnt,
            points[:-1],
            points[-1],
            first_order=self._cfg.name == "fomaml",
            step_weights=point_weights(self._cfg.multi_step_loss, len(points)),
            learn_rates=self._cfg.learn_inner_lr,
        )
        return replace(found, learnt=tree_map(torch.mul, found.learnt, learnt))


def meta_gradient(
    algo: Algorithm,
    params: Params,
    extra: Extra,
    rates: Params,
    support: Sequence[Batch],
    query: Batch,
    *,
    first_order: bool = False,
    step_weights: Sequence[float] | None = None,
    learn_rates: bool = True,
) -> MetaGradient:
    """Mean over K tasks of Σ wⱼ (dφⱼ/dθ)ᵀ vⱼ, where φⱼ are the parameters after j inner steps and vⱼ each group's
    gradient there of its own loss.

    With one group, or groups whose losses don't meet, that is the gradient of the mean loss. An actor's loss also
    depends on the critic, but a critic must not learn to flatter its actor: so vⱼ has no cross-terms, while dφⱼ/dθ has
    all, since inner steps move groups together and each sees the others.

    `params` and `rates` have no task axis, batches do; only the groups in `rates` take inner steps. `support[j]` was
    collected by the parameters after j steps, `query` by those after the last. `step_weights` (one per inner step and
    one for the end) also weigh the intermediate points on the data collected there, which keeps the start and each
    step of adaptation good (multi-step loss: Antoniou et al. 2019, MAML++, arXiv:1810.09502, equation 6); by default
    the end alone counts. First-order takes the inner gradients as constants (Finn et al. 2017, arXiv:1703.03400,
    section 5.2). The rates have a gradient where they are learnt.
    """
    points = [*support, query]
    weights = tuple(step_weights) if step_weights is not None else (0.0,) * len(support) + (1.0,)
    many_extra = expanded_extra(extra, query["weight"].shape[0])
    compute = constant_steps if first_order else _second_order
    return compute(algo, params, many_extra, rates, points, weights, learn_rates)


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all groups' losses `[K]`, outside every graph: a figure to watch, not to descend."""
    return torch.stack([loss.detach() for loss in losses.values()]).sum(0)


def _second_order(
    algo: Algorithm,
    params: Params,
    extra: Extra,
    rates: Params,
    points: Sequence[Batch],
    weights: Sequence[float],
    learn_rates: bool,
) -> MetaGradient:
    """Backpropagation of all vⱼ through the whole chain of inner steps, in one pass."""
    start = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    rates = tree_map(lambda leaf: leaf.detach().requires_grad_(learn_rates), rates)
    tasks = points[0]["weight"].shape[0]
    current = expanded(start, tasks)
    reached: list[Tensor] = []
    pulls: list[Tensor] = []
    values: list[Tensor] = []
    for j, (batch, weight) in enumerate(zip(points, weights, strict=True)):
        last = j == len(points) - 1
        losses = algo.losses(current, extra, batch)
        values.append(total_loss(losses))
        moving = {} if last else gradients(losses, current, rates, create_graph=True)
        if weight:
            others = [group for group in current if group not in moving]
            found = moving | gradients(losses, current, others, retain_graph=not last)
            reached += leaves({group: current[group] for group in found})
            pulls += [x.detach() * (weight / tasks) for x in leaves(found)]
        if not last:
            # A view where nothing moves: else the next point's own gradients would run back through this step.
            current = inner_step(tree_map(lambda leaf: leaf.view_as(leaf), current), rates, moving)
    learnt = rates if learn_rates else {}
    wanted = [*leaves(start), *leaves(learnt)]
    pulled = torch.autograd.grad(reached, wanted, pulls, allow_unused=True)
    grads = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, pulled, strict=True)]
    size = len(leaves(start))
    return MetaGradient(with_leaves(params, grads[:size]), with_leaves(learnt, grads[size:]), values[0], values[-1])


def constant_steps(
    algo: Algorithm,
    params: Params,
    extra: Extra,
    rates: Params,
    points: Sequence[Batch],
    weights: Sequence[float],
    learn_rates: bool,
) -> MetaGradient:
    """One plain gradient per point: with constant inner gradients g, dθⱼ/dθ₀ = 1 and dθⱼ/dα = −Σ g of earlier steps.

    `extra` has a task axis, `params` and `rates` have none.
    """
    tasks = points[0]["weight"].shape[0]
    current = tree_map(lambda leaf: leaf.detach().clone(), expanded(params, tasks))
    learnt = rates if learn_rates else {}
    travelled = tree_map(torch.zeros_like, {group: current[group] for group in learnt})
    of_params, of_rates = tree_map(torch.zeros_like, params), tree_map(torch.zeros_like, learnt)
    values: list[Tensor] = []
    for j, (batch, weight) in enumerate(zip(points, weights, strict=True)):
        live = tree_map(lambda leaf: leaf.requires_grad_(), current)
        losses = algo.losses(live, extra, batch)
        values.append(total_loss(losses))
        found = gradients(losses, live)
        grads = completed(found, current)
        moving = {group: grads[group] for group in learnt}
        if weight:
            of_params = tree_map(lambda total, g, w=weight: total + w * g.mean(0), of_params, grads)
            of_rates = tree_map(lambda total, g, s, w=weight: total - w * (g * s).mean(0), of_rates, moving, travelled)
        if j < len(points) - 1:
            travelled = tree_map(torch.add, travelled, moving)
            current = tree_map(lambda leaf: leaf.detach(), inner_step(current, rates, found))
    return MetaGradient(of_params, of_rates, values[0], values[-1])
