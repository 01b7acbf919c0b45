"""Trees for tests of meta-gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.belief_ppo import GROUP as BELIEF_GROUP
from lwmecps_core.meta.adapt import inner_step
from lwmecps_core.tree import Tree, gradients, leaves, tree_map


def random_like(tree: Tree, seed: int) -> Tree:
    """Normal random numbers in the shape of a tree."""
    gen = torch.Generator().manual_seed(seed)
    return tree_map(lambda leaf: torch.randn(leaf.shape, generator=gen, dtype=leaf.dtype), tree)


def dot(first: Tree, second: Tree) -> Tensor:
    """Σ first ∘ second over the groups of the first."""
    parts = [(x * second[g][n]).sum() for g, names in first.items() for n, x in names.items()]
    return torch.stack(parts).sum()


def own_gradients(algo: Algorithm, params: Params, extra: Extra, batch: Batch) -> Params:
    """Each group's gradient of its own loss with respect to itself, one forward pass for each; that of a belief, which
    learns beside all losses, is 0.
    """
    found = {}
    for group in params:
        if group == BELIEF_GROUP:
            found[group] = {name: torch.zeros_like(leaf) for name, leaf in params[group].items()}
            continue
        live = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
        grads = torch.autograd.grad(algo.losses(live, extra, batch)[group].sum(), leaves({group: live[group]}))
        found[group] = dict(zip(live[group], grads, strict=True))
    return found


def adapt(algo: Algorithm, params: Params, extra: Extra, rates: Params, support: Sequence[Batch]) -> Params:
    """One inner step for every batch in `support`."""
    for batch in support:
        params = inner_step(params, rates, gradients(algo.losses(params, extra, batch), params, rates))
    return params
