"""Slots beside the gated recurrent units of a policy that learns what to remember."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lwmecps_core.algorithms.external import controlled
from lwmecps_core.algorithms.external.addressing import Core, MemorySize, bounds, numbers
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer
from lwmecps_core.algorithms.external.ntm import NeuralTuringMachine
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.algorithms.recurrence import Recurrence
from lwmecps_core.cells import Remembering
from lwmecps_core.specs import EnvSpec


def core(cfg: Remembering) -> Core:
    """The memory that the settings name."""
    size = MemorySize(cfg.memory_slots, cfg.memory_width, cfg.memory_reads)
    return DifferentiableNeuralComputer(size) if cfg.cell == "dnc" else NeuralTuringMachine(size)


@dataclass(frozen=True)
class SlottedMemory:
    """Each unit of a recurrence controls slots of its own, all with the same weights; nothing is forgotten but what it
    decides to overwrite.

    What is remembered is the unit's state and behind it the slots' parts, what was read first; networks see the unit's
    state and what was read. See `controlled.step`.
    """

    unit: Recurrence
    core: Core

    @property
    def widened(self) -> EnvSpec:
        """The environment with what is shown as its last block."""
        return self.unit.widened_by(self._shown)

    @property
    def _shown(self) -> int:
        return self.unit.size + self.core.size.reads * self.core.size.width

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        """The least and the largest of all that can be remembered, `[size + M]` each."""
        own = torch.ones(self.unit.size)
        low, high = bounds(self.core)
        return torch.cat([-own, low]), torch.cat([own, high])

    def nothing(self, width: int) -> Tensor:
        """What is remembered of `width` environments that nothing was seen of: zeros `[width, units, size + M]`."""
        return torch.zeros(width, self.unit.units, self.unit.size + numbers(self.core.memory))

    def init(self, generator: torch.Generator) -> Net:
        """The recurrence's weights, and those between its units and the slots."""
        return self.unit.init(generator) | controlled.init(self.core, self.unit.size, generator)

    def told(self, first: Tensor, reward_terms: Tensor, action: Tensor) -> Tensor:
        """See `recurrence.told`."""
        return self.unit.told(first, reward_terms, action)

    def step(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is remembered after one interval: `[..., B, O]`, `[..., B, E]`, `[..., B, units, size + M]` → the last's
        shape.
        """
        inputs = self.unit.inputs(net, obs, told).flatten(-3, -2).unsqueeze(-3)
        low, high = (bound.to(state.dtype) for bound in self._bounds)
        # Who sends us what no memory can hold, or infinity, must not get NaN for an answer.
        before = state.clamp(low, high).flatten(-3, -2)
        return controlled.unrolled(self.core, net, inputs, before)[1].reshape(state.shape)

    def shown(self, state: Tensor) -> Tensor:
        """What the networks see of what is remembered: the units' state and what was read."""
        return state[..., : self._shown]

    def unrolled(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is shown after each of T intervals from `state` `[..., B, units, size + M]` on.

        `obs` `[..., B, T, O]`, `told` `[..., B, T, E]` → `[..., B, T, units, shown]`.
        """
        *lead, b, t, _ = obs.shape
        units = self.unit.units
        inputs = self.unit.inputs(net, obs.flatten(-3, -2), told.flatten(-3, -2)).reshape(*lead, b, t, units, -1)
        rows = inputs.transpose(-4, -3).flatten(-3, -2)  # [..., T, B · units, 3 · size]
        shown, _ = controlled.unrolled(self.core, net, rows, state.flatten(-3, -2))
        return shown.reshape(*lead, t, b, units, -1).transpose(-4, -3)
