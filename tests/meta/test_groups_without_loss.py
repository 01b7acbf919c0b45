"""What a meta-gradient is where a group has no loss at some of the points, or at none; the suite has the rest."""

from typing import Any

import pytest
import torch

from lwmecps_core import meta
from lwmecps_core.meta import REGISTRY
from lwmecps_core.meta.base import MetaGradient, collections
from lwmecps_core.run_config import META_LEARNERS
from lwmecps_core.testing.examples import make, rollout, whole
from lwmecps_core.testing.meta_learners import Delayed
from lwmecps_core.tree import expanded, expanded_extra


def _found(method: str, waits: list[bool]) -> tuple[MetaGradient, str]:
    """TD3's gradient where one group waits at these points, and which group that is."""
    learner = meta.make(META_LEARNERS[method]())
    algo, params, extra = make("td3", "box")
    start, many = expanded(params, 2), expanded_extra(extra, 2)
    points = [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(collections(learner, 2))]
    for point, wait in zip(points, waits[-len(points) :], strict=True):
        point["waits"] = torch.full_like(point["weight"], wait, dtype=torch.bool)
    delayed: Any = Delayed(algo)
    return learner.meta_gradient(delayed, params, extra, learner.init(algo, params, 0.01), points, 2), delayed.waiting


@pytest.mark.parametrize("method", REGISTRY)
def test_where_only_the_last_point_has_no_loss_for_it_the_rest_learns_on(method: str) -> None:
    found, waiting = _found(method, [False, False, True])
    assert set(found.params) == {"actor", "critic"}
    (other,) = set(found.params) - {waiting}
    assert all(bool(g.any()) for g in found.params[other].values())


@pytest.mark.parametrize("method", ["fomaml", "reptile"])
def test_a_group_that_never_has_a_loss_has_a_gradient_of_zero(method: str) -> None:
    found, waiting = _found(method, [True, True, True])
    (other,) = set(found.params) - {waiting}
    assert not any(bool(g.any()) for g in found.params[waiting].values())
    assert all(bool(g.any()) for g in found.params[other].values())
