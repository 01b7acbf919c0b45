"""The registry of meta-learners."""

from typing import get_args, get_type_hints

import pytest
import torch

from lwmecps_core.meta import REGISTRY
from lwmecps_core.meta.base import collections, point_weights
from lwmecps_core.run_config import MetaConfig
from lwmecps_core.tree import expanded, expanded_extra, leaves, tree_map
from tests.algorithms.factory import first_cases, make, rollout, whole


def test_every_method_of_the_settings_has_a_meta_learner() -> None:
    assert set(get_args(get_type_hints(MetaConfig)["method"])) == set(REGISTRY)


@pytest.mark.parametrize("method", REGISTRY)
@pytest.mark.parametrize(("name", "spec"), first_cases())
def test_any_method_gives_every_parameter_of_any_algorithm_a_gradient(method: str, name: str, spec: str) -> None:
    learner, cfg = REGISTRY[method], MetaConfig(method=method, adaptation_steps=2)  # type: ignore[arg-type]
    algo, params, extra = make(name, spec)
    start, many = expanded(params, 2), expanded_extra(extra, 2)
    points = [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(collections(learner, cfg))]
    inner = {group: params[group] for group in algo.inner_groups}
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.01), inner)
    found = learner.meta_gradient(algo, params, extra, rates, points, cfg)
    assert all(g.shape == x.shape and bool(g.any()) for g, x in zip(leaves(found.params), leaves(params), strict=True))
    assert found.params.keys() == params.keys()
    assert found.loss_before.shape == found.loss_after.shape == (2,)
    stepped = learner.step(algo, start, start, many, rates, points[0], cfg)
    moved = {g for g in params if any(not torch.equal(x, start[g][n]) for n, x in stepped[g].items())}
    assert moved == set(inner)


def test_the_points_before_the_last_share_what_the_multi_step_loss_gives_them() -> None:
    assert point_weights(MetaConfig(multi_step_loss=0.5), 3) == (0.25, 0.25, 0.5)
    assert point_weights(MetaConfig(multi_step_loss=0.0), 2) == (0.0, 1.0)
