"""The compiled meta-gradient: the same numbers, one program for each shape."""

import shutil

import pytest
import torch

from bench.meta_problem import data
from bench.validation.sinusoid import SquaredError
from lwmecps_core import meta
from lwmecps_core.meta.base import collections
from lwmecps_core.meta.compiled import Compiled
from lwmecps_core.run_config import META_LEARNERS, FOMAMLConfig
from lwmecps_core.tree import tree_map


@pytest.mark.parametrize("method", ["maml", "fomaml"])
def test_the_program_gives_the_gradients_of_the_learner_itself(method: str) -> None:
    problem, plain = SquaredError(), meta.make(META_LEARNERS[method]())
    compiled = Compiled(plain, backend="eager")
    for seed in (0, 1):  # the second time there is a program already, and other weights
        params = problem.init(torch.Generator().manual_seed(seed))
        rates = plain.init(problem, params, 0.05)
        support, query = data()
        points = [support] * (collections(plain, 1) - 1) + [query]
        ours, wanted = (x.meta_gradient(problem, params, {}, rates, points, 1) for x in (compiled, plain))
        torch.testing.assert_close(ours.params, wanted.params)
        torch.testing.assert_close(ours.learnt, wanted.learnt)
        torch.testing.assert_close(ours.loss_before, wanted.loss_before)
        torch.testing.assert_close(ours.loss_after, wanted.loss_after)


def test_other_shapes_and_steps_get_programs_of_their_own() -> None:
    problem, plain = SquaredError(), meta.make(FOMAMLConfig())
    compiled = Compiled(plain, backend="eager")
    params = problem.init(torch.Generator().manual_seed(0))
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    support, query = data()
    few = [{name: x[:3] for name, x in batch.items()} for batch in (support, query)]
    for points, steps in (([support, query], 1), (few, 1), ([few[0], *few], 2)):
        wanted = plain.meta_gradient(problem, params, {}, rates, points, steps)
        found = compiled.meta_gradient(problem, params, {}, rates, points, steps)
        torch.testing.assert_close(found.params, wanted.params)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_program_takes_tensors_of_any_layout_and_of_any_graph() -> None:
    """It was compiled for contiguous ones, and checks nothing itself."""
    problem, plain = SquaredError(), meta.make(FOMAMLConfig(multi_step_loss=0.0))
    compiled = Compiled(plain)
    params = problem.init(torch.Generator().manual_seed(0))
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    points = data()
    turned = tree_map(lambda leaf: leaf.mT.contiguous().mT.requires_grad_() * 1.0 if leaf.dim() > 1 else leaf, params)
    reversed_tasks = [
        {name: x.flip(0).transpose(0, 1).contiguous().transpose(0, 1) for name, x in batch.items()} for batch in points
    ]
    for given, batches in ((params, points), (turned, reversed_tasks)):
        wanted = plain.meta_gradient(problem, given, {}, rates, batches, 1)
        found = compiled.meta_gradient(problem, given, {}, rates, batches, 1)
        torch.testing.assert_close(found.params, wanted.params)
        torch.testing.assert_close(found.learnt, wanted.learnt)
