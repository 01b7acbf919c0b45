"""A group that has no loss in a step, as an actor whose update is delayed: every meta-learner leaves it as it is."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lwmecps_core import meta
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta import REGISTRY
from lwmecps_core.meta.base import MetaGradient, collections
from lwmecps_core.run_config import META_LEARNERS
from lwmecps_core.tree import expanded, expanded_extra, leaves
from tests.algorithms.factory import make, rollout, whole

CASES = [("td3", "box"), ("sac", "rows")]


class Delayed:
    """An algorithm whose actor waits where the batch says so."""

    def __init__(self, algo: Algorithm) -> None:
        self._algo = algo

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algo, name)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        found = self._algo.losses(params, extra, batch)
        return {g: x for g, x in found.items() if g != "actor"} if bool(batch["waits"].any()) else found


def _found(method: str, name: str, spec: str, waits: list[bool]) -> tuple[MetaGradient, Params, Params]:
    """The gradient where the actor waits at these points; the start; and where one step on the first point leads."""
    learner = meta.make(META_LEARNERS[method]())
    algo, params, extra = make(name, spec)
    start, many = expanded(params, 2), expanded_extra(extra, 2)
    points = [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(collections(learner, 2))]
    for point, wait in zip(points, waits[-len(points) :], strict=True):
        point["waits"] = torch.full_like(point["weight"], wait, dtype=torch.bool)
    learnt = learner.init(algo, params, 0.01)
    delayed: Any = Delayed(algo)
    found = learner.meta_gradient(delayed, params, extra, learnt, points, 2)
    return found, start, learner.step(delayed, start, start, many, learnt, points[0])


@pytest.mark.parametrize("method", REGISTRY)
@pytest.mark.parametrize(("name", "spec"), CASES)
def test_it_takes_no_inner_step_where_it_has_no_loss_and_learns_where_it_has(method: str, name: str, spec: str) -> None:
    found, start, stepped = _found(method, name, spec, [True, True, False])
    assert all(torch.equal(x, start["actor"][n]) for n, x in stepped["actor"].items())
    assert any(not torch.equal(x, start["critic"][n]) for n, x in stepped["critic"].items())
    assert all(bool(g.isfinite().all()) and bool(g.any()) for g in leaves(found.params))


@pytest.mark.parametrize("method", REGISTRY)
@pytest.mark.parametrize(("name", "spec"), CASES)
def test_where_only_the_last_point_has_no_loss_for_it_the_rest_learns_on(method: str, name: str, spec: str) -> None:
    found, start, stepped = _found(method, name, spec, [False, False, True])
    assert found.params.keys() == start.keys()
    assert all(g.shape == x.shape[1:] for g, x in zip(leaves(found.params), leaves(start), strict=True))
    assert all(bool(g.any()) for g in found.params["critic"].values())
    assert any(not torch.equal(x, start["actor"][n]) for n, x in stepped["actor"].items())


@pytest.mark.parametrize("method", ["fomaml", "reptile"])
def test_a_group_that_never_has_a_loss_has_a_gradient_of_zero(method: str) -> None:
    found, _, _ = _found(method, "td3", "box", [True, True, True])
    assert not any(bool(g.any()) for g in found.params["actor"].values())
    assert all(bool(g.any()) for g in found.params["critic"].values())
