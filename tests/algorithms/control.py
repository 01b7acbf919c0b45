"""A linear system with quadratic costs, whose best policy is known, and plain training on its random transitions."""

import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Params, first_seen
from lwmecps_core.optimiser import Optimiser, with_task_axis
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import expanded_extra, gradients, row

SPEC = EnvSpec("lwmecps-v1-continuous", (("global", (1,)),), (), 1, 20)
GAMMA, KEEP, PRICE = 0.5, 0.9, 0.5
"""Discount; x′ = KEEP·x + u; costs x² + PRICE·u². An action a in [0, 1] means u = 4a − 2."""
MEAN_COST = 2.0
"""Of random states and actions; rewards are relative to it, which changes no policy but spares critics an offset."""


def memory(number: int = 2000) -> Batch:
    """Transitions from random states by random actions, `[1, S, ...]`."""
    gen = torch.Generator().manual_seed(0)
    x, a = (torch.rand(1, number, 1, generator=gen) for _ in range(2))
    x = 4 * x - 2
    none = torch.ones(1, number, 0, dtype=torch.bool)
    cost, after = step(x, a)
    return {
        "obs": x,
        "next_obs": after,
        "mask": none,
        "next_mask": none,
        "action": a,
        "reward": MEAN_COST - cost.squeeze(-1),
        "discount": torch.full((1, number), GAMMA),
        "weight": torch.ones(1, number),
    }


def step(x: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Cost of an action and the state after it."""
    u = 4 * action - 2
    return x.square() + PRICE * u.square(), KEEP * x + u


def best_gain() -> float:
    """K of the best policy u = −K·x, from Riccati's equation."""
    p = 1.0
    for _ in range(200):
        p = 1 + GAMMA * KEEP**2 * p - (GAMMA * KEEP * p) ** 2 / (PRICE + GAMMA * p)
    return GAMMA * KEEP * p / (PRICE + GAMMA * p)


def trained(algo: Algorithm, data: Batch, seed: int = 0) -> tuple[Params, Params]:
    """Parameters before and after one pass over `minibatches`, as a learner does it."""
    params, extra = algo.init(torch.Generator().manual_seed(seed))
    outer, many = Optimiser(with_task_axis(params, 1), algo.learning_rate, algo.max_grad_norm), expanded_extra(extra, 1)
    for part in algo.minibatches(data, torch.Generator().manual_seed(seed)):
        outer.step(gradients(algo.losses(outer.params, many, part), outer.params))
        many = algo.after_update(outer.params, many)
    return params, row(outer.params, 0)


def cost_of(algo: Algorithm, params: Params) -> float:
    """Mean discounted cost of 30 steps of the policy without noise, from states on [−1, 1]."""
    x, total = torch.linspace(-1, 1, 41).unsqueeze(-1), 0.0
    with torch.no_grad():
        for t in range(30):
            seen = first_seen(algo.spec, x, torch.ones(41, 0, dtype=torch.bool))
            cost, x = step(x, algo.act(params, {}, {}, seen, None).action)
            total += GAMMA**t * float(cost.mean())
    return total


def best_cost() -> float:
    """`cost_of` the best policy."""
    x, total = torch.linspace(-1, 1, 41).unsqueeze(-1), 0.0
    for t in range(30):
        cost, x = step(x, (2 - best_gain() * x) / 4)
        total += GAMMA**t * float(cost.mean())
    return total
