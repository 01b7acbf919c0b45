"""One file format under policies, snapshots and checkpoints."""

from math import inf, nan

import pytest
import torch

from lwmecps_core import tensor_file
from lwmecps_core.errors import InvalidInput


def test_views_of_shared_memory_come_back_equal() -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    given = {"whole": shared, "turned": shared.T, "row": shared[1], "wide": shared[0].expand(4, 3), "none": shared[:0]}
    tensors, header = tensor_file.read(tensor_file.write(given, {"a": "1", "b": "2"}))
    assert header == {"a": "1", "b": "2"}
    assert tensors.keys() == given.keys()
    assert all(torch.equal(tensors[name], given[name]) for name in given)


def test_tensors_come_in_one_order_whenever_they_are_read() -> None:
    file = tensor_file.write({f"x{i}": torch.ones(1) for i in (3, 1, 4, 0, 5, 2)}, {})
    assert {tuple(tensor_file.read(file)[0]) for _ in range(20)} == {("x0", "x1", "x2", "x3", "x4", "x5")}


def test_a_gradient_does_not_reach_the_file() -> None:
    (leaf,) = tensor_file.read(tensor_file.write({"x": torch.ones(2, requires_grad=True)}, {}))[0].values()
    assert not leaf.requires_grad


@pytest.mark.parametrize("bad", (nan, inf, -inf))
def test_what_is_not_finite_is_named(bad: float) -> None:
    tensors = {"fine": torch.ones(2), "whole": torch.ones(2, dtype=torch.int64), "spoilt": torch.tensor([1.0, bad])}
    with pytest.raises(ValueError, match=r"^spoilt holds NaN or infinite numbers"):
        tensor_file.check_finite(tensors)


@pytest.mark.parametrize("data", (b"", b"12345678", b"\xff" * 64, tensor_file.write({"x": torch.ones(3)}, {})[:-3]))
def test_bytes_of_another_kind_are_refused_in_the_readers_words(data: bytes) -> None:
    with (
        pytest.raises(InvalidInput, match="file f: weights: not a policy: "),
        tensor_file.reading("file f", "weights", "policy"),
    ):
        tensor_file.read(data)
