"""Meta-gradients against finite differences, and what first order and learnt rates mean."""

from collections.abc import Sequence

import pytest
import torch

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.belief_ppo import GROUP as BELIEF_GROUP
from lwmecps_core.meta.maml import meta_gradient
from lwmecps_core.testing.examples import first_cases, make, rollout, whole
from lwmecps_core.tree import Tree, completed, expanded, expanded_extra, gradients, leaves, tree_map
from tests.meta.trees import adapt, dot, own_gradients, random_like

CASES = first_cases()
cases = pytest.mark.parametrize(("name", "spec"), CASES)


def _problem(name: str, spec: str, steps: int = 2) -> tuple[Algorithm, Params, Extra, Params, list[Batch], Batch]:
    algo, params, extra = make(name, spec)
    params = _moved(params, random_like(params, 3), 0.1)  # initial weights may tie choices, which has no derivative
    many, start = expanded_extra(extra, 2), expanded(params, 2)
    batches = [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(steps + 1)]
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    return algo, params, extra, rates, batches[:-1], batches[-1]


def _points(
    algo: Algorithm, params: Params, extra: Extra, rates: Params, support: Sequence[Batch], task: int
) -> list[Params]:
    """One task's parameters after 0, 1, … inner steps, without any of the code under test but the inner step."""
    found = [params]
    for batch in support:
        mine = tree_map(lambda leaf: leaf.detach().clone().requires_grad_(), found[-1])
        found.append(adapt(algo, mine, extra, rates, [{name: x[task] for name, x in batch.items()}]))
    return found


def _moved(tree: Tree, direction: Tree, h: float) -> Tree:
    return tree_map(lambda leaf, d: leaf + h * d, tree, direction)


@cases
@pytest.mark.parametrize("weights", [(0.0, 0.0, 1.0), (0.25, 0.25, 0.5)])
@pytest.mark.parametrize("what", ["params", "rates"])
def test_meta_gradient_equals_finite_differences(name: str, spec: str, weights: tuple[float, ...], what: str) -> None:
    algo, params, extra, rates, support, query = _problem(name, spec)
    if weights[0]:  # as in training: some groups stay, but the others' steps depend on them
        rates = {group: rates[group] for group in algo.inner_groups}
    found = meta_gradient(algo, params, extra, rates, support, query, step_weights=weights)
    direction, h, expected = random_like(params, 8), 1e-7, 0.0  # so short that no rectified unit turns on or off
    for task in range(2):
        moved = []
        for sign in (1, -1):
            args = [params, rates]
            args[what == "rates"] = _moved(args[what == "rates"], direction, sign * h)
            moved.append(_points(algo, args[0], extra, args[1], support, task))
        for j, (weight, batch) in enumerate(zip(weights, [*support, query], strict=True)):
            here = _points(algo, params, extra, rates, support, task)[j]
            v = own_gradients(algo, here, extra, {name: x[task] for name, x in batch.items()})
            way = tree_map(lambda up, down: (up - down) / (2 * h), moved[0][j], moved[1][j])
            expected += weight * float(dot(v, way).detach()) / 2
    slope = float(dot(found.params if what == "params" else found.learnt, direction))
    assert abs(slope - expected) / abs(expected) < 1e-6


@pytest.mark.parametrize(("name", "spec"), [case for case in CASES if case[0] in ("ppo", "dqn", "q_learning")])
def test_where_groups_do_not_meet_it_is_the_gradient_of_the_mean_loss(name: str, spec: str) -> None:
    algo, params, extra, rates, support, query = _problem(name, spec)
    found = meta_gradient(algo, params, extra, rates, support, query)
    direction, h = random_like(params, 8), 1e-5
    values = [
        sum(
            float(loss.detach()) / 2
            for task in range(2)
            for loss in algo.losses(
                _points(algo, _moved(params, direction, sign * h), extra, rates, support, task)[-1],
                extra,
                {name: x[task] for name, x in query.items()},
            ).values()
        )
        for sign in (1, -1)
    ]
    expected = (values[0] - values[1]) / (2 * h)
    assert abs(float(dot(found.params, direction)) - expected) / abs(expected) < 1e-6


def test_an_actor_does_not_teach_its_critic_to_flatter_it() -> None:
    name, spec = next(case for case in CASES if case[0] == "td3")
    algo, params, extra, rates, _, query = _problem(name, spec)
    found = meta_gradient(algo, params, extra, rates, [], query)
    alone = [
        own_gradients(algo, params, extra, {field: x[task] for field, x in query.items()})["critic"]
        for task in range(2)
    ]
    for leaf, g in found.params["critic"].items():
        torch.testing.assert_close(g, (alone[0][leaf] + alone[1][leaf]) / 2, rtol=1e-9, atol=1e-12)
    live = tree_map(lambda leaf: leaf.detach().requires_grad_(), expanded(params, 2))
    losses = algo.losses(live, expanded_extra(extra, 2), query)
    flattery = torch.autograd.grad(losses["actor"].sum(), list(live["critic"].values()), allow_unused=True)
    assert any(g is not None and bool((g != 0).any()) for g in flattery)


@cases
def test_meta_gradient_is_the_mean_over_tasks(name: str, spec: str) -> None:
    algo, params, extra, rates, support, query = _problem(name, spec)
    together = leaves(meta_gradient(algo, params, extra, rates, support, query).params)
    only = lambda b, k: {n: x[k : k + 1] for n, x in b.items()}  # noqa: E731
    parts = [
        leaves(meta_gradient(algo, params, extra, rates, [only(b, k) for b in support], only(query, k)).params)
        for k in range(2)
    ]
    for all_tasks, first, second in zip(together, *parts, strict=True):
        torch.testing.assert_close(all_tasks, (first + second) / 2, rtol=1e-9, atol=1e-12)


@cases
def test_first_order_is_the_derivative_with_inner_gradients_held_constant(name: str, spec: str) -> None:
    algo, params, extra, rates, support, query = _problem(name, spec)
    weights = (0.2, 0.3, 0.5)
    found = meta_gradient(algo, params, extra, rates, support, query, first_order=True, step_weights=weights)
    many_extra = expanded_extra(extra, 2)
    start, learnt = (tree_map(lambda leaf: leaf.clone().requires_grad_(), t) for t in (params, rates))
    current, total = expanded(start, 2), torch.zeros((), dtype=torch.float64)
    for batch, weight in zip([*support, query], weights, strict=True):
        losses = algo.losses(current, many_extra, batch)
        total = total + weight * dot(own_gradients(algo, current, many_extra, batch), current) / 2
        constant = completed(tree_map(lambda g: g.detach(), gradients(losses, current, create_graph=True)), current)
        current = {
            g: {n: leaf - learnt[g][n] * constant[g][n] for n, leaf in names.items()} for g, names in current.items()
        }
    expected = torch.autograd.grad(total, [*leaves(start), *leaves(learnt)])
    for mine, theirs in zip([*leaves(found.params), *leaves(found.learnt)], expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@cases
def test_every_parameter_and_rate_has_a_gradient(name: str, spec: str) -> None:
    algo, params, extra, rates, support, query = _problem(name, spec)
    found = meta_gradient(algo, params, extra, rates, support, query)
    for tree in (found.params, found.learnt):
        for group, names in tree.items():  # a belief learns beside all losses
            assert all((float(g.abs().sum()) > 0) == (group != BELIEF_GROUP) for g in names.values())
