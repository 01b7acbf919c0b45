"""Model-agnostic meta-learning over any algorithm, second- and first-order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import gradients, inner_step
from lwmecps_core.tree import expanded, expanded_extra, leaves, with_leaves


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

    `params` and `rates` have no task axis, batches do. `support[j]` was collected by the parameters after j steps, `query`
    by those after the last. `step_weights` (one per inner step and one for the end) also weigh the loss at every
    intermediate point on the data collected there, which keeps the start and each step of adaptation good (multi-step
    loss: Antoniou et al. 2019, MAML++, arXiv:1810.09502, equation 6); by default the loss after the last step counts.
    First-order takes the inner gradients as constants (Finn et al. 2017, section 5.2).
    """
    tasks = query["weight"].shape[0]
    weights = tuple(step_weights) if step_weights is not None else (0.0,) * len(support) + (1.0,)
    start = with_leaves(params, (leaf.detach().requires_grad_() for leaf in leaves(params)))
    learnt = with_leaves(rates, (leaf.detach().requires_grad_() for leaf in leaves(rates)))
    current = expanded(start, tasks)
    per_task_extra = expanded_extra(extra, tasks)
    objective = torch.zeros((), dtype=leaves(params)[0].dtype)
    points: list[Tensor] = []
    for batch, weight in zip([*support, query], weights, strict=True):
        losses = algo.losses(current, per_task_extra, batch)
        total = torch.stack([losses[g] for g in current]).sum(0)
        points.append(total.detach())
        if weight:
            objective = objective + weight * total.mean()
        if batch is not query:
            steps = _inner_gradients(losses, current, first_order)
            current = inner_step(current, learnt, steps)
    wanted = [*leaves(start), *leaves(learnt)]
    found = torch.autograd.grad(objective, wanted, allow_unused=True)
    grads = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
    size = len(leaves(start))
    return MetaGradient(
        with_leaves(params, grads[:size]), with_leaves(rates, grads[size:]), points[0], points[-1]
    )  # fmt: skip


def _inner_gradients(losses: dict[str, Tensor], params: Params, first_order: bool) -> Params:
    """Inner gradients as part of the graph, or as constants."""
    if not first_order:
        return gradients(losses, params, create_graph=True)
    grads = {
        g: torch.autograd.grad(losses[g].sum(), list(names.values()), retain_graph=True) for g, names in params.items()
    }  # fmt: skip
    return {g: dict(zip(params[g], values, strict=True)) for g, values in grads.items()}
