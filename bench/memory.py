"""How much a computation keeps for its passes backwards."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class _Kept:
    """A tensor that a graph holds on to; counted from its making to its end, once for each memory it uses."""

    def __init__(self, tensor: Tensor, alive: "Counter[tuple[int, int]]", peak: Callable[[], None]) -> None:
        self.tensor, self._alive = tensor, alive
        storage = tensor.untyped_storage()
        self._place = (storage.data_ptr(), storage.nbytes())
        alive[self._place] += 1
        peak()

    def __del__(self) -> None:
        self._alive[self._place] -= 1
        if not self._alive[self._place]:
            del self._alive[self._place]


def saved_bytes(work: Callable[[], Any]) -> int:
    """Most bytes that autograd graphs hold at one moment of `work`, memory that tensors share counted once."""
    alive: Counter[tuple[int, int]] = Counter()
    most = 0

    def peak() -> None:
        nonlocal most
        most = max(most, sum(size for _, size in alive))

    with saved_tensors_hooks(lambda tensor: _Kept(tensor, alive, peak), lambda kept: kept.tensor):
        work()
    return most
