"""A rate for every parameter that takes inner steps: what most meta-learners keep beside the start."""

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import adapted_once
from lwmecps_core.tree import by_task, tree_map

LARGEST_RATE = 1.0
"""Of inner steps: parameters that seldom have a gradient would otherwise learn to leap when they have one."""


class Rates:
    """The part of a meta-learner (`MetaLearner`) that steps by θ′ = θ − α ∘ ∇L and keeps the rates α.

    `learning_rate` moves their logarithms, so that they stay positive and change by factors.
    """

    frozen_support = False

    def __init__(self, learning_rate: float = 0.0) -> None:
        self.learning_rate = learning_rate

    def init(self, algo: Algorithm, params: Params, inner_lr: float) -> Params:
        """One rate for all."""
        return tree_map(lambda leaf: torch.full_like(leaf, inner_lr), {g: params[g] for g in algo.inner_groups})

    def free(self, learnt: Params) -> Params:
        """Logarithms."""
        return tree_map(torch.log, learnt)

    def bound(self, free: Params) -> Params:
        """Rates, at most `LARGEST_RATE`."""
        return tree_map(lambda x: x.detach().exp().clamp_max(LARGEST_RATE), free)

    def slower(self, learnt: Params, shares: Tensor) -> Params:
        """Shares of the rates."""
        return tree_map(lambda x: x * by_task(shares, x), learnt)

    def step(
        self, algo: Algorithm, start: Params, params: Params, extra: Extra, learnt: Params, batch: Batch
    ) -> Params:
        """θ′ = θ − α ∘ ∇L."""
        return adapted_once(algo, params, extra, learnt, batch)
