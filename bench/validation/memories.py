"""External memories on what they were made for: sequences to copy and to repeat, and clusters to recognise again."""

from dataclasses import dataclass
from math import log, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.algorithms import gru
from lwmecps_core.algorithms.external import controlled
from lwmecps_core.algorithms.external.addressing import Core, numbers
from lwmecps_core.algorithms.networks import Net, init_linear, linear


@dataclass(frozen=True)
class Reader:
    """A recurrence over sequences, with a memory beside it or none, and a linear layer on what it shows."""

    units: int
    core: Core | None = None

    def init(self, n_in: int, n_out: int, generator: torch.Generator) -> Net:
        """Fresh weights; each unit's state is kept for 1 to some 10 steps."""
        h = self.units
        net = init_linear("gru_input", n_in, 3 * h, 1.0, generator)
        net["gru_input.bias"][:h] = torch.log(1.0 + 9.0 * torch.rand(h, generator=generator))
        blocks = [init_linear("gru", h, h, 1.0, generator)["gru.weight"] for _ in range(3)]
        net["gru_state.weight"] = torch.cat(blocks, -1)
        shown = h
        if self.core:
            net |= controlled.init(self.core, h, generator)
            shown += self.core.size.reads * self.core.size.width
        return net | init_linear("out", shown, n_out, 0.1, generator)

    def outputs(self, net: Net, x: Tensor) -> Tensor:
        """Sequences `[B, T, I]` → `[B, T, O]`, from nothing remembered on."""
        b = len(x)
        inputs = linear(net, "gru_input", x)
        if self.core is None:
            shown = gru.unrolled(inputs.unsqueeze(-2), net["gru_state.weight"], x.new_zeros(b, 1, self.units)).squeeze(-2)
        else:
            state = x.new_zeros(b, self.units + numbers(self.core.memory))
            shown = controlled.unrolled(self.core, net, inputs.transpose(0, 1), state)[0].transpose(0, 1)
        return linear(net, "out", shown)


@dataclass(frozen=True)
class Sequences:
    """What is read `[B, T, I]`, the bits that are wanted `[B, T, O]`, and which of these count."""

    x: Tensor
    wanted: Tensor
    counts: Tensor
    bits: int
    """Of the sequences themselves."""


@dataclass(frozen=True)
class Copying:
    """Sequences of `lengths` random vectors of `width` bits, to be written out again `repeats` times.

    After the sequence comes a mark that says how often; then nothing is shown any more. With more than one repeat an
    end is to be marked, too (Graves et al. 2014, arXiv:1410.5401, sections 4.1 and 4.2).
    """

    width: int
    lengths: tuple[int, int]
    repeats: tuple[int, int] = (1, 1)
    most: int = 1

    def draw(self, count: int, generator: torch.Generator) -> Sequences:
        """So many."""
        (a, b), (c, d), w, ends = self.lengths, self.repeats, self.width, self.most > 1
        length = torch.randint(a, b + 1, (count,), generator=generator)
        repeat = torch.randint(c, d + 1, (count,), generator=generator)
        steps = b + 1 + b * d + ends
        x, wanted, counts = torch.zeros(count, steps, w + 2), torch.zeros(count, steps, w + 1), torch.zeros(count, steps, w + 1)
        for i, (n, r) in enumerate(zip(length.tolist(), repeat.tolist(), strict=True)):
            some = torch.randint(0, 2, (n, w), generator=generator).float()
            x[i, :n, :w], x[i, n, w], x[i, n, w + 1] = some, 1.0, r / self.most
            wanted[i, n + 1 : n + 1 + n * r, :w] = some.repeat(r, 1)
            counts[i, n + 1 : n + 1 + n * r, :w] = 1.0
            if ends:
                wanted[i, n + 1 + n * r, w] = 1.0
                counts[i, n + 1 : n + 2 + n * r, w] = 1.0
        return Sequences(x, wanted, counts, int((length * repeat).sum()) * w)


def cost(reader: Reader, net: Net, some: Sequences) -> Tensor:
    """Bits that it takes to write the wanted sequences (and ends) with what is expected, for each bit of theirs."""
    out = reader.outputs(net, some.x)
    return (F.binary_cross_entropy_with_logits(out, some.wanted, reduction="none") * some.counts).sum() / log(2) / some.bits
