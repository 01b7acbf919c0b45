"""The compiled meta-gradient: the same numbers, one program for each shape."""

import shutil

import pytest
import torch

from bench.meta_problem import data
from bench.validation.sinusoid import SquaredError
from lwmecps_core import meta
from lwmecps_core.meta.base import collections
from lwmecps_core.meta.compiled import Compiled
from lwmecps_core.run_config import MetaConfig
from lwmecps_core.tree import tree_map


@pytest.mark.parametrize("method", ["maml", "fomaml"])
def test_the_program_gives_the_gradients_of_the_learner_itself(method: str) -> None:
    problem, plain = SquaredError(), meta.REGISTRY[method]
    cfg = MetaConfig(method=method, adaptation_steps=1, inner_lr=0.05)
    compiled = Compiled(plain, backend="eager")
    for seed in (0, 1):  # the second time there is a program already, and other weights
        params = problem.init(torch.Generator().manual_seed(seed))
        rates = tree_map(lambda leaf: torch.full_like(leaf, cfg.inner_lr), params)
        support, query = data()
        points = [support] * (collections(plain, cfg) - 1) + [query]
        ours, wanted = (x.meta_gradient(problem, params, {}, rates, points, cfg) for x in (compiled, plain))
        torch.testing.assert_close(ours.params, wanted.params)
        torch.testing.assert_close(ours.rates, wanted.rates)
        torch.testing.assert_close(ours.loss_before, wanted.loss_before)
        torch.testing.assert_close(ours.loss_after, wanted.loss_after)


def test_other_shapes_and_settings_get_programs_of_their_own() -> None:
    problem, compiled = SquaredError(), Compiled(meta.REGISTRY["fomaml"], backend="eager")
    params = problem.init(torch.Generator().manual_seed(0))
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    support, query = data()
    few = [{name: x[:3] for name, x in batch.items()} for batch in (support, query)]
    last, both = (MetaConfig(method="fomaml", adaptation_steps=1, multi_step_loss=share) for share in (0.0, 0.9))
    for points, settings in (([support, query], last), (few, last), (few, both)):
        wanted = meta.REGISTRY["fomaml"].meta_gradient(problem, params, {}, rates, points, settings)
        found = compiled.meta_gradient(problem, params, {}, rates, points, settings)
        torch.testing.assert_close(found.params, wanted.params)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_program_takes_tensors_of_any_layout_and_of_any_graph() -> None:
    """It was compiled for contiguous ones, and checks nothing itself."""
    problem, plain = SquaredError(), meta.REGISTRY["fomaml"]
    cfg, compiled = MetaConfig(method="fomaml", adaptation_steps=1, multi_step_loss=0.0), Compiled(plain)
    params = problem.init(torch.Generator().manual_seed(0))
    rates = tree_map(lambda leaf: torch.full_like(leaf, 0.05), params)
    points = data()
    turned = tree_map(lambda leaf: leaf.mT.contiguous().mT.requires_grad_() * 1.0 if leaf.dim() > 1 else leaf, params)
    reversed_tasks = [
        {name: x.flip(0).transpose(0, 1).contiguous().transpose(0, 1) for name, x in batch.items()} for batch in points
    ]
    for given, batches in ((params, points), (turned, reversed_tasks)):
        wanted = plain.meta_gradient(problem, given, {}, rates, batches, cfg)
        found = compiled.meta_gradient(problem, given, {}, rates, batches, cfg)
        torch.testing.assert_close(found.params, wanted.params)
        torch.testing.assert_close(found.rates, wanted.rates)
