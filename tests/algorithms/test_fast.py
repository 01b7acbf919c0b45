"""Operations that are written for speed: the same values, gradients and gradients of gradients as PyTorch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms import fast

ONE = (
    (fast.tanh, torch.tanh),
    (lambda x: fast.amax(x, (-3, -2)), lambda x: x.amax((-3, -2), keepdim=True)),
    (lambda x: fast.mean(x, (-3, -2)), lambda x: x.mean((-3, -2), keepdim=True)),
)


@pytest.mark.parametrize(("ours", "theirs"), ONE, ids=("tanh", "amax", "mean"))
def test_of_one_tensor(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]) -> None:
    x = 3.0 * torch.randn(2, 5, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _same(ours, theirs, x)
    assert torch.autograd.gradgradcheck(ours, x[0, :2].requires_grad_())


@pytest.mark.parametrize("columns", [1, 3, 15, 16])
@pytest.mark.parametrize("weights", [(2, 4), (4,)], ids=("for each task", "for all"))
def test_products(columns: int, weights: tuple[int, ...]) -> None:
    gen = torch.Generator().manual_seed(2)
    x = torch.randn(2, 7, 4, dtype=torch.float64, generator=gen)
    weight = torch.randn(*weights, columns, dtype=torch.float64, generator=gen)
    _same(fast.product, torch.matmul, x, weight)
    given = (x.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradgradcheck(fast.product, given)


def test_the_largest_share_their_gradient() -> None:
    x = torch.tensor([[1.0, 3.0, 3.0]]).unsqueeze(-1).requires_grad_()
    (found,) = torch.autograd.grad(fast.amax(x, (-2,)).sum(), x)
    assert found.flatten().tolist() == [0.0, 0.5, 0.5]


def test_tanh_is_right_far_out_and_near_zero() -> None:
    x = torch.cat([torch.linspace(-30, 30, 100_001), torch.tensor([0.0, 1e-8, -1e-8, 1e4, -1e4])])
    error = (fast.tanh(x).double() - torch.tanh(x.double())).abs()
    assert error.max() < 2e-7 and fast.tanh(x).abs().max() <= 1.0


def _same(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *given: Tensor) -> None:
    """Values, and first and second gradients of a function of them, with respect to all that was given."""
    found = []
    for function in (ours, theirs):
        own = [x.clone().requires_grad_() for x in given]
        y = function(*own)
        first = torch.autograd.grad((y.sin() * y).sum(), own, create_graph=True)
        second = torch.autograd.grad(sum(g.pow(2).sum() for g in first), own, allow_unused=True)
        found.append([y, *first, *(torch.zeros(()) if g is None else g for g in second)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
