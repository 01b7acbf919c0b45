"""What every meta-learner promises (see `MetaLearner`), over every registered algorithm."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.belief_ppo import GROUP as BELIEF_GROUP
from lwmecps_core.meta.base import MetaGradient, MetaLearner, collections
from lwmecps_core.testing.examples import Example, first_cases, make, rollout, whole
from lwmecps_core.tree import expanded, expanded_extra, flatten, leaves, norm_by_task, row, tree_map, unflatten

STEPS, RATE = 2, 0.01


class Delayed:
    """An algorithm whose last inner group waits, without a loss, where the batch says so."""

    def __init__(self, algo: Algorithm) -> None:
        self._algo, self.waiting = algo, algo.inner_groups[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algo, name)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Those of the groups that don't wait."""
        found = self._algo.losses(params, extra, batch)
        return {g: x for g, x in found.items() if g != self.waiting} if bool(batch["waits"].any()) else found


class MetaLearnerConformance:
    """Subclass it and give it a `learner`; `example` is by default one of each registered algorithm."""

    @pytest.fixture(params=first_cases(), ids="-".join)
    def example(self, request: pytest.FixtureRequest) -> Example:
        return make(*request.param)

    @pytest.fixture
    def points(self, learner: MetaLearner, example: Example) -> list[Batch]:
        """Two tasks' batches, those of a chain of `STEPS` inner steps."""
        algo, params, extra = example
        start, many = expanded(params, 2), expanded_extra(extra, 2)
        count = collections(learner, STEPS)
        return [whole(algo, start, many, rollout(algo, params, extra, 10 + j)) for j in range(count)]

    def test_it_makes_a_tree_that_can_be_stored_moved_freely_and_brought_back(
        self, learner: MetaLearner, example: Example
    ) -> None:
        algo, params, _ = example
        learnt, again = (learner.init(algo, params, RATE) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(leaves(learnt), leaves(again), strict=True))
        assert unflatten(flatten(learnt, "learnt"), "learnt").keys() == learnt.keys()
        free = learner.free(learnt)
        assert all(bool(x.isfinite().all()) for x in leaves(free))
        back = learner.bound(free)
        assert {g: list(names) for g, names in back.items()} == {g: list(names) for g, names in learnt.items()}
        for a, b in zip(leaves(back), leaves(learnt), strict=True):
            torch.testing.assert_close(a, b)
        for far in (-1e3, 1e3):
            bound = learner.bound(tree_map(lambda x, far=far: torch.full_like(x, far), free))
            assert not any(bool(x.isnan().any()) for x in leaves(bound))

    def test_every_parameter_has_a_gradient_and_what_is_learnt_beside_them_all_or_none(
        self, learner: MetaLearner, example: Example, points: list[Batch]
    ) -> None:
        algo, params, extra = example
        learnt = learner.init(algo, params, RATE)
        found = learner.meta_gradient(algo, params, extra, learnt, points, STEPS)
        assert list(found.params) == list(params)
        assert all(g.shape == x.shape for g, x in zip(leaves(found.params), leaves(params), strict=True))
        for group, names in found.params.items():  # a belief learns by a bound of its own, beside all losses
            assert all(bool(g.any()) == (group != BELIEF_GROUP) for g in names.values())
        free = learner.free(learnt) if found.learnt else {}
        assert list(found.learnt) == list(free)
        assert all(g.shape == x.shape for g, x in zip(leaves(found.learnt), leaves(free), strict=True))
        everything = [*leaves(found.params), *leaves(found.learnt), found.loss_before, found.loss_after]
        assert all(bool(x.isfinite().all()) and not x.requires_grad for x in everything)
        assert {x.shape for x in (found.loss_before, found.loss_after, *found.metrics.values())} == {(2,)}

    def test_its_gradient_is_the_mean_over_tasks(
        self, learner: MetaLearner, example: Example, points: list[Batch]
    ) -> None:
        algo, params, extra = example
        learnt = learner.init(algo, params, RATE)

        def of(tasks: slice) -> MetaGradient:
            some = [{name: x[tasks] for name, x in point.items()} for point in points]
            return learner.meta_gradient(algo, params, extra, learnt, some, STEPS)

        together, first, second = of(slice(2)), of(slice(0, 1)), of(slice(1, 2))
        for part in ("params", "learnt"):
            for both, a, b in zip(*(leaves(getattr(x, part)) for x in (together, first, second)), strict=True):
                torch.testing.assert_close(both, (a + b) / 2, rtol=1e-6, atol=1e-9)

    def test_a_step_moves_the_inner_groups_alone_and_each_task_by_itself(
        self, learner: MetaLearner, example: Example, points: list[Batch]
    ) -> None:
        algo, params, extra = example
        start, many = expanded(params, 2), expanded_extra(extra, 2)
        learnt = learner.init(algo, params, RATE)
        stepped = learner.step(algo, start, start, many, expanded(learnt, 2), points[0])
        moved = {g for g in params if any(not torch.equal(x, start[g][n]) for n, x in stepped[g].items())}
        assert moved == set(algo.inner_groups)
        assert not any(x.requires_grad for x in leaves(stepped))
        for task in range(2):
            mine = {name: x[task : task + 1] for name, x in points[0].items()}
            one, alone = expanded(params, 1), expanded_extra(extra, 1)
            by_itself = learner.step(algo, one, one, alone, expanded(learnt, 1), mine)
            for a, b in zip(leaves(row(stepped, task)), leaves(row(by_itself, 0)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)

    def test_a_slower_rule_steps_so_much_less_from_the_start(
        self, learner: MetaLearner, example: Example, points: list[Batch]
    ) -> None:
        algo, params, extra = example
        start, many = expanded(params, 2), expanded_extra(extra, 2)
        learnt = expanded(learner.init(algo, params, RATE), 2)
        full, slow = (
            learner.step(algo, start, start, many, learner.slower(learnt, torch.tensor(shares)), points[0])
            for shares in ([1.0, 1.0], [1.0, 0.5])
        )
        way, less = (norm_by_task(tree_map(torch.sub, end, start)) for end in (full, slow))
        torch.testing.assert_close(less, way * torch.tensor([1.0, 0.5]), rtol=1e-6, atol=0.0)
        assert all(torch.equal(a[0], b[0]) for a, b in zip(leaves(full), leaves(slow), strict=True))

    def test_a_group_without_a_loss_takes_no_step_where_it_has_none_and_learns_where_it_has(
        self, learner: MetaLearner, example: Example, points: list[Batch]
    ) -> None:
        algo, params, extra = example
        if len(algo.inner_groups) == 1:
            pytest.skip("its one inner group always has a loss")
        delayed: Any = Delayed(algo)
        for point in points[:-1]:
            point["waits"] = torch.ones_like(point["weight"])
        points[-1]["waits"] = torch.zeros_like(points[-1]["weight"])
        learnt = learner.init(algo, params, RATE)
        start, many = expanded(params, 2), expanded_extra(extra, 2)
        stepped = learner.step(delayed, start, start, many, expanded(learnt, 2), points[0])
        assert all(torch.equal(x, start[delayed.waiting][n]) for n, x in stepped[delayed.waiting].items())
        assert any(not torch.equal(a, b) for a, b in zip(leaves(stepped), leaves(start), strict=True))
        found = learner.meta_gradient(delayed, params, extra, learnt, points, STEPS)
        assert all(bool(g.isfinite().all()) and bool(g.any()) for g in leaves(found.params))
