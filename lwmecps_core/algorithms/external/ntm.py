"""The memory of a Neural Turing Machine: slots that are addressed by content, or by where the head was before."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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

FAINT = 1e-6
"""Added to weights before they are sharpened, so that a weight of 0 has a logarithm."""
SHIFTS = 3
"""A head moves by one slot backwards, by none, or by one forwards."""


@dataclass(frozen=True)
class NeuralTuringMachine:
    """Slots, one head that writes to them, and those that read, which see what was just written.

    Parts of what is remembered, with S slots of W numbers and R heads that read: `reads` `[R, W]`, `memory` `[S, W]`,
    `weights` `[R + 1, S]` (where each head is, the writing one first). A head that was nowhere yet is at the first
    slot: there lies all weight that is missing to 1.

    Source: Graves et al. 2014, arXiv:1410.5401, section 3. That memory begins as a constant is what learns soonest
    (Collier and Beel 2018, arXiv:1807.08518).
    """

    size: MemorySize

    @property
    def memory(self) -> Shapes:
        """See above."""
        s = self.size
        return {"reads": (s.reads, s.width), "memory": (s.slots, s.width), "weights": (s.reads + 1, s.slots)}

    @property
    def interface(self) -> Shapes:
        """For every head, the writing one first, a key, its strength, whether to heed it, a shift and a sharpness; then
        what is erased and what is added.
        """
        heads, width = self.size.reads + 1, self.size.width
        return {
            "keys": (heads, width),
            "strengths": (heads,),
            "gates": (heads,),
            "shifts": (heads, SHIFTS),
            "sharpness": (heads,),
            "erase": (width,),
            "add": (width,),
        }

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Numbers that are finite, and weights between 0 and 1."""
        return {"reads": LARGE, "memory": LARGE, "weights": SHARE}

    def step(self, told: Parts, memory: Parts) -> Parts:
        """What is remembered after one step: parts `[..., *shape]` → parts.

        It writes (equations 3 and 4), where `addressed` says by the slots as they were, then reads (equation 2), where
        `addressed` says by the slots as they are now.
        """
        first, others = slice(None, 1), slice(1, None)
        by = addressed(told, memory["weights"], memory["memory"], first)
        slots = written(memory["memory"], by.squeeze(-2), torch.sigmoid(told["erase"]), told["add"])
        reading = addressed(told, memory["weights"], slots, others)
        return {"reads": reading @ slots, "memory": slots, "weights": torch.cat([by, reading], -2)}


def addressed(told: Parts, before: Tensor, slots: Tensor, heads: slice) -> Tensor:
    """Where some heads go: their rows of `weights` `[..., R + 1, S]` → `[..., heads, S]`.

    By content (equation 5) or where the head was (7), shifted around the circle of slots (8) and sharpened (9).
    """
    keys, shifts = told["keys"][..., heads, :], torch.softmax(told["shifts"][..., heads, :], -1)
    strengths, gates, sharpness = (told[name][..., heads] for name in ("strengths", "gates", "sharpness"))
    content = by_content(slots, keys, F.softplus(strengths))
    gated = torch.lerp(whole(before[..., heads, :]), content, torch.sigmoid(gates).unsqueeze(-1))
    back, stay, on = (gated.roll(i - 1, -1) * shifts[..., i, None] for i in range(SHIFTS))
    shifted = back + stay + on
    # The powers of equation 9 over their sum, without underflow.
    return torch.softmax(at_least_one(sharpness).unsqueeze(-1) * torch.log(shifted + FAINT), -1)


def whole(weights: Tensor) -> Tensor:
    """Weights `[..., S]` that come to 1: the first slot has what others leave, if they leave any."""
    others = weights[..., 1:]
    return torch.cat([(1.0 - others.sum(-1, keepdim=True)).clamp(min=0.0), others], -1)
