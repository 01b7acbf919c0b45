"""A long short-term memory over what is seen within an episode, as sb3-contrib's `RecurrentPPO` has it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms.networks import Net, init_linear, linear
from lwmecps_core.algorithms.recurrence import told
from lwmecps_core.context.base import with_blocks
from lwmecps_core.specs import EnvSpec

LARGEST = 1e6
"""What a cell may hold."""


@dataclass(frozen=True)
class Lstm:
    """One unit of `size` numbers for everything; what it puts out is one more block of the observation.

    What is remembered is its output and, behind it, its cell. Every episode begins with nothing.

    Source: Hochreiter and Schmidhuber 1997, Neural Computation 9, 1735–1780, with the forget gate of Gers et al. 2000,
    Neural Computation 12, 2451–2471, and the order of gates (in, forget, cell, out) of PyTorch.
    """

    spec: EnvSpec
    size: int
    units: int = 1

    @property
    def widened(self) -> EnvSpec:
        """The environment with the unit's output as its last block."""
        return with_blocks(self.spec, (("global_context", (self.size,)),))

    def nothing(self, width: int) -> Tensor:
        """What is remembered of `width` environments that nothing was seen of: `[width, 1, 2 · size]`."""
        return torch.zeros(width, self.units, 2 * self.size)

    def init(self, generator: torch.Generator) -> Net:
        """Orthogonal weights; at first the cell forgets a quarter."""
        none = torch.zeros(1, self.spec.action_size)
        beside = self.told(torch.ones(1, dtype=torch.bool), torch.zeros(1, len(REWARD_TERMS)), none)
        net = init_linear("lstm_input", self.spec.obs_size + beside.shape[-1], 4 * self.size, 1.0, generator)
        net["lstm_input.bias"][self.size : 2 * self.size] = 1.0
        blocks = [init_linear("lstm", self.size, self.size, 1.0, generator)["lstm.weight"] for _ in range(4)]
        return net | {"lstm_state.weight": torch.cat(blocks, -1)}

    def told(self, first: Tensor, reward_terms: Tensor, action: Tensor) -> Tensor:
        """See `recurrence.told`."""
        return told(self.spec, first, reward_terms, action)

    def step(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is remembered after one interval: `[..., B, O]`, `[..., B, E]`, `[..., B, 1, 2 · size]` → the last's
        shape.
        """
        inputs = linear(net, "lstm_input", torch.cat([obs, told], -1))
        return self._next(net, inputs, told, state.squeeze(-2)).unsqueeze(-2)

    def unrolled(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is shown after each of T intervals from `state` `[..., B, 1, 2 · size]` on.

        `obs` `[..., B, T, O]`, `told` `[..., B, T, E]` → `[..., B, T, 1, size]`.
        """
        *lead, b, t, _ = obs.shape
        inputs = linear(net, "lstm_input", torch.cat([obs, told], -1).flatten(-3, -2)).reshape(*lead, b, t, -1)
        now, found = state.squeeze(-2), list[Tensor]()
        for i in range(t):
            now = self._next(net, inputs[..., i, :], told[..., i, :], now)
            found.append(now)
        return self.shown(torch.stack(found, -2).unsqueeze(-2))

    def shown(self, state: Tensor) -> Tensor:
        """What the networks see of what is remembered: the unit's output."""
        return state[..., : self.size]

    def _next(self, net: Net, inputs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """State `[..., B, 2 · size]` after the part of the gates that comes from outside, `[..., B, 4 · size]`."""
        # Who sends us more than a cell can hold, or infinity, must not get NaN for an answer.
        before = state.clamp(-LARGEST, LARGEST).masked_fill(told[..., :1] > 0, 0.0)
        output, cell = before.chunk(2, -1)
        let_in, forget, new, out = (inputs + output @ net["lstm_state.weight"]).chunk(4, -1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(let_in) * torch.tanh(new)
        return torch.cat([torch.sigmoid(out) * torch.tanh(cell), cell], -1)
