"""A meta-learner's gradient as one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import lookup_backend
from torch._inductor import config as inductor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.base import MetaGradient, MetaLearner
from lwmecps_core.tree import leaves, with_leaves

Program = Callable[..., Any]


class Compiled:
    """The same meta-learner; each `meta_gradient` for other steps or shapes is first traced, with all the passes
    backwards in it, and compiled.

    That takes up to a minute and needs a C++ compiler, and then saves most of the time where tensors are small: between
    fused operations nothing goes through Python or memory. So it pays for thousands of iterations of unchanging shape.
    Results differ from uncompiled ones by rounding. `backend` is that of `torch.compile`.
    """

    def __init__(self, learner: MetaLearner, backend: str = "inductor") -> None:
        self._learner, self._backend = learner, backend
        self._programs: dict[Any, tuple[Program, MetaGradient]] = {}

    def __getattr__(self, name: str) -> Any:
        """Everything else is the learner's own, not compiled."""
        return getattr(self._learner, name)

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """See `MetaLearner.meta_gradient`."""
        # Flat by hand: what comes with PyTorch for any structure takes longer than the gradient itself.
        given = [*params.values(), extra, *learnt.values(), *points]
        inputs = [leaf.contiguous() for part in given for leaf in part.values()]
        names = tuple(name for part in given for name in part)
        shapes = tuple((x.shape, x.dtype) for x in inputs)
        key = (algo, steps, tuple(params), tuple(learnt), len(points), names, shapes)
        if key not in self._programs:
            self._programs[key] = self._program(algo, (params, extra, learnt, list(points)), inputs, steps)
        program, names_of = self._programs[key]
        with torch.no_grad():
            found = iter(program(*inputs))
        return MetaGradient(
            with_leaves(names_of.params, found),
            with_leaves(names_of.learnt, found),
            next(found),
            next(found),
            {name: next(found) for name in names_of.metrics},
        )

    def _program(
        self, algo: Algorithm, given: tuple[Any, ...], inputs: list[Tensor], steps: int
    ) -> tuple[Program, MetaGradient]:
        """The program from flat inputs to flat results, and results that say what their names are."""
        _, structure = pytree.tree_flatten(given)
        first: list[MetaGradient] = []

        def whole(*flat: Tensor) -> list[Tensor]:
            params, extra, learnt, points = pytree.tree_unflatten(flat, structure)
            found = self._learner.meta_gradient(algo, params, extra, learnt, points, steps)
            first.append(found)
            losses = [found.loss_before, found.loss_after]
            return [*leaves(found.params), *leaves(found.learnt), *losses, *found.metrics.values()]

        inputs = [x.detach() for x in inputs]
        traced = make_fx(whole)(*inputs)
        # The backend itself, not `torch.compile`, and without assertions: the key holds what they check in every call.
        with torch.no_grad(), inductor.patch(size_asserts=False):
            return lookup_backend(self._backend)(traced, inputs), first[0]
