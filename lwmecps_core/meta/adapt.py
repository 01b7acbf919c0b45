"""The inner loop: gradient steps on support data, one set of parameters per task, differentiable if asked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.batch import FIELDS, RolloutBatch
from lwmecps_core.tree import leaves, with_leaves


def gradients(losses: dict[str, Tensor], params: Params, *, create_graph: bool = False) -> Params:
    """Each group's gradient of its own loss (summed over tasks, which don't share parameters)."""
    result: Params = {}
    for group, names in params.items():
        wanted = list(names.values())
        # The graph is freed with the last group.
        keep = create_graph or group != list(params)[-1]
        grads = torch.autograd.grad(losses[group].sum(), wanted, create_graph=create_graph, retain_graph=keep)
        result[group] = dict(zip(names, grads, strict=True))
    return result


def inner_step(params: Params, rates: Params, grads: Params) -> Params:
    """θ′ = θ − α ∘ ∇L, leaf by leaf (Finn et al. 2017, arXiv:1703.03400, equation 1; α per parameter: Meta-SGD)."""
    return {
        g: {n: leaf - rates[g][n] * grads[g][n] for n, leaf in names.items()} for g, names in params.items()
    }  # fmt: skip


def adapt(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, support: Sequence[Batch], *,
    create_graph: bool = False,
) -> Params:  # fmt: skip
    """One inner step for every batch in `support`, differentiable with respect to `params` and `rates` if asked."""
    for batch in support:
        losses = algo.losses(params, extra, batch)
        params = inner_step(params, rates, gradients(losses, params, create_graph=create_graph))
    return params


def adapted_once(algo: Algorithm, params: Params, extra: Extra, rates: Params, batch: Batch) -> Params:
    """One inner step whose result is outside every graph: what a policy does when it meets a new cluster."""
    fresh = with_leaves(params, (leaf.detach().requires_grad_() for leaf in leaves(params)))
    stepped = inner_step(fresh, rates, gradients(algo.losses(fresh, extra, batch), fresh))
    return with_leaves(stepped, (leaf.detach() for leaf in leaves(stepped)))


def stacked(batches: Sequence[RolloutBatch]) -> Batch:
    """Rollouts of K tasks as tensors `[K, T(+1), B, ...]`."""
    data = {name: torch.stack([torch.as_tensor(getattr(b, name)) for b in batches]) for name in FIELDS}
    extras = {name: torch.stack([torch.as_tensor(b.extras[name]) for b in batches]) for name in batches[0].extras}
    return data | extras
