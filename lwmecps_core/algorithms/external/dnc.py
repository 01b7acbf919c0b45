"""The memory of a Differentiable Neural Computer: slots that are allocated, and links of the order of writing."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms.external.addressing import (
    LARGE,
    SHARE,
    MemorySize,
    Parts,
    Shapes,
    at_least_one,
    by_content,
    written,
)

MODES = 3
"""A read follows links backwards, goes by content, or follows them forwards."""


@dataclass(frozen=True)
class DifferentiableNeuralComputer:
    """Slots that are written where they are free or by content, and read by content or in the order of writing.

    Parts of what is remembered, with S slots of W numbers and R reads: `reads` `[R, W]`, `memory` `[S, W]`, `usage`
    `[S]`, `precedence` `[S]` (where was written last), `links` `[S, S]` (`[i, j]`: i was written after j),
    `write_weights` `[S]`, `read_weights` `[R, S]`.

    Source: Graves et al. 2016, Nature 538, 471–476, Methods.
    """

    size: MemorySize

    @property
    def memory(self) -> Shapes:
        """See above."""
        s = self.size
        return {
            "reads": (s.reads, s.width),
            "memory": (s.slots, s.width),
            "usage": (s.slots,),
            "precedence": (s.slots,),
            "links": (s.slots, s.slots),
            "write_weights": (s.slots,),
            "read_weights": (s.reads, s.slots),
        }

    @property
    def interface(self) -> Shapes:
        """The interface vector's parts (Methods, "Interface vector"), in the paper's order."""
        reads, width = self.size.reads, self.size.width
        return {
            "read_keys": (reads, width),
            "read_strengths": (reads,),
            "write_key": (width,),
            "write_strength": (1,),
            "erase": (width,),
            "write_vector": (width,),
            "free_gates": (reads,),
            "allocation_gate": (1,),
            "write_gate": (1,),
            "read_modes": (reads, MODES),
        }

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Numbers that are finite; but for those in slots and read from them, all are between 0 and 1."""
        return {name: LARGE if name in ("reads", "memory") else SHARE for name in self.memory}

    def step(self, told: Parts, memory: Parts) -> Parts:
        """What is remembered after one step: parts `[..., *shape]` → parts."""
        free, allocating, writing = (torch.sigmoid(told[n]) for n in ("free_gates", "allocation_gate", "write_gate"))
        used = usage(memory["usage"], memory["write_weights"], memory["read_weights"], free)
        strength = at_least_one(told["write_strength"])
        content = by_content(memory["memory"], told["write_key"].unsqueeze(-2), strength).squeeze(-2)
        by = writing * torch.lerp(content, allocation(used), allocating)
        slots = written(memory["memory"], by, torch.sigmoid(told["erase"]), told["write_vector"])
        links = linked(memory["links"], memory["precedence"], by)
        reading = self._read(told, slots, links, memory["read_weights"])
        return {
            "reads": reading @ slots,
            "memory": slots,
            "usage": used,
            "precedence": (1.0 - by.sum(-1, keepdim=True)) * memory["precedence"] + by,
            "links": links,
            "write_weights": by,
            "read_weights": reading,
        }

    def _read(self, told: Parts, slots: Tensor, links: Tensor, before: Tensor) -> Tensor:
        """Read weights `[..., R, S]`: a mixture of backwards, content and forwards ("Temporal memory linkage")."""
        backwards, forwards = before @ links, before @ links.mT
        content = by_content(slots, told["read_keys"], at_least_one(told["read_strengths"]))
        back, by, on = torch.softmax(told["read_modes"], -1).unsqueeze(-1).unbind(-2)
        return back * backwards + by * content + on * forwards


def usage(before: Tensor, writing: Tensor, reading: Tensor, free: Tensor) -> Tensor:
    """How much slots are in use `[..., S]`: those that were written to are, but for those whose reads `[..., R, S]` set
    them free, `[..., R]` ("Dynamic memory allocation").
    """
    kept = torch.ones_like(before)
    for weights, gate in zip(reading.unbind(-2), free.unbind(-1), strict=True):
        kept = kept * (1.0 - gate.unsqueeze(-1) * weights)
    return (before + writing - before * writing) * kept


def allocation(used: Tensor) -> Tensor:
    """Where to write next `[..., S]`: the free slots, the freest first; of those as free, the first (equation 1)."""
    order = torch.sort(used.detach(), dim=-1, stable=True).indices
    ascending = used.gather(-1, order)
    below = torch.cumprod(torch.cat([torch.ones_like(used[..., :1]), ascending[..., :-1]], -1), -1)
    return torch.zeros_like(used).scatter(-1, order, (1.0 - ascending) * below)


def linked(links: Tensor, precedence: Tensor, by: Tensor) -> Tensor:
    """Links `[..., S, S]` after slots were written to by `by` `[..., S]` ("Temporal memory linkage"); none from a slot
    to itself.
    """
    after, before = by.unsqueeze(-1), by.unsqueeze(-2)
    found = (1.0 - after - before) * links + after * precedence.unsqueeze(-2)
    return found * (1.0 - torch.eye(by.shape[-1], dtype=by.dtype))
