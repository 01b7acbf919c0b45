"""A memory of transitions takes new ones in as concatenation does."""

import pytest
import torch

from lwmecps_core.algorithms.base import Batch
from lwmecps_core.training.remembering import Remembered

SIZE = 10


def _fields(first: int, count: int) -> Batch:
    numbers = torch.arange(first, first + count)
    return {"obs": numbers.float().repeat(2, 1).unsqueeze(-1) * torch.ones(3), "weight": numbers.repeat(2, 1) % 2 == 0}


@pytest.mark.parametrize("counts", [[3] * 20, [10] * 4, [25, 1, 1], [1] * 45, [4, 7, 9, 2, 10, 13, 1, 8]])
@pytest.mark.parametrize("given", [0, 4, 10])
def test_the_newest_are_kept_in_order_however_many_come_at_once(counts: list[int], given: int) -> None:
    whole = _fields(0, given)
    memory = Remembered(SIZE, whole if given else None)
    for count in counts:
        new = _fields(whole["weight"].shape[1], count)
        whole = {name: torch.cat([x, new[name]], dim=1) for name, x in whole.items()}
        kept = memory.add(new)
        for name, x in whole.items():
            assert kept[name].dtype == x.dtype and torch.equal(kept[name], x[:, -SIZE:])
        assert memory.fields is kept


def test_most_collections_copy_only_what_is_new() -> None:
    memory, places = Remembered(100), []
    for i in range(500):
        places.append(memory.add(_fields(2 * i, 2))["weight"].untyped_storage())  # held, so that no place is used twice
    assert len({place.data_ptr() for place in places}) <= 7  # buffers of 4, 12, 28, 60, 124 and 200


def test_buffers_are_no_longer_than_twice_what_they_hold() -> None:
    """A memory that may hold more than there is room for is none that takes it."""
    memory = Remembered(10**12)
    for i in range(100):
        kept = memory.add(_fields(3 * i, 3))["obs"]
        assert kept.untyped_storage().nbytes() <= 2 * kept.numel() * kept.element_size()
