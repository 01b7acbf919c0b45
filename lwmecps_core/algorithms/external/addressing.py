"""What both external memories are made of: their sizes, their numbers side by side, and addressing by content."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Name → shape of one unit's part, in the order in which parts lie side by side."""
Parts = dict[str, Tensor]
LARGE, SHARE = (-1e6, 1e6), (0.0, 1.0)
"""What numbers in slots may be, and weights of these."""
SMALL = 1e-4
"""Added to squared lengths: an empty slot is like no key, and no gradient through it is above a hundred times its
own."""


@dataclass(frozen=True)
class MemorySize:
    """Slots of a memory, numbers in each, and how many are read at a time."""

    slots: int
    width: int
    reads: int


class Core(Protocol):
    """An external memory. All of it is 0 where nothing was seen, and what was read comes first in it (`reads`)."""

    @property
    def size(self) -> MemorySize:
        """Of the memory."""

    @property
    def memory(self) -> Shapes:
        """What is remembered."""

    @property
    def interface(self) -> Shapes:
        """What a controller tells it in one step."""

    def step(self, told: Parts, memory: Parts) -> Parts:
        """What is remembered after one step."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """What the numbers of each part may be: whoever keeps a memory for us may send it back as it never was."""


def numbers(shapes: Shapes) -> int:
    """How many there are in all parts."""
    return sum(prod(shape) for shape in shapes.values())


def split(x: Tensor, shapes: Shapes) -> Parts:
    """Numbers `[..., n]` as parts `[..., *shape]`."""
    parts = torch.split(x, [prod(shape) for shape in shapes.values()], -1)
    return {name: part.reshape(*x.shape[:-1], *shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def joined(parts: Parts, shapes: Shapes) -> Tensor:
    """Parts `[..., *shape]` as numbers `[..., n]`."""
    return torch.cat([parts[name].flatten(parts[name].dim() - len(shape)) for name, shape in shapes.items()], -1)


def bounds(core: Core) -> tuple[Tensor, Tensor]:
    """The least and the largest of all that can be remembered, `[M]` each."""
    found = [core.bounds[name] for name, shape in core.memory.items() for _ in range(prod(shape))]
    low, high = torch.tensor(found).unbind(-1)
    return low, high


def by_content(memory: Tensor, keys: Tensor, strengths: Tensor) -> Tensor:
    """Weights of slots `[..., S, W]` by how like they are to keys `[..., R, W]`, with strengths `[..., R]`:
    `[..., R, S]`.

    A softmax of cosine similarities times strengths (Graves et al. 2014, arXiv:1410.5401, equations 5 and 6; Graves et
    al. 2016, Nature 538, 471–476, Methods, "Content-based addressing"). Lengths have `SMALL` added, so that neither an
    empty slot nor a key of zeros is divided by 0.
    """
    lengths = (x.square().sum(-1) + SMALL for x in (keys, memory))
    of_keys, of_slots = (x.rsqrt() for x in lengths)
    similarity = (keys @ memory.mT) * of_keys.unsqueeze(-1) * of_slots.unsqueeze(-2)
    return torch.softmax(similarity * strengths.unsqueeze(-1), -1)


def written(memory: Tensor, weights: Tensor, erase: Tensor, vector: Tensor) -> Tensor:
    """Slots `[..., S, W]` after `weights` `[..., S]` of them were erased by `erase` and given `vector`, `[..., W]` each
    (Graves et al. 2014, equations 3 and 4).
    """
    by = weights.unsqueeze(-1)
    return memory * (1.0 - by * erase.unsqueeze(-2)) + by * vector.unsqueeze(-2)


def at_least_one(x: Tensor) -> Tensor:
    """1 + log(1 + e^x) (Graves et al. 2016, "oneplus")."""
    return 1.0 + F.softplus(x)
