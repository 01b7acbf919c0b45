"""Proximal policy optimisation with a memory that is learnt (RL²)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import replay
from lwmecps_core.algorithms.base import ONE_SCALE, Batch, Extra, Params, Prepared
from lwmecps_core.algorithms.external.cell import SlottedMemory, core
from lwmecps_core.algorithms.lstm import Lstm
from lwmecps_core.algorithms.networks import Architecture, Net
from lwmecps_core.algorithms.ppo import LOG_PROB, PPO
from lwmecps_core.algorithms.recurrence import Recurrence, beside, sequences, told_in
from lwmecps_core.algorithms.returns import normalised
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import EnvSpec

STATE = "state"
"""What the policy's memory is called."""
Cell = Recurrence | Lstm | SlottedMemory


class RecurrentPPO(Prepared):
    """PPO whose networks see beside the observation what a recurrence remembers (Duan et al. 2016, arXiv:1611.02779).

    A sample is a whole rollout of one environment, `[..., B, T, ...]`: losses unroll it again from the memory that it
    began with. Episodes follow one another in it; where one ends, returns are cut, and memory is not.

    Actor and critic have a recurrence each, so that no loss needs another group's gradient. The critic's is no part of
    the policy's memory: it begins every rollout with nothing.
    """

    optimiser: Literal["adam", "sgd"] = PPO.optimiser
    memory_size = 0
    inner_groups: tuple[str, ...] = PPO.inner_groups

    def __init__(self, cfg: PPOConfig, spec: EnvSpec) -> None:
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self._memory = _cell(cfg, spec)
        self._ppo = PPO(cfg, self._memory.widened)

    @property
    def noise_size(self) -> int:
        """PPO's."""
        return self._ppo.noise_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """PPO's parameters, and those of a recurrence in each group."""
        params, extra = self._ppo.init(generator)
        return {group: self._memory.init(generator) | net for group, net in params.items()}, extra

    def memory(self, width: int) -> dict[str, Tensor]:
        """Zeros."""
        return {STATE: self._memory.nothing(width)}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """As PPO does, once what is seen has been taken in; stores `log_prob` and `first`."""
        told = self._memory.told(seen.first, seen.reward_terms, seen.action)
        state = self._memory.step(params["actor"], seen.obs, told, memory[STATE])
        wide = beside(seen.obs, self._memory.shown(state))
        out = self._ppo.act(params, extra, {}, replace(seen, obs=wide), noise)
        return replace(out, extras={**out.extras, "first": seen.first.to(seen.obs.dtype)}, memory={STATE: state})

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """PPO's fields as sequences `[..., B, T, ...]`, what was told beside observations, and the memory at first."""
        obs, told, state = sequences(data["obs"]), sequences(told_in(self._memory.told, data)), data[f"begun/{STATE}"]
        with torch.no_grad():
            seen = self._seen(params["critic"], obs, told, torch.zeros_like(state))
            value = self._ppo.value(params, seen).reshape(obs.shape[:-1]).mT
            advantage, target = (x.mT for x in self._ppo.advantages(data, value))
        weight = data["valid"].mT.to(obs.dtype)
        normal = normalised(advantage.flatten(-2), weight.flatten(-2), together=ONE_SCALE in data).reshape(weight.shape)
        return {
            "obs": obs[..., :-1, :],
            "told": told[..., :-1, :],
            "mask": sequences(data["mask"][..., :-1, :, :]),
            "action": sequences(data["action"]),
            "advantage": normal,
            "target": target,
            "weight": weight,
            "state": state,
            **({LOG_PROB: data[LOG_PROB].mT} if LOG_PROB in data else {}),
        }

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`n_epochs` passes over shuffled minibatches of as many sequences as have `batch_size` transitions, or one."""
        sequences = max(1, self.cfg.batch_size // batch["weight"].shape[-1])
        return replay.shuffled(batch, sequences, self.cfg.n_epochs, generator, axis=-2)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """PPO's, over all transitions of the sequences."""
        lead = batch["weight"].dim() - 2
        flat = {name: x.flatten(lead, lead + 1) for name, x in batch.items() if name not in ("obs", "state")}
        obs, told, state = batch["obs"], batch["told"], batch["state"]
        seen = self._seen(params["actor"], obs, told, state)
        valued = self._seen(params["critic"], obs, told, torch.zeros_like(state))
        return {
            "actor": self._ppo.actor_loss(params, flat | {"obs": seen}),
            "critic": self._ppo.critic_loss(params, flat | {"obs": valued}),
        }

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Nothing is kept beside the parameters."""
        return extra

    def _seen(self, net: Net, obs: Tensor, told: Tensor, state: Tensor) -> Tensor:
        """What a group's network sees in each interval of sequences, flat: `[..., B, T, O]` → `[..., B·T, O′]`."""
        return beside(obs, self._memory.unrolled(net, obs, told, state)).flatten(-3, -2)


def _cell(cfg: PPOConfig, spec: EnvSpec) -> Cell:
    """What the settings name."""
    size = cfg.hidden_size[-1]
    if cfg.cell == "lstm":
        return Lstm(spec, cfg.cell_size or size)
    unit = Recurrence(spec, size, Architecture(spec, cfg.hidden_size, cfg.network).rows)
    return unit if cfg.cell == "gru" else SlottedMemory(unit, core(cfg))
