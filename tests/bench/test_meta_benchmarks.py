"""What the benchmarks of meta-training compare: the same gradients, and the memory that graphs hold."""

import pytest
import torch

from bench import meta_problem
from bench.memory import saved_bytes


@pytest.mark.parametrize("others", ["by_torchopt", "by_loop"])
def test_everybody_computes_the_same_gradient(others: str) -> None:
    if others == "by_torchopt":
        pytest.importorskip("torchopt", exc_type=ImportError)
    ours = meta_problem.ours("maml", 2)()
    theirs = getattr(meta_problem, others)(2)()
    for name, leaf in ours["net"].items():
        torch.testing.assert_close(theirs["net"][name], leaf, rtol=1e-4, atol=1e-6)


def test_memory_of_the_implicit_gradient_does_not_grow_with_inner_steps() -> None:
    few, many = (saved_bytes(meta_problem.ours("imaml", steps)) for steps in (1, 12))
    assert 0 < many <= few


def test_memory_of_the_exact_gradient_grows_and_first_order_needs_less() -> None:
    few, many, first_order = (
        saved_bytes(meta_problem.ours(method, steps)) for method, steps in (("maml", 1), ("maml", 4), ("fomaml", 4))
    )
    assert first_order < few < many / 2


def test_shared_memory_is_counted_once() -> None:
    x = torch.randn(1000, requires_grad=True)
    kept = []
    assert saved_bytes(lambda: kept.append((x * x).sum())) == x.untyped_storage().nbytes()
