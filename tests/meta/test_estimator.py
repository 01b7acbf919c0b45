"""The on-policy meta-gradient against full enumeration of a 3-armed bandit.

What is estimated is the gradient of the expected return after adaptation, through everything that depends on the start:
the inner step and the chance of each support batch. Episodes have one step; the policy is a table of logits.
"""

from itertools import product
from math import factorial, prod

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.algorithms.ppo import PPO
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.testing.examples import FLAT
from lwmecps_core.tree import expanded, tree_map
from tests.meta.trees import adapt

ARMS = 3
RATE = 1.0
REWARD = torch.tensor([1.0, 0.3, -0.5], dtype=torch.float64)
LOGITS = torch.tensor([0.2, -0.4, 0.5], dtype=torch.float64)


class Table:
    """One state: its logits, or its value, in place of networks."""

    def components(self, net: Net, obs: Tensor) -> Tensor:
        """`[..., S, 1, 3]`."""
        return net["logits"][..., None, None, :].expand(*obs.shape[:-1], 1, ARMS)

    def value(self, net: Net, obs: Tensor) -> Tensor:
        """`[..., S]`."""
        return net["value"].expand(obs.shape[:-1])


class Tabular(PPO):
    """PPO's losses for one state, without clipping and entropy bonus."""

    def __init__(self) -> None:
        super().__init__(PPOConfig(clip_epsilon=1e6, entropy_coef=0.0), FLAT)
        self._nets = Table()  # type: ignore[assignment]


class BareLogProbability(Tabular):
    """The same with log-probabilities in place of ratios: equal gradients, other second derivatives."""

    def losses(self, params: Params, extra: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Mean of −log π(a) · advantage."""
        log_prob = torch.log_softmax(params["actor"]["logits"], -1)
        mean = (log_prob * batch["advantage"] * batch["weight"]).sum(-1) / batch["weight"].sum(-1).clamp_min(1.0)
        return super().losses(params, extra, batch) | {"actor": -mean}


def _batch(logits: Tensor, weight: Tensor, advantage: Tensor) -> Batch:
    """Every arm once, drawn by `logits` `[K, 3]` and counted `weight` `[K, 3]` times."""
    size = weight.shape
    return {
        "obs": torch.zeros(*size, 5, dtype=torch.float64),
        "mask": torch.ones(*size, ARMS, dtype=torch.bool),
        "action": torch.arange(ARMS).expand(size).unsqueeze(-1),
        "log_prob": torch.log_softmax(logits, -1).expand(size),
        "advantage": advantage.expand(size),
        "target": torch.zeros(size, dtype=torch.float64),
        "weight": weight,
    }


def _all_supports(episodes: int) -> tuple[Tensor, Tensor]:
    """How often each arm occurs in every possible support batch `[K, 3]`, and in how many orders `[K]`."""
    counts = [c for c in product(range(episodes + 1), repeat=ARMS) if sum(c) == episodes]
    orders = [factorial(episodes) / prod(map(factorial, c)) for c in counts]
    return torch.tensor(counts, dtype=torch.float64), torch.tensor(orders, dtype=torch.float64)


def _chance(logits: Tensor, counts: Tensor, orders: Tensor) -> Tensor:
    return orders * torch.exp((counts * torch.log_softmax(logits, -1)).sum(-1))


def _adapted_return(logits: Tensor, counts: Tensor) -> Tensor:
    """Expected return after the inner step on each support batch `[K]`: ∇ log π = onehot − π, by hand."""
    push = counts * REWARD / counts.sum(-1, keepdim=True)
    after = logits + RATE * (push - push.sum(-1, keepdim=True) * torch.softmax(logits, -1))
    return (torch.softmax(after, -1) * REWARD).sum(-1)


def _exact(episodes: int) -> Tensor:
    """∇ Σ chance of the support · return after adapting to it."""
    counts, orders = _all_supports(episodes)
    logits = LOGITS.clone().requires_grad_()
    (grad,) = torch.autograd.grad((_chance(logits, counts, orders) * _adapted_return(logits, counts)).sum(), logits)
    return grad


def _estimated(algo: Tabular, counts: Tensor, chance: Tensor, *, first_order: bool = False) -> Tensor:
    """Our meta-gradient's expectation over supports: all of them side by side, the query's return known exactly."""
    params: Params = {"actor": {"logits": LOGITS}, "critic": {"value": torch.zeros(1, dtype=torch.float64)}}
    rates = {"actor": {"logits": torch.full_like(LOGITS, RATE)}}
    support = _batch(LOGITS, counts, REWARD)
    start = tree_map(lambda leaf: leaf.clone().requires_grad_(), expanded(params, len(counts)))
    after = adapt(algo, start, {}, rates, [support])["actor"]["logits"].detach()
    query = _batch(after, torch.softmax(after, -1), REWARD * chance.unsqueeze(-1) * len(counts))
    return -meta_gradient(algo, params, {}, rates, [support], query, first_order=first_order).params["actor"]["logits"]


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_with_every_arm_in_its_proportion_the_ratio_form_is_exact() -> None:
    logits = LOGITS.clone().requires_grad_()
    by_chance = torch.softmax(logits, -1)
    after = logits + RATE * by_chance * (REWARD - (by_chance * REWARD).sum())  # the expected return's own gradient
    (exact,) = torch.autograd.grad((torch.softmax(after, -1) * REWARD).sum(), logits)
    support = by_chance.detach().unsqueeze(0)
    assert _error(_estimated(Tabular(), support, torch.ones(1)), exact) < 1e-12
    assert _error(_estimated(BareLogProbability(), support, torch.ones(1)), exact) > 0.1


@pytest.mark.parametrize("episodes", [10, 20])
def test_over_all_supports_the_ratio_form_accounts_for_how_they_were_drawn(episodes: int) -> None:
    exact = _exact(episodes)
    counts, orders = _all_supports(episodes)
    chance = _chance(LOGITS, counts, orders)
    ratio, bare = _estimated(Tabular(), counts, chance), _estimated(BareLogProbability(), counts, chance)
    assert _error(ratio, exact) < 0.003 / episodes  # what is left is of the order of one episode's share
    assert _error(bare, exact) > 0.1
    assert _error(bare, exact) > _error(_estimated(Tabular(), counts, chance, first_order=True), exact)

    logits = LOGITS.clone().requires_grad_()
    returns = _adapted_return(LOGITS, counts)
    (sampling,) = torch.autograd.grad((_chance(logits, counts, orders) * returns).sum(), logits)
    assert _error(bare + sampling, exact) < 1e-12  # the other way to account for it (E-MAML)
    assert _error(ratio + sampling, exact) > 0.1  # both would count it twice
