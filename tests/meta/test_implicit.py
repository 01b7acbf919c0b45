"""The implicit gradient against closed forms, long chains of steps and finite differences; its guard; its memory."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.meta.adapt import inner_step
from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.meta.implicit import ImplicitMAML
from lwmecps_core.meta.maml import MAML
from lwmecps_core.meta.solver import gmres
from lwmecps_core.run_config import IMAMLConfig, MAMLConfig
from lwmecps_core.testing.examples import first_cases, make, rollout, whole
from lwmecps_core.tree import expanded, expanded_extra, gradients, leaves, tree_map
from tests.meta.trees import dot, own_gradients, random_like

PROXIMAL = 50.0
CFG = IMAMLConfig(multi_step_loss=0.0, proximal=PROXIMAL, solver_steps=25)
IMPLICIT = ImplicitMAML(CFG)
STEPS = 50


class Game:
    """Two groups with quadratic losses ½xᵀHx − bᵀx, in which each sees the other; one group if the other is empty.

    The losses' own gradients are A z − b with A = [[H₁, C₁], [C₂, H₂]], not symmetric. `shift` is a group that takes
    no inner steps and is added to b.
    """

    inner_groups = ("first", "second")

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Own gradients A z − b − shift."""
        x, y = params["first"]["x"], params["second"]["x"]
        a, goal = batch["a"], batch["b"] + params["shift"]["x"]
        n = x.shape[-1]
        own = {"first": (x, y, slice(0, n), slice(n, None)), "second": (y, x, slice(n, None), slice(0, n))}
        found = {"shift": params["shift"]["x"].square().sum(-1)}
        for group, (mine, other, rows, columns) in own.items():
            quadratic = 0.5 * torch.einsum("...i,...ij,...j->...", mine, a[..., rows, rows], mine)
            coupling = torch.einsum("...i,...ij,...j->...", mine, a[..., rows, columns], other)
            found[group] = quadratic + coupling - (mine * goal[..., rows]).sum(-1)
        return found


def _game(symmetric: bool) -> tuple[Params, Params, list[Batch]]:
    gen = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=gen, dtype=torch.float64)  # noqa: E731
    points = []
    for _ in range(2):
        a = normal(2, 6, 6) / 3
        a = a @ a.mT
        if not symmetric:
            a[:, :3, 3:] *= -1.5
        points.append({"a": a, "b": normal(2, 6), "weight": torch.ones(2, 1, dtype=torch.float64)})
    params = {"first": {"x": normal(3)}, "second": {"x": normal(3)}, "shift": {"x": normal(6)}}
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.2), {g: params[g] for g in Game.inner_groups})
    return params, rates, points


@pytest.mark.parametrize("symmetric", [True, False])
def test_it_equals_the_closed_form_on_quadratics(symmetric: bool) -> None:
    params, rates, (support, query) = _game(symmetric)
    learner = ImplicitMAML(replace(CFG, proximal=0.8, solver_steps=6))
    rates = tree_map(lambda leaf: leaf * 2, rates)
    found = learner.meta_gradient(Game(), params, {}, rates, [support, query], STEPS)  # type: ignore[arg-type]
    theta, shift = torch.cat([params["first"]["x"], params["second"]["x"]]), params["shift"]["x"]
    inverse = torch.linalg.inv(support["a"] + 0.8 * torch.eye(6, dtype=torch.float64))
    end = torch.einsum("kij,kj->ki", inverse, support["b"] + shift + 0.8 * theta)
    v = torch.einsum("kij,kj->ki", query["a"], end) - query["b"] - shift
    pulled = torch.einsum("kji,kj->ki", inverse, v)
    assert float(found.metrics["inner_gradient_norm"].max()) < 1e-6
    assert float(found.metrics["solver_residual"].max()) < 1e-10
    mine = torch.cat([found.params["first"]["x"], found.params["second"]["x"]])
    torch.testing.assert_close(mine, 0.8 * pulled.mean(0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.params["shift"]["x"], 2 * shift + pulled.mean(0), rtol=1e-5, atol=1e-7)
    assert found.learnt == {}


def _settled(name: str, spec: str) -> tuple[Any, Params, Extra, Params, list[Batch]]:
    """A problem whose inner steps converge, away from kinks of the losses: where they settle on one (as PPO does at the
    edge of its clipping) there is no derivative to find.
    """
    algo: Any
    algo, params, extra = make(name, spec)
    if hasattr(algo.cfg, "clip_epsilon"):
        algo = type(algo)(replace(algo.cfg, clip_epsilon=100.0), algo.spec)
    params = tree_map(lambda leaf, d: leaf + 0.1 * d, params, random_like(params, 3))
    start, many = expanded(params, 2), expanded_extra(extra, 2)
    points = [whole(algo, start, many, rollout(algo, params, extra, 20 + j)) for j in range(2)]
    inner = {group: params[group] for group in algo.inner_groups}
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.6 / PROXIMAL), inner)
    return algo, params, extra, rates, points


def _end(algo: Any, params: Params, extra: Extra, rates: Params, support: Batch) -> Params:
    """The converged inner problem of all tasks."""
    start = end = expanded(params, 2)
    for _ in range(60):
        end = IMPLICIT.step(algo, start, end, expanded_extra(extra, 2), rates, support)
    return end


@pytest.mark.parametrize(("name", "spec"), first_cases())
def test_it_equals_finite_differences_of_the_converged_inner_problem(name: str, spec: str) -> None:
    algo, params, extra, rates, (support, query) = _settled(name, spec)
    found = IMPLICIT.meta_gradient(algo, params, extra, rates, [support, query], STEPS)
    assert float(found.metrics["inner_gradient_norm"].max()) < 1e-8
    v = own_gradients(algo, _end(algo, params, extra, rates, support), expanded_extra(extra, 2), query)
    direction, h = random_like(params, 8), 1e-5
    up, down = (
        _end(algo, tree_map(lambda x, d, s=sign: x + s * h * d, params, direction), extra, rates, support)
        for sign in (1, -1)
    )
    expected = float(dot(v, tree_map(lambda a, b: (a - b) / (2 * h), up, down))) / 2
    assert abs(float(dot(found.params, direction)) - expected) / abs(expected) < 1e-4
    plain = float(dot(tree_map(lambda g: g.mean(0), v), direction))
    assert abs(plain - expected) / abs(expected) > 1e-3  # the inner problem matters


@pytest.mark.parametrize(("name", "spec"), first_cases())
def test_it_equals_backpropagation_through_many_proximal_steps(name: str, spec: str) -> None:
    algo, params, extra, rates, (support, query) = _settled(name, spec)
    found = IMPLICIT.meta_gradient(algo, params, extra, rates, [support, query], STEPS)
    many = expanded_extra(extra, 2)
    start = tree_map(lambda leaf: leaf.clone().requires_grad_(), params)
    centre = current = expanded(start, 2)
    for _ in range(30):
        grads = gradients(algo.losses(current, many, support), current, rates, create_graph=True)
        pulled = {
            g: {n: x + PROXIMAL * (current[g][n] - centre[g][n]) for n, x in names.items()}
            for g, names in grads.items()
        }
        current = inner_step(current, rates, pulled)
    v = own_gradients(algo, tree_map(lambda leaf: leaf.detach(), current), many, query)
    expected = torch.autograd.grad(dot(v, current) / 2, leaves(start))
    for mine, theirs in zip(leaves(found.params), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_the_start_has_a_share_of_the_objective() -> None:
    algo, params, extra, rates, points = _settled(*first_cases()[0])
    whole_share, none, half = (
        ImplicitMAML(replace(CFG, multi_step_loss=share))
        .meta_gradient(algo, params, extra, rates, points, STEPS)
        .params
        for share in (1.0, 0.0, 0.5)
    )
    at_start = own_gradients(algo, expanded(params, 2), expanded_extra(extra, 2), points[0])
    for first, start, last, both in zip(*map(leaves, (whole_share, at_start, none, half)), strict=True):
        torch.testing.assert_close(first, start.mean(0))
        torch.testing.assert_close(both, (first + last) / 2)


def test_the_solver_needs_no_more_products_than_asked_and_no_symmetry() -> None:
    gen = torch.Generator().manual_seed(0)
    a = torch.eye(40, dtype=torch.float64) + 0.05 * torch.randn(3, 40, 40, generator=gen, dtype=torch.float64)
    b = torch.randn(3, 40, generator=gen, dtype=torch.float64)
    asked = []

    def product(x: Tensor) -> Tensor:
        asked.append(x)
        return torch.einsum("kij,kj->ki", a, x)

    errors = []
    for steps in (1, 4, 12, 40):
        asked.clear()
        errors.append(float((gmres(product, b, steps) - torch.linalg.solve(a, b)).norm()))
        assert len(asked) == steps + 1
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8


def test_it_does_not_depend_on_what_lay_in_memory_before() -> None:
    gen = torch.Generator().manual_seed(0)
    a = torch.eye(30) + 0.1 * torch.randn(2, 30, 30, generator=gen)
    b = torch.randn(2, 30, generator=gen)
    found = []
    for left_behind in (0, 1, 0, 1):
        for size in range(1, 12):
            del [torch.full((size,), left_behind, dtype=torch.int32) for _ in range(50)][:]
        found.append(gmres(lambda x: torch.einsum("kij,kj->ki", a, x), b, 10))
    assert all(torch.equal(x, found[0]) for x in found)


def test_directions_that_bring_nothing_new_have_no_share() -> None:
    goal = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    curvature = torch.tensor([2.0, 4.0, 1.0])
    torch.testing.assert_close(gmres(lambda x: curvature * x, goal, 6), goal / curvature)


def test_negative_curvature_falls_back_task_by_task() -> None:
    curvature = torch.tensor([[3.0, 2.0], [-2.0, -0.5], [4.0, -3.0]], dtype=torch.float64)
    goal = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    found = gmres(lambda x: curvature * x, goal, 5)
    torch.testing.assert_close(found[0], goal[0] / curvature[0])
    torch.testing.assert_close(found[1], goal[1])  # the plain gradient: no way down is known to end
    torch.testing.assert_close(found[2], goal[2] / curvature[2])  # the bad direction is never met


def test_a_task_that_diverged_does_not_stop_the_others() -> None:
    gen = torch.Generator().manual_seed(5)
    goal = torch.randn(2, 4, generator=gen, dtype=torch.float64)
    scale = torch.tensor([[2.0], [float("nan")]], dtype=torch.float64)
    found = gmres(lambda x: scale * x, goal, 4)
    torch.testing.assert_close(found[0], goal[0] / 2)
    assert torch.equal(found[1], goal[1])


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), 1e200])
def test_a_task_whose_goal_is_no_number_or_has_no_length_does_not_stop_the_others(lost: float) -> None:
    goal = torch.tensor([[1.0, 3.0], [lost, 1.0]], dtype=torch.float64)
    found = gmres(lambda v: 2.0 * v, goal, 3)
    torch.testing.assert_close(found[0], goal[0] / 2.0)
    assert torch.equal(found[1], goal[1]) or bool(goal[1].isnan().any())


def test_memory_does_not_grow_with_the_number_of_inner_steps() -> None:
    algo, params, extra, rates, points = _settled(*first_cases()[0])

    class Held:
        """A saved tensor that is counted while something refers to it."""

        now = most = 0

        def __init__(self, x: Tensor) -> None:
            self.x = x.detach()  # the tensor itself may hold on to the node that saved it
            Held.now += x.numel()
            Held.most = max(Held.most, Held.now)

        def __del__(self) -> None:
            Held.now -= self.x.numel()

    def peak(steps: int, learner: MetaLearner) -> int:
        Held.now = Held.most = 0
        chain = points if learner.frozen_support else [points[0]] * steps + [points[1]]
        with saved_tensors_hooks(Held, lambda held: held.x):
            learner.meta_gradient(algo, params, extra, rates, chain, steps)
        return Held.most

    assert peak(1, IMPLICIT) == peak(20, IMPLICIT)
    second_order = MAML(MAMLConfig(multi_step_loss=0.0))
    assert peak(20, second_order) > 5 * peak(1, second_order)
