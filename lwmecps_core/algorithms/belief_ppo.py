"""Proximal policy optimisation on a belief about what is hidden (VariBAD)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms.base import Batch, Extra, Params, Prepared
from lwmecps_core.algorithms.belief import BeliefEncoder
from lwmecps_core.algorithms.decoder import Decoder
from lwmecps_core.algorithms.elbo import elbo
from lwmecps_core.algorithms.networks import Architecture, Net
from lwmecps_core.algorithms.ppo import PPO
from lwmecps_core.algorithms.recurrence import Recurrence, beside, sequences, told_in
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import EnvSpec

GROUP = "belief"
"""The parameters of encoder and decoder; no loss of `losses` reaches them, `belief_losses` are what they learn by."""
STATE = "state"
"""What the policy's memory is called: that of the encoder's recurrence."""


class BeliefPPO(Prepared):
    """PPO whose networks see beside the observation what is believed of the cluster (Zintgraf et al. 2020,
    arXiv:1910.08348).

    To PPO a belief is a block of the observation: no gradient of its losses goes through the encoder, so that samples
    are single transitions, whose beliefs `prepare` computes once, by the encoder that acted.
    """

    optimiser: Literal["adam", "sgd"] = PPO.optimiser
    memory_size = 0
    inner_groups: tuple[str, ...] = PPO.inner_groups

    def __init__(self, cfg: PPOConfig, spec: EnvSpec) -> None:
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        rows, size = Architecture(spec, cfg.hidden_size, cfg.network).rows, cfg.hidden_size[-1]
        self.belief = BeliefEncoder(Recurrence(spec, size, rows), cfg.belief_size)
        self.decoder = Decoder(spec, cfg.belief_size, size, rows, cfg.belief_told > 0.0)
        wrong = []
        if rows and not self.decoder.deployments:
            wrong.append(Violation("ignore_blocks", "a set network's beliefs are of deployments, which it has to see"))
        if self.decoder.names_service and not self.decoder.deployments:
            wrong.append(Violation("belief_told", "what is seen has no deployments whose service times could be told"))
        if wrong:
            raise InvalidInput("settings", wrong)
        self._ppo = PPO(cfg, self.belief.widened)

    @property
    def noise_size(self) -> int:
        """PPO's."""
        return self._ppo.noise_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """PPO's parameters, and those of encoder and decoder as a group of their own."""
        params, extra = self._ppo.init(generator)
        return params | {GROUP: self.belief.init(generator) | self.decoder.init(generator)}, extra

    def memory(self, width: int) -> dict[str, Tensor]:
        """Zeros, by which the prior is believed."""
        return {STATE: self.belief.recurrence.nothing(width)}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """As PPO does, once what is seen has been taken in; stores `log_prob` and `first`."""
        recurrence, net = self.belief.recurrence, params[GROUP]
        told = recurrence.told(seen.first, seen.reward_terms, seen.action)
        state = recurrence.step(net, seen.obs, told, memory[STATE])
        wide = beside(seen.obs, self.belief.shown(net, state))
        out = self._ppo.act(params, extra, {}, replace(seen, obs=wide), noise)
        return replace(out, extras={**out.extras, "first": seen.first.to(seen.obs.dtype)}, memory={STATE: state})

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """PPO's fields, whose observations have the beliefs beside them."""
        with torch.no_grad():
            some, net = self.experience(data), params[GROUP]
            states = self.belief.recurrence.unrolled(net, some["obs"], some["told"], some["state"])
            wide = beside(some["obs"], self.belief.shown(net, states)).transpose(-3, -2)
        return self._ppo.prepare(params, extra, data | {"obs": wide}, generator)

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """PPO's."""
        return self._ppo.minibatches(batch, generator)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """PPO's; the belief has none here."""
        return self._ppo.losses(params, extra, batch)

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Nothing is kept beside the parameters."""
        return extra

    def experience(self, data: Batch) -> Batch:
        """What a belief learns from, of a stacked rollout: sequences `[..., B, T(+1), …]`, and the memory at first."""
        return {
            "obs": sequences(data["obs"]),
            "told": sequences(told_in(self.belief.recurrence.told, data)),
            "weight": data["valid"].mT.to(data["obs"].dtype),
            "state": data[f"begun/{STATE}"],
        }

    def belief_losses(self, net: Net, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the bound `[...]`, with the weights of the settings, and its parts (see `elbo`)."""
        parts = elbo(self.belief, self.decoder, net, batch)
        loss = self.cfg.belief_kl_weight * parts["divergence"] - parts["likelihood"]
        return (loss - self.cfg.belief_told * parts["told"] if "told" in parts else loss), parts
