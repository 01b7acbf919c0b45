"""Model-agnostic meta-learning over any algorithm, second- and first-order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import gradients, inner_step
from lwmecps_core.tree import expanded, expanded_extra, leaves, tree_map, with_leaves


@dataclass(frozen=True)
class MetaGradient:
    """Gradients for the shared start and the inner rates, and the losses `[K]` before and after adaptation."""

    params: Params
    rates: Params
    loss_before: Tensor
    loss_after: Tensor


def meta_gradient(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, support: Sequence[Batch], query: Batch,
    *, first_order: bool = False, step_weights: Sequence[float] | None = None,
) -> MetaGradient:  # fmt: skip
    """Gradient of the mean loss over K tasks after one inner step per support batch.

    `params` and `rates` have no task axis, batches do; only the groups in `rates` take inner steps. `support[j]` was
    collected by the parameters after j steps, `query` by those after the last. `step_weights` (one per inner step and
    one for the end) also weigh the loss at every intermediate point on the data collected there, which keeps the start
    and each step of adaptation good (multi-step loss: Antoniou et al. 2019, MAML++, arXiv:1810.09502, equation 6); by
    default the end alone counts. First-order takes the inner gradients as constants (Finn et al. 2017,
    arXiv:1703.03400, section 5.2).
    """
    points = [*support, query]
    weights = tuple(step_weights) if step_weights is not None else (0.0,) * len(support) + (1.0,)
    many_extra = expanded_extra(extra, query["weight"].shape[0])
    compute = _first_order if first_order else _second_order
    return compute(algo, params, many_extra, rates, points, weights)


def _second_order(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, points: Sequence[Batch], weights: Sequence[float]
) -> MetaGradient:
    """Backpropagation through the whole chain of inner steps."""
    start = with_leaves(params, (leaf.detach().requires_grad_() for leaf in leaves(params)))
    learnt = with_leaves(rates, (leaf.detach().requires_grad_() for leaf in leaves(rates)))
    current = expanded(start, points[0]["weight"].shape[0])
    objective = torch.zeros((), dtype=leaves(params)[0].dtype)
    values: list[Tensor] = []
    for j, (batch, weight) in enumerate(zip(points, weights, strict=True)):
        losses = algo.losses(current, extra, batch)
        total = torch.stack([losses[group] for group in current]).sum(0)
        values.append(total.detach())
        if weight:
            objective = objective + weight * total.mean()
        if j < len(points) - 1:
            current = inner_step(current, learnt, gradients(losses, current, learnt, create_graph=True))
    wanted = [*leaves(start), *leaves(learnt)]
    found = torch.autograd.grad(objective, wanted, allow_unused=True)
    grads = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
    size = len(leaves(start))
    return MetaGradient(with_leaves(params, grads[:size]), with_leaves(rates, grads[size:]), values[0], values[-1])


def _first_order(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, points: Sequence[Batch], weights: Sequence[float]
) -> MetaGradient:
    """One plain gradient per point: with constant inner gradients g, dθⱼ/dθ₀ = 1 and dθⱼ/dα = −Σ g of earlier steps."""
    tasks = points[0]["weight"].shape[0]
    current = tree_map(lambda leaf: leaf.detach().clone(), expanded(params, tasks))
    travelled = tree_map(torch.zeros_like, {group: current[group] for group in rates})
    of_params, of_rates = tree_map(torch.zeros_like, params), tree_map(torch.zeros_like, rates)
    values: list[Tensor] = []
    for batch, weight in zip(points, weights, strict=True):
        live = tree_map(lambda leaf: leaf.requires_grad_(), current)
        losses = algo.losses(live, extra, batch)
        values.append(torch.stack([losses[group].detach() for group in live]).sum(0))
        grads = gradients(losses, live)
        moving = {group: grads[group] for group in rates}
        of_params = tree_map(lambda total, g, w=weight: total + w * g.mean(0), of_params, grads)
        of_rates = tree_map(lambda total, g, s, w=weight: total - w * (g * s).mean(0), of_rates, moving, travelled)
        travelled = tree_map(torch.add, travelled, moving)
        current = tree_map(lambda leaf: leaf.detach(), inner_step(current, rates, grads))
    return MetaGradient(of_params, of_rates, values[0], values[-1])
