"""Operations that PyTorch has, in forms that take a fraction of its time on a CPU.

Results differ from PyTorch's by rounding. Gradients are made of differentiable operations, since meta-learners go
through them again; where nobody asks for gradients, nothing stands between an operation and its result.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

NARROW = 16
"""Fewer columns than this make a product slow."""


class _Tanh(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = _tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        return torch.ops.aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]


class _Maximum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        y = x.amax(axes, keepdim=True)
        ctx.axes = axes
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        largest = (x - y).sign_().add_(1.0)  # 1 or 0: comparisons, which give booleans, take three times as long
        return largest * (gradient / largest.sum(ctx.axes, keepdim=True)), None


class _Narrow(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _narrow(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        return gradient @ weight.mT if of_x else None, (gradient.mT @ x).mT if of_weight else None


def _tanh(x: Tensor) -> Tensor:
    return torch.sigmoid(2.0 * x).mul_(2.0).sub_(1.0)


def _narrow(x: Tensor, weight: Tensor) -> Tensor:
    return (weight.mT @ x.mT).mT


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, as 2 σ(2x) − 1: within 2e-7."""
    if not torch.is_grad_enabled():
        return _tanh(x)
    found: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
    return found


def amax(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The maximum over some axes, which stay with size 1; where several are largest, they share its gradient."""
    if not torch.is_grad_enabled():
        return x.amax(axes, keepdim=True)
    found: Tensor = _Maximum.apply(x, axes)  # type: ignore[no-untyped-call]
    return found


def mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The mean over some axes, which stay with size 1: a sum, divided once it is one (also in the gradient)."""
    total: Tensor = x.sum(axes, keepdim=True)
    return total / prod(x.shape[axis] for axis in axes)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """`x` `[..., rows, in]` @ `weight` `[..., in, out]`; of few columns, these lie in memory one after another."""
    if weight.shape[-1] >= NARROW or weight.shape[-1] == 1 or x.shape[:-2] != weight.shape[:-2]:
        return x @ weight
    if not torch.is_grad_enabled():
        return _narrow(x, weight)
    found: Tensor = _Narrow.apply(x, weight)  # type: ignore[no-untyped-call]
    return found
