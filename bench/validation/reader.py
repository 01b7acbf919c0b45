"""What reads sequences: a recurrence with an external memory beside it or none, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms import gru
from lwmecps_core.algorithms.external import controlled
from lwmecps_core.algorithms.external.addressing import Core, numbers
from lwmecps_core.algorithms.networks import Net, init_linear, linear
from lwmecps_core.optimiser import scheduled
from lwmecps_core.training.sampling import torch_generator

RATE, LAST = 0.01, 0.5
"""Rate of Adam, and the share of the steps, the last ones, over which it goes down to 0."""


@dataclass(frozen=True)
class Reader:
    """A recurrence over sequences, with a memory beside it or none, and a linear layer on what it shows."""

    units: int
    core: Core | None = None

    def init(self, n_in: int, n_out: int, generator: torch.Generator) -> Net:
        """Fresh weights; at first units hold on to an eighth of their state."""
        h = self.units
        net = init_linear("gru_input", n_in, 3 * h, 1.0, generator)
        net["gru_input.bias"][:h] = -2.0
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
            shown = gru.unrolled(inputs.unsqueeze(-2), net["gru_state.weight"], x.new_zeros(b, 1, self.units)).squeeze(
                -2
            )
        else:
            state = x.new_zeros(b, self.units + numbers(self.core.memory))
            shown = controlled.unrolled(self.core, net, inputs.transpose(0, 1), state)[0].transpose(0, 1)
        return linear(net, "out", shown)


def trained(
    reader: Reader, sizes: tuple[int, int], loss: Callable[[Net, torch.Generator], Tensor], steps: int, seed: int
) -> Net:
    """Weights after so many steps of Adam on `loss`, which draws what it is taken of; `sizes`: numbers in and out."""
    generator = torch_generator(seed, "reader")
    net = {name: x.requires_grad_() for name, x in reader.init(*sizes, generator).items()}
    adam = torch.optim.Adam(net.values(), RATE)
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * scheduled("linear", LAST, step, steps)
        adam.zero_grad()
        loss(net, generator).backward()
        torch.nn.utils.clip_grad_norm_(net.values(), 1.0)
        adam.step()
    return {name: x.detach() for name, x in net.items()}
