"""A learnt optimiser against a loop over parameters, Adam, and finite differences of its unrolled steps."""

import json
from dataclasses import replace
from math import exp, expm1, log, sqrt, tanh

import numpy as np
import pytest
import torch

from lwmecps_core import tensor_file
from lwmecps_core.config import dump
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta.learnt_optimiser import (
    FORMAT,
    OptimiserConfig,
    OptimiserData,
    forgotten,
    from_bytes,
    init,
    state,
    to_bytes,
    update,
    with_rate,
)
from lwmecps_core.run_config import AdaptConfig
from lwmecps_core.training.learnt_optimiser import fresh, learn, unroll
from lwmecps_core.tree import Tree, flatten, leaves, tree_map, with_leaves
from tests.meta.trees import dot, random_like

SMALL = OptimiserConfig(hidden_size=3, first_rate=0.05)


def _theta(seed: int = 0, cfg: OptimiserConfig = SMALL) -> Tree:
    """Weights with a last layer that does something."""
    theta = tree_map(lambda x: x.double(), init(cfg, torch.Generator().manual_seed(seed)))
    return tree_map(lambda x, d: x + 0.3 * d, theta, random_like(theta, seed + 1))


def _params(tasks: int = 2) -> Tree:
    shapes = {"net": {"a": torch.empty(tasks, 2, 3), "b": torch.empty(tasks, 4)}, "other": {"c": torch.empty(tasks, 1)}}
    return random_like(tree_map(lambda x: x.double(), shapes), 5)


def _slow(theta: Tree, gradients: list[list[float]], rate: float) -> list[float]:
    """How far each parameter of one task has moved, one number at a time, from its gradients `[steps][P]`."""
    net = {name: x.tolist() for name, x in theta["net"].items()}
    size = len(gradients[0])
    means, squares = ([[0.0] * size for _ in range(n)] for n in (3, 2))
    moved = [0.0] * size

    def layer(name: str, x: list[float]) -> list[float]:
        weight, bias = net[f"{name}.weight"], net[f"{name}.bias"]
        return [sum(v * row[j] for v, row in zip(x, weight, strict=True)) + bias[j] for j in range(len(bias))]

    for t, g in enumerate(gradients, 1):
        for kept, decays, power in ((means, (0.5, 0.9, 0.99), 1), (squares, (0.9, 0.999), 2)):
            for own, decay in zip(kept, decays, strict=True):
                own[:] = [decay * m + (1 - decay) * x**power for m, x in zip(own, g, strict=True)]
        fast, spread = ([v / (1 - d**t) + 1e-16 for v in own] for d, own in zip((0.9, 0.999), squares, strict=True))
        for p in range(size):
            root = sqrt(spread[p])
            unbiased = [own[p] / (1 - d**t) for d, own in zip((0.5, 0.9, 0.99), means, strict=True)]
            size_beside = max(-2.0, min(2.0, 0.5 * log(spread[p] / (sum(spread) / size)) / 4.0))
            seen = [g[p] / root, *(m / root for m in unbiased), size_beside, 0.5 * log(fast[p] / spread[p])]
            seen += [tanh((t - 1) / tau) for tau in (1.0, 3.0, 10.0, 30.0, 100.0)]
            hidden = [tanh(x) for x in layer("hidden0", seen)]
            hidden = [tanh(x) for x in layer("hidden1", hidden)]
            direction, magnitude = layer("out", hidden)
            moved[p] -= rate * exp(4.0 * tanh(magnitude / 4.0)) * (unbiased[1] / root + direction)
    return moved


def test_every_parameter_steps_as_a_loop_over_parameters_says() -> None:
    theta, params = _theta(), _params()
    given = [tree_map(lambda x, j=j: x * 10.0 ** (1 - j), random_like(params, j)) for j in range(4)]
    current, kept = params, state(params)
    for grads in given:
        current, kept = update(theta, grads, kept, current)
    moved = tree_map(torch.sub, current, params)
    for task in range(2):
        rows = [torch.cat([x[task].flatten() for x in leaves(grads)]).tolist() for grads in given]
        found = torch.cat([x[task].flatten() for x in leaves(moved)])
        np.testing.assert_allclose(found, _slow(theta, rows, float(theta["rate"]["log"].exp())), rtol=1e-9)


def test_a_network_whose_last_layer_is_zero_is_adam() -> None:
    params = _params(tasks=1)
    theta = tree_map(lambda x: x.double(), init(SMALL, torch.Generator().manual_seed(0)))
    theta["rate"] = {"log": torch.tensor([0.05], dtype=torch.float64).log()}
    theirs = [x.clone().requires_grad_() for x in leaves(params)]
    adam = torch.optim.Adam(theirs, lr=0.05)
    current, kept = params, state(params)
    for j in range(50):
        grads = random_like(params, j)
        current, kept = update(theta, grads, kept, current)
        for x, g in zip(theirs, leaves(grads), strict=True):
            x.grad = g
        adam.step()
    for ours, x in zip(leaves(current), theirs, strict=True):
        torch.testing.assert_close(ours, x.detach(), rtol=1e-6, atol=1e-7)


def test_the_size_of_all_gradients_does_not_matter_and_that_of_one_task_touches_no_other() -> None:
    theta, params, grads = _theta(), _params(), random_like(_params(), 9)
    first, _ = update(theta, grads, state(params), params)
    larger, _ = update(theta, tree_map(lambda g: 1e4 * g, grads), state(params), params)
    other = tree_map(lambda g: torch.cat([g[:1], g[1:] * torch.randn_like(g[1:])]), grads)
    beside, _ = update(theta, other, state(params), params)
    for a, b, c in zip(leaves(first), leaves(larger), leaves(beside), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
        assert torch.equal(a[0], c[0]) and not torch.equal(a[1], c[1])


def test_a_parameter_without_gradient_has_derivatives() -> None:
    theta, params = tree_map(lambda x: x.requires_grad_(), _theta()), _params()
    grads = tree_map(lambda x: torch.zeros_like(x).requires_grad_(), params)
    moved, _ = update(theta, grads, state(params), params)
    found = torch.autograd.grad(sum(x.sum() for x in leaves(moved)), [*leaves(theta), *leaves(grads)])
    assert all(bool(x.isfinite().all()) for x in found)


def test_shares_shorten_the_steps_of_their_tasks() -> None:
    theta, params, grads = _theta(), _params(), random_like(_params(), 9)
    whole, _ = update(theta, grads, state(params), params)
    half, _ = update(theta, grads, state(params), params, torch.tensor([1.0, 0.5], dtype=torch.float64))
    for start, a, b in zip(leaves(params), leaves(whole), leaves(half), strict=True):
        torch.testing.assert_close(b - start, (a - start) * torch.tensor([1.0, 0.5]).reshape(-1, *[1] * (a.dim() - 1)))


def test_what_is_forgotten_is_as_before_the_first_step() -> None:
    params = _params()
    _, kept = update(_theta(), random_like(params, 1), state(params), params)
    after, new = forgotten(kept, torch.tensor([False, True])), state(params)
    for name, x in after.items():
        at = (slice(None),) * (x.dim() - 2) if x.dim() > 1 else ()
        assert torch.equal(x[(*at, 1)], new[name][(*at, 1)]) and torch.equal(x[(*at, 0)], kept[name][(*at, 0)])


def test_the_gradient_through_unrolled_steps_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    waves, params, _ = fresh(2, generator)
    batches = [{name: x.double() for name, x in waves.points(6, generator).items()} for _ in range(4)]
    params, scale = tree_map(lambda x: x.double(), params), torch.tensor([3.0, 2.0, 1.5], dtype=torch.float64)
    theta = _theta(2)
    direction = random_like(theta, 4)

    def objective(h: float) -> torch.Tensor:
        moved = tree_map(lambda x, d: (x + h * d).detach().requires_grad_(), theta, direction)
        return unroll(moved, params, state(params), batches, scale)[0].detach()

    live = tree_map(lambda x: x.detach().requires_grad_(), theta)
    found = torch.autograd.grad(unroll(live, params, state(params), batches, scale)[0], leaves(live))
    slope = float(dot(with_leaves(theta, found), direction))
    assert slope == pytest.approx(float(objective(1e-6) - objective(-1e-6)) / 2e-6, rel=1e-5)


def test_what_is_learnt_is_better_than_the_adam_that_it_starts_as() -> None:
    cfg = OptimiserConfig(hidden_size=4, first_rate=1e-3, steps=60, learning_rate=0.03, unroll=5, horizon=10, tasks=4)
    generator = torch.Generator().manual_seed(8)
    waves, params, kept = fresh(32, generator)
    batches, scale = [waves.points(20, generator) for _ in range(11)], torch.ones(1)
    adam, learnt = (
        expm1(unroll(learn(replace(cfg, steps=n), 0).theta, params, kept, batches, scale)[0].detach()) for n in (0, 60)
    )
    assert learnt < 0.9 * adam


def test_a_seed_says_all_of_what_is_learnt() -> None:
    cfg = OptimiserConfig(hidden_size=2, steps=3, unroll=2, horizon=4, tasks=2)
    first, again, other = (leaves(learn(cfg, seed).theta) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def _made(cfg: OptimiserConfig = SMALL) -> OptimiserData:
    return OptimiserData(cfg, tree_map(lambda x: x.float(), _theta(cfg=cfg)))


def test_an_optimiser_comes_back_from_its_file() -> None:
    made = _made()
    again = from_bytes(to_bytes(made), "file")
    kept, own = flatten(again.theta, "t"), flatten(made.theta, "t")
    assert again.cfg == made.cfg and kept.keys() == own.keys()
    assert all(torch.equal(kept[n], own[n]) for n in own)
    assert float(with_rate(again, 0.5).theta["rate"]["log"].exp()) == pytest.approx(0.5)
    AdaptConfig(optimiser=to_bytes(_made(replace(SMALL, hidden_size=64))))  # the largest fits in


def test_damaged_optimisers_are_refused_by_name() -> None:
    content = to_bytes(_made())
    for damaged in (b"", b"x", content[:-1], content.replace(b"optimiser-1", b"optimiser-9")):
        with pytest.raises(InvalidInput, match="file: optimiser: not a file of an optimiser"):
            from_bytes(damaged, "file")
    with pytest.raises(InvalidInput, match="sees other features"):
        from_bytes(content.replace(b"0.999", b"0.998"), "file")
    with pytest.raises(InvalidInput, match="not those of its settings"):
        from_bytes(to_bytes(OptimiserData(replace(SMALL, hidden_size=2), _made().theta)), "file")
    spoilt = _made().theta | {"rate": {"log": torch.tensor([float("nan")])}}
    with pytest.raises(InvalidInput, match="theta/rate/log holds NaN"):
        from_bytes(to_bytes(OptimiserData(SMALL, spoilt)), "file")
    said = json.loads(tensor_file.read(content)[1]["optimiser"])
    huge = said | {"cfg": dump(SMALL) | {"hidden_size": 10**9}}
    with pytest.raises(InvalidInput, match="file: hidden_size"):
        from_bytes(tensor_file.write({}, {"format": FORMAT, "optimiser": json.dumps(huge)}), "file")
