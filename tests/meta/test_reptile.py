"""Reptile against plain descent on each task."""

import pytest
import torch

from lwmecps_core.algorithms.base import Params
from lwmecps_core.meta.reptile import Reptile
from lwmecps_core.run_config import ReptileConfig
from lwmecps_core.testing.examples import first_cases, make, rollout, whole
from lwmecps_core.tree import expanded, expanded_extra, leaves, tree_map
from tests.meta.trees import adapt, own_gradients

RATE = 0.05


@pytest.mark.parametrize(("name", "spec"), first_cases())
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_its_gradient_is_the_way_that_descent_went_divided_by_the_rate(name: str, spec: str, steps: int) -> None:
    algo, params, extra = make(name, spec)
    many, start = expanded_extra(extra, 2), expanded(params, 2)
    points = [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(steps)]
    inner = {group: params[group] for group in algo.inner_groups}
    rates = tree_map(lambda leaf: torch.full_like(leaf, RATE), inner)
    found = Reptile(ReptileConfig()).meta_gradient(algo, params, extra, rates, points, steps)
    assert found.learnt == {}
    end = adapt(algo, tree_map(lambda leaf: leaf.clone().requires_grad_(), start), many, rates, points)
    for group, names in inner.items():
        for leaf, old in names.items():
            way = (old - end[group][leaf].detach()).mean(0) / RATE
            torch.testing.assert_close(found.params[group][leaf], way, rtol=1e-9, atol=1e-11)
    joint: Params = tree_map(lambda g: g.mean(0), own_gradients(algo, start, many, points[0]))
    same = [
        torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(leaves(found.params), leaves(joint), strict=True)
    ]
    assert all(same) if steps == 1 else not all(same)
