"""Meta-gradients against finite differences, and what first order and learnt rates mean."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.adapt import adapt, gradients
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.tree import Tree, expanded, expanded_extra, leaves, tree_map
from tests.algorithms.factory import make, rollout

NAMES = list(algorithms.REGISTRY)


def _problem(name: str, steps: int = 2) -> tuple[Algorithm, Params, Extra, Params, list[Batch], Batch]:
    algo, params, extra = make(name, "rows")
    many = {k: v.unsqueeze(0).expand(2, *v.shape) for k, v in extra.items()}
    start = tree_map(lambda leaf: leaf.unsqueeze(0).expand(2, *leaf.shape), params)
    batches = [algo.whole(start, many, rollout(algo, params, extra, 10 + j)) for j in range(steps + 1)]
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    return algo, params, extra, rates, batches[:-1], batches[-1]


def _objective(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, support: Sequence[Batch], query: Batch,
    weights: Sequence[float],
) -> Tensor:  # fmt: skip
    """The same objective by a plain loop over tasks, without any of the code under test but the inner step."""
    total = torch.zeros((), dtype=torch.float64)
    tasks = query["weight"].shape[0]
    for k in range(tasks):
        mine = tree_map(lambda leaf: leaf.detach().clone().requires_grad_(), params)
        for weight, batch in zip(weights, [*support, query], strict=True):
            alone = {name: x[k] for name, x in batch.items()}
            total = total + weight * sum(x.detach() for x in algo.losses(mine, extra, alone).values()) / tasks
            if batch is not query:
                stepped = adapt(algo, mine, extra, rates, [alone])
                mine = tree_map(lambda leaf: leaf.detach().requires_grad_(), stepped)
    return total


def _moved(tree: Tree, direction: Tree, h: float) -> Tree:
    return tree_map(lambda leaf, d: leaf + h * d, tree, direction)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", [(0.0, 0.0, 1.0), (0.25, 0.25, 0.5)])
@pytest.mark.parametrize("what", ["params", "rates"])
def test_meta_gradient_equals_finite_differences(name: str, weights: tuple[float, ...], what: str) -> None:
    algo, params, extra, rates, support, query = _problem(name)
    found = meta_gradient(algo, params, extra, rates, support, query, step_weights=weights)
    gen = torch.Generator().manual_seed(8)
    direction = tree_map(lambda leaf: torch.randn(leaf.shape, generator=gen, dtype=leaf.dtype), params)
    h = 1e-6
    values = []
    for sign in (1, -1):
        moved = [params, rates]
        moved[what == "rates"] = _moved(moved[what == "rates"], direction, sign * h)
        values.append(_objective(algo, moved[0], extra, moved[1], support, query, weights))
    expected = (values[0] - values[1]) / (2 * h)
    grads = found.params if what == "params" else found.rates
    slope = sum((g * d).sum() for g, d in zip(leaves(grads), leaves(direction), strict=True))
    assert abs(float(slope - expected)) / abs(float(expected)) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_first_order_equals_second_order_at_inner_rate_zero_and_differs_otherwise(name: str) -> None:
    algo, params, extra, rates, support, query = _problem(name)
    for factor in (0.0, 1.0):
        scaled = tree_map(lambda leaf, factor=factor: leaf * factor, rates)
        exact, approximate = (
            leaves(meta_gradient(algo, params, extra, scaled, support, query, first_order=order).params)
            for order in (False, True)
        )
        equal = all(torch.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in zip(exact, approximate, strict=True))
        assert equal == (factor == 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_meta_gradient_is_the_mean_over_tasks(name: str) -> None:
    algo, params, extra, rates, support, query = _problem(name)
    together = leaves(meta_gradient(algo, params, extra, rates, support, query).params)
    only = lambda b, k: {n: x[k : k + 1] for n, x in b.items()}  # noqa: E731
    parts = [
        leaves(meta_gradient(algo, params, extra, rates, [only(b, k) for b in support], only(query, k)).params)
        for k in range(2)
    ]
    for all_tasks, first, second in zip(together, *parts, strict=True):
        torch.testing.assert_close(all_tasks, (first + second) / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_first_order_is_the_derivative_with_inner_gradients_held_constant(name: str) -> None:
    algo, params, extra, rates, support, query = _problem(name)
    weights = (0.2, 0.3, 0.5)
    found = meta_gradient(algo, params, extra, rates, support, query, first_order=True, step_weights=weights)
    many_extra = expanded_extra(extra, 2)
    start, learnt = (tree_map(lambda leaf: leaf.clone().requires_grad_(), t) for t in (params, rates))
    current, total = expanded(start, 2), torch.zeros((), dtype=torch.float64)
    for batch, weight in zip([*support, query], weights, strict=True):
        losses = algo.losses(current, many_extra, batch)
        total = total + weight * sum(x.mean() for x in losses.values())
        constant = tree_map(lambda g: g.detach(), gradients(losses, current, create_graph=True))
        current = {
            g: {n: leaf - learnt[g][n] * constant[g][n] for n, leaf in names.items()} for g, names in current.items()
        }
    expected = torch.autograd.grad(total, [*leaves(start), *leaves(learnt)])
    for mine, theirs in zip([*leaves(found.params), *leaves(found.rates)], expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_and_rate_has_a_gradient(name: str) -> None:
    algo, params, extra, rates, support, query = _problem(name)
    found = meta_gradient(algo, params, extra, rates, support, query)
    assert all(float(g.abs().sum()) > 0 for g in [*leaves(found.params), *leaves(found.rates)])
