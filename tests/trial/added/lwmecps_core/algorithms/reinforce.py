"""REINFORCE with normalised returns, for discrete actions."""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks, replay
from lwmecps_core.algorithms.base import Batch, Extra, Forgetful, Params
from lwmecps_core.algorithms.returns import flat_samples, generalised_advantage, normalised, weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import ReinforceConfig
from lwmecps_core.specs import EnvSpec


class Reinforce(Forgetful):
    """−log π(a) times the return that followed (Williams 1992, Machine Learning 8, 229–256)."""

    optimiser: Literal["adam", "sgd"] = "adam"
    memory_size = 0
    inner_groups: tuple[str, ...] = ("actor",)

    def __init__(self, cfg: ReinforceConfig, spec: EnvSpec) -> None:
        if not spec.discrete:
            raise InvalidInput(
                "algorithm", [Violation("name", f"reinforce needs discrete actions, unlike {spec.env_id}")]
            )
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self._nets = networks.Architecture(spec, cfg.hidden_size, cfg.network)

    @property
    def noise_size(self) -> int:
        """One number for each component."""
        return self.spec.action_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """An actor alone."""
        return {"actor": self._nets.init_policy(heads.outputs(self.spec), generator)}, {}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """Sample an action by `noise`, or take the mode."""
        choices = self._log_probs(params, seen.obs, seen.mask)
        action = heads.mode(self.spec, choices) if noise is None else heads.sample(choices, noise)
        return Acted(action.to(torch.int32))

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """Discounted returns, normalised per task."""
        obs, lead = data["obs"], data["reward"].dim() - 2
        nothing = torch.zeros_like(obs[..., 0])
        episode = (data["terminated"], data["truncated"], self.cfg.discount_factor)
        returns = generalised_advantage(data["reward"], nothing, *episode, 1.0)
        weight = flat_samples(data["valid"], lead).to(obs.dtype)
        return {
            "obs": flat_samples(obs[..., :-1, :, :], lead),
            "mask": flat_samples(data["mask"][..., :-1, :, :], lead),
            "action": flat_samples(data["action"], lead),
            "advantage": normalised(flat_samples(returns, lead), weight),
            "weight": weight,
        }

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """One pass over shuffled minibatches: the gradient is that of the policy that collected."""
        return replay.shuffled(batch, self.cfg.batch_size, 1, generator)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """−log π(a) · return."""
        log_prob = heads.log_prob(self._log_probs(params, batch["obs"], batch["mask"]), batch["action"])
        return {"actor": -weighted_mean(log_prob * batch["advantage"], batch["weight"])}

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Nothing is kept beside the parameters."""
        return extra

    def _log_probs(self, params: Params, obs: Tensor, mask: Tensor) -> Tensor:
        return heads.log_probs(self.spec, self._nets.components(params["actor"], obs), mask)
