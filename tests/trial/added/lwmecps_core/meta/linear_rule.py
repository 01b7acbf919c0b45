"""A learnt linear update rule: what a gradient and a parameter weigh in a step is learnt, each by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.base import MetaGradient
from lwmecps_core.meta.maml import total_loss
from lwmecps_core.run_config import LinearRuleConfig
from lwmecps_core.tree import by_task, completed, expanded, expanded_extra, gradients, leaves, tree_map, with_leaves

LARGEST = 1.0
"""Of all weights of the rule."""


class LinearRule:
    """θ′ = θ − (α ∘ ∇L + β ∘ θ); groups `gain/…` hold the α, `decay/…` the β. The gradient runs through all steps."""

    frozen_support = False

    def __init__(self, cfg: LinearRuleConfig) -> None:
        self.learning_rate = cfg.rule_lr

    def init(self, algo: Algorithm, params: Params, inner_lr: float) -> Params:
        """Plain descent at first."""
        inner = {group: params[group] for group in algo.inner_groups}
        gains = tree_map(lambda leaf: torch.full_like(leaf, inner_lr), inner)
        decays = tree_map(torch.zeros_like, inner)
        return {f"gain/{g}": gains[g] for g in inner} | {f"decay/{g}": decays[g] for g in inner}

    def free(self, learnt: Params) -> Params:
        """As it is."""
        return learnt

    def bound(self, free: Params) -> Params:
        """Each at most `LARGEST` from zero."""
        return tree_map(lambda x: x.detach().clamp(-LARGEST, LARGEST), free)

    def slower(self, learnt: Params, shares: Tensor) -> Params:
        """Shares of all weights: a step is linear in them."""
        return tree_map(lambda x: x * by_task(shares, x), learnt)

    def step(
        self, algo: Algorithm, start: Params, params: Params, extra: Extra, learnt: Params, batch: Batch
    ) -> Params:
        """θ′ = θ − (α ∘ ∇L + β ∘ θ)."""
        live = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
        grads = gradients(algo.losses(live, extra, batch), live, algo.inner_groups)
        return tree_map(lambda leaf: leaf.detach(), _stepped(live, learnt, grads))

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """Each group's gradient of its own loss after the last step, pulled back through all steps."""
        tasks = points[0]["weight"].shape[0]
        start, rule = (tree_map(lambda leaf: leaf.detach().requires_grad_(), tree) for tree in (params, learnt))
        current, many = expanded(start, tasks), expanded_extra(extra, tasks)
        values = []
        for batch in points[:-1]:
            losses = algo.losses(current, many, batch)
            values.append(total_loss(losses))
            grads = gradients(losses, current, algo.inner_groups, create_graph=True)
            current = _stepped(tree_map(lambda leaf: leaf.view_as(leaf), current), rule, grads)
        losses = algo.losses(current, many, points[-1])
        values.append(total_loss(losses))
        found = completed(gradients(losses, current), current)
        wanted = [*leaves(start), *leaves(rule)]
        pulls = [x.detach() / tasks for x in leaves(found)]
        pulled = torch.autograd.grad(leaves(current), wanted, pulls, allow_unused=True, materialize_grads=True)
        size = len(leaves(start))
        return MetaGradient(
            with_leaves(params, pulled[:size]), with_leaves(learnt, pulled[size:]), values[0], values[-1]
        )


def _stepped(params: Params, learnt: Params, grads: Params) -> Params:
    return params | {
        g: {n: x - (learnt[f"gain/{g}"][n] * grads[g][n] + learnt[f"decay/{g}"][n] * x) for n, x in params[g].items()}
        for g in grads
    }
