"""Implicit MAML: the meta-gradient at the end of adaptation, whatever way led there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import adapted_once
from lwmecps_core.meta.base import MetaGradient, point_weights
from lwmecps_core.meta.maml import total_loss
from lwmecps_core.meta.rates import Rates
from lwmecps_core.meta.solver import gmres
from lwmecps_core.run_config import IMAMLConfig
from lwmecps_core.tree import completed, expanded, expanded_extra, gradients, leaves, tree_map, with_leaves


class ImplicitMAML(Rates):
    """Inner problem: min over φ of L(φ; support) + λ/2 ‖φ − θ‖², by steps of gradient descent on one
    frozen support batch (Rajeswaran et al. 2019, arXiv:1909.04630, equation 3).

    The gradient depends on where descent ends and not on its path, so its memory doesn't grow with the number of steps,
    and inner rates have no gradient: they stay. With several groups the inner problem is a game: φ is where each
    group's gradient of its own loss meets its proximal pull.
    """

    frozen_support = True

    def __init__(self, cfg: IMAMLConfig) -> None:
        super().__init__()
        self._cfg = cfg

    def step(
        self, algo: Algorithm, start: Params, params: Params, extra: Extra, learnt: Params, batch: Batch
    ) -> Params:
        """φ′ = φ − α ∘ (∇L(φ) + λ (φ − θ))."""
        return adapted_once(algo, params, extra, learnt, batch, start=start, proximal=self._cfg.proximal)

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """(dφ/dθ)ᵀ v for v, each group's gradient of its own loss on the query data at φ; `points` are support, query.

        Where φ is a solution, dφ/dθ = (I + J/λ)⁻¹ with J the Jacobian of the groups' inner gradients, so the gradient w
        solves (I + Jᵀ/λ) w = v (equation 6 there, whose Hessian is J where there is one group). Groups ψ that take no
        inner steps but matter to those that do (an entropy weight) get v − (∂∇L/∂ψ)ᵀ w/λ. `multi_step_loss` weighs the
        start's own gradient on the support data.

        Metrics: `inner_gradient_norm`, how far φ is from a solution (of ∇L(φ) + λ(φ − θ)), and `solver_residual`,
        ‖v − (I + Jᵀ/λ) w‖ / ‖v‖.
        """
        (support, query), cfg = points, self._cfg
        tasks = query["weight"].shape[0]
        many_extra = expanded_extra(extra, tasks)
        start = expanded(tree_map(lambda leaf: leaf.detach(), params), tasks)
        adapted = start
        for _ in range(steps):
            adapted = self.step(algo, start, adapted, many_extra, learnt, support)
        before, at_start = _with_gradients(algo, start, many_extra, support)
        after, found = _with_gradients(algo, adapted, many_extra, query)
        live = tree_map(lambda leaf: leaf.detach().requires_grad_(), adapted)
        field = gradients(algo.losses(live, many_extra, support), live, learnt, create_graph=True)

        def pulled_back(w: Tensor) -> Params:
            """Jᵀ w / λ, and the same for groups outside the inner problem."""
            back = torch.autograd.grad(
                leaves(field),
                leaves(live),
                leaves(_unflattened(w / cfg.proximal, field)),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            return with_leaves(live, back)

        def product(w: Tensor) -> Tensor:
            return w + _flattened(pulled_back(w), field)

        v = _flattened(found, field)
        w = gmres(product, v, cfg.solver_steps)
        back = pulled_back(w)
        solved = tree_map(torch.sub, found, back) | _unflattened(w, field)
        first, last = point_weights(cfg.multi_step_loss, 2)
        distance = _flattened(tree_map(torch.sub, adapted, start), field)
        return MetaGradient(
            tree_map(lambda a, b: (first * a + last * b).mean(0), at_start, solved),
            {},
            before,
            after,
            {
                "inner_gradient_norm": (_flattened(field, field).detach() + cfg.proximal * distance).norm(dim=1),
                "solver_residual": (v - w - _flattened(back, field)).norm(dim=1) / v.norm(dim=1).clamp_min(1e-30),
            },
        )


def _with_gradients(algo: Algorithm, params: Params, extra: Extra, batch: Batch) -> tuple[Tensor, Params]:
    """The losses' sum `[K]` and every group's gradient of its own loss: zero where it has none."""
    live = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    losses = algo.losses(live, extra, batch)
    return total_loss(losses), completed(gradients(losses, live), params)


def _flattened(tree: Params, like: Params) -> Tensor:
    """The groups of `like` as one vector per task `[K, n]`."""
    return torch.cat([tree[g][n].flatten(1) for g, names in like.items() for n in names], 1)


def _unflattened(x: Tensor, like: Params) -> Params:
    parts = torch.split(x, [leaf[0].numel() for leaf in leaves(like)], 1)
    return with_leaves(like, (part.reshape(leaf.shape) for part, leaf in zip(parts, leaves(like), strict=True)))
