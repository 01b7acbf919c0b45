"""A memory that is learnt: gated recurrent units, as pure functions of flat parameter dicts like the other networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms import gru, heads
from lwmecps_core.algorithms.base import Batch
from lwmecps_core.algorithms.networks import Net, grid_features, init_linear
from lwmecps_core.context.base import with_blocks
from lwmecps_core.specs import EnvSpec

COMMON = 1 + len(REWARD_TERMS)
"""Of what was told beside an observation: how many numbers come before those of the action."""


def told(spec: EnvSpec, first: Tensor, reward_terms: Tensor, action: Tensor) -> Tensor:
    """What is told beside an observation, `[..., B, E]`: whether an episode begins, and of the interval before the
    reward's terms and the action. Counts of replicas are shares of the most, other choices one-hot.
    """
    if spec.discrete:
        n = heads.choices(spec)
        action = action / (n - 1) if heads.ordinal(spec) else F.one_hot(action.long(), n).flatten(-2)
    before = torch.cat([reward_terms, action.to(reward_terms.dtype)], -1)
    begins = first.unsqueeze(-1)
    return torch.cat([begins.to(before.dtype), before.masked_fill(begins, 0.0)], -1)


def told_in(tell: Callable[[Tensor, Tensor, Tensor], Tensor], data: Batch) -> Tensor:
    """What was told beside each frame of a stacked rollout, `[..., T+1, B, E]`, as `act` was told it."""
    # The frame after an interval that only carried a reset begins an episode; so may the last one.
    first = torch.cat([data["first"].bool(), ~data["valid"][..., -1:, :]], -2)
    terms, action = (
        torch.cat([torch.zeros_like(x[..., :1, :, :]), x], -3) for x in (data["reward_terms"], data["action"])
    )
    return tell(first, terms, action)


def beside(obs: Tensor, remembered: Tensor) -> Tensor:
    """Observations `[..., O]` followed by what is remembered `[..., units, size]`."""
    return torch.cat([obs, remembered.flatten(-2)], -1)


def sequences(x: Tensor) -> Tensor:
    """Vectors `[..., T, B, F]` as sequences `[..., B, T, F]`; numbers `[..., T, B]` become such by `mT`."""
    return x.transpose(-3, -2)


@dataclass(frozen=True)
class Recurrence:
    """A unit of `size` numbers for each deployment, all with the same weights (`rows`), or one for everything.

    It takes in what is seen and what the interval before came to; what it remembers is one more block of the
    observation. Beside a deployment's own blocks, its unit sees those of the whole cluster, and the means over nodes.

    Source: Cho et al. 2014, arXiv:1406.1078, with the reset gate applied after the product, as in cuDNN; as a memory
    over the episodes of a task: Duan et al. 2016, arXiv:1611.02779, section 3.1; Wang et al. 2016, arXiv:1611.05763.
    """

    spec: EnvSpec
    size: int
    rows: bool

    @property
    def units(self) -> int:
        """How many there are."""
        return self.spec.rows_of("deployment") if self.rows else 1

    @property
    def widened(self) -> EnvSpec:
        """The environment with what is remembered as its last block."""
        return self.widened_by(self.size)

    def widened_by(self, size: int) -> EnvSpec:
        """The environment with `size` numbers of each unit as its last block."""
        block = ("deployment_context", (self.units, size)) if self.rows else ("global_context", (size,))
        return with_blocks(self.spec, (block,))

    def nothing(self, width: int) -> Tensor:
        """What is remembered of `width` environments that nothing was seen of: `[width, units, size]`."""
        return torch.zeros(width, self.units, self.size)

    def init(self, generator: torch.Generator) -> Net:
        """Orthogonal weights. What is remembered lasts, from one unit's number to the other, for 1 interval to an
        episode, evenly on a logarithmic scale (Tallec and Ollivier 2018, arXiv:1804.11188, equation 16).
        """
        none = torch.zeros(1, self.spec.action_size)
        told = self.told(torch.ones(1, dtype=torch.bool), torch.zeros(1, len(REWARD_TERMS)), none)
        width = sum(part.shape[-1] for part in self._parts(torch.zeros(1, self.spec.obs_size), told))
        net = init_linear("gru_input", width, 3 * self.size, 1.0, generator)
        blocks = [init_linear("gru", self.size, self.size, 1.0, generator)["gru.weight"] for _ in range(3)]
        longest = float(max(self.spec.horizon, 3) - 1)
        lasting = torch.exp(torch.rand(self.size, generator=generator) * torch.tensor(longest).log())
        net["gru_input.bias"][: self.size] = torch.log(lasting)
        return net | {"gru_state.weight": torch.cat(blocks, -1)}

    def told(self, first: Tensor, reward_terms: Tensor, action: Tensor) -> Tensor:
        """See `told`."""
        return told(self.spec, first, reward_terms, action)

    def step(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is remembered after one interval: `[..., B, O]`, `[..., B, E]`, `[..., B, units, size]` → the last's
        shape.
        """
        if not torch.is_grad_enabled() and not gru.traced():
            return self._acted(net, obs, told, state)
        inputs = self.inputs(net, obs, told).flatten(-3, -2)
        # What a unit remembers lies in [−1, 1]; who sends us more, or infinity, must not get NaN for an answer.
        before = state.clamp(-1.0, 1.0).flatten(-3, -2)
        return gru.step(inputs, net["gru_state.weight"], before).reshape(state.shape)

    def shown(self, state: Tensor) -> Tensor:
        """What the networks see of what is remembered: all of it."""
        return state

    def unrolled(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What is shown, which is remembered, after each of T intervals from `state` `[..., B, units, size]` on.

        `obs` `[..., B, T, O]`, `told` `[..., B, T, E]` → `[..., B, T, units, size]`.
        """
        *lead, b, t, _ = obs.shape
        inputs = self.inputs(net, obs.flatten(-3, -2), told.flatten(-3, -2)).reshape(*lead, b, t, self.units, -1)
        return gru.unrolled(inputs, net["gru_state.weight"], state)

    def inputs(self, net: Net, obs: Tensor, told: Tensor) -> Tensor:
        """The part of all gates that doesn't depend on what is remembered: `[..., B, units, 3 · size]`."""
        parts = [part.squeeze(-2).expand(*obs.shape[:-1], self.units, -1) for part in self._parts(obs, told)]
        product = torch.cat(parts, -1).flatten(-3, -2) @ net["gru_input.weight"]
        return (product + net["gru_input.bias"].unsqueeze(-2)).reshape(
            *product.shape[:-2], -1, self.units, 3 * self.size
        )

    def _acted(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """`step` without gradients: what is the same for all units is multiplied once."""
        parts, weight = self._parts(obs, told), net["gru_input.weight"]
        weights = torch.split(weight, [part.shape[-1] for part in parts], -2)
        own, common = list[tuple[Tensor, Tensor]](), [(obs[..., :0], weight[..., :0, :])]
        for part, of_part in zip(parts, weights, strict=True):
            rows = part.squeeze(-2)
            if rows.shape[-2] == self.units:
                own.append((rows, of_part))
            else:
                common.append((rows.squeeze(-2), of_part))
        (x, of_x), (y, of_y) = _joined(own), _joined(common)
        return gru.acted(x, y, (of_x, of_y, net["gru_input.bias"], net["gru_state.weight"]), state)

    def _parts(self, obs: Tensor, told: Tensor) -> list[Tensor]:
        """What the units see, `[..., B, units or 1, 1, F]` each."""
        if not self.rows:
            return [torch.cat([obs, told], -1).unsqueeze(-2).unsqueeze(-2)]
        common, action = told[..., :COMMON], told[..., COMMON:]
        own = action.reshape(*action.shape[:-1], self.units, 1, -1)
        own = own if own.shape[-1] == 1 else own.mean(-1, keepdim=True)
        means = [_mean(part) for part in grid_features(self.spec, obs)]
        return [*means, own, common.unsqueeze(-2).unsqueeze(-2)]


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Features side by side, and their weights below one another."""
    features, weights = zip(*parts, strict=True)
    return torch.cat(features, -1), torch.cat(weights, -2)


def _mean(part: Tensor) -> Tensor:
    """Over nodes, where there are any."""
    return part if part.shape[-2] == 1 else part.mean(-2, keepdim=True)
