"""Soft actor-critic for Box actions (a squashed Gaussian) and for discrete ones (exact expectations over choices)."""

from collections.abc import Mapping
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks, replay
from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.algorithms.returns import weighted_mean
from lwmecps_core.run_config import SACConfig

LOG_STD_RANGE = 5.0
"""Of the Gaussian before squashing: smoothly bounded, since a hard bound would have no gradient beyond it."""
BOX_TARGET = -1.0 - log(2.0)
"""Target entropy per component: −1 for actions measured on [−1, 1] (Haarnoja et al. 2018, appendix D), here [0, 1]."""
DISCRETE_TARGET = 0.5
"""Target entropy as a share of that of the uniform policy."""


class SAC(replay.FromMemory[SACConfig]):
    """Maximum-entropy actor-critic with twin critics and a learnt temperature (Haarnoja et al. 2018, arXiv:1812.05905).

    Box actions follow a Gaussian squashed into [0, 1] by (tanh + 1)/2, with the exact density. The temperature holds
    their entropy near −1 nat per component, as measured on [−1, 1].

    Discrete actions (Christodoulou 2019, arXiv:1910.07207): expectations over choices are exact, masked choices have
    probability 0. What an action of several components is worth is the mean of what their choices are (value
    decomposition, as in `DQN`); entropies are means over components too, so that neither the scale of rewards nor the
    temperature depends on their number. The target entropy is half the mean over components of the largest entropy
    that the mask allows, log(allowed choices), state by state.

    The target critics are in `extra` and move by `tau` after every update; within inner adaptation they stay fixed, as
    does the temperature. Nothing is detached: the critics' target follows the online actor and temperature.
    """

    inner_groups: tuple[str, ...] = ("actor", "critic")

    @property
    def noise_size(self) -> int:
        """One number for each discrete component; two for each continuous one (Box–Muller)."""
        return self.spec.action_size * (1 if self.spec.discrete else 2)

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Orthogonal weights; the target critics start as copies. Critics have an axis of size 2 in front."""
        outputs = heads.outputs(self.spec) if self.spec.discrete else 2
        actor = heads.begun(self.spec, self._nets.init_policy(outputs, generator))
        critic = networks.twins(self._init_critic(generator), self._init_critic(generator))
        params = {"actor": actor, "critic": critic}
        if self.cfg.auto_entropy:
            params["alpha"] = {"log_alpha": torch.tensor([log(self.cfg.alpha)])}
        return params, {name: leaf.clone() for name, leaf in critic.items()}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """Sample an action by `noise`, or take the mode (the squashed mean)."""
        out = self._nets.components(params["actor"], seen.obs)
        if self.spec.discrete:
            choices = heads.log_probs(self.spec, out, seen.mask)
            action = heads.mode(self.spec, choices) if noise is None else heads.sample(choices, noise)
            return Acted(action.to(torch.int32))
        normal = torch.zeros_like(out[..., 0]) if noise is None else heads.normal(noise)
        return Acted(squashed_gaussian(out, normal)[0])

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Actor: −soft value. Critic: half the squared soft Bellman error, summed over twins. Alpha: its dual.

        Source: arXiv:1812.05905, equations 9 (actor), 5 (critic) and 18 (alpha).
        """
        weight = batch["weight"]
        value, entropy = self._soft_value(params, params["critic"], batch, "")
        next_value, _ = self._soft_value(params, extra, batch, "next_")
        goal = batch["reward"] + batch["discount"] * next_value
        losses = {"actor": -weighted_mean(value, weight)}
        critic, obs = params["critic"], batch["obs"].unsqueeze(-3)
        if self.spec.discrete:
            q = self._nets.components(critic, obs)
            index = batch["action"].long().unsqueeze(-1).unsqueeze(-4).expand(*q.shape[:-1], 1)
            worth = q.gather(-1, index).squeeze(-1).mean(-1)
        else:
            worth = self._nets.value(critic, obs, batch["action"].unsqueeze(-3))
        losses["critic"] = 0.5 * weighted_mean((worth - goal.unsqueeze(-2)).square().sum(-2), weight)
        if self.cfg.auto_entropy:
            surplus = weighted_mean(entropy - self._target_entropy(batch["mask"], entropy.dtype), weight)
            losses["alpha"] = params["alpha"]["log_alpha"].exp().squeeze(-1) * surplus
        return losses

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """The target critics move towards the online critics."""
        return networks.moved(extra, params["critic"], self.cfg.tau)

    def _init_critic(self, generator: torch.Generator) -> networks.Net:
        if self.spec.discrete:
            return self._nets.init_components(heads.choices(self.spec), 1.0, generator)
        return self._nets.init_value(generator, of_actions=True)

    def _with_noise(self, batch: Batch, generator: torch.Generator) -> Batch:
        """With Box actions, noise for both frames' actions."""
        if self.spec.discrete:
            return batch
        like = batch["action"]
        noise = torch.randn((2, *like.shape), dtype=like.dtype, generator=generator)
        return batch | {"noise": noise[0], "next_noise": noise[1]}

    def _soft_value(self, params: Params, critic: networks.Net, batch: Batch, frame: str) -> tuple[Tensor, Tensor]:
        """The policy's soft value by the lesser of two critics, and its entropy, at every sample: `[..., S]` both.

        With Box actions it is an estimate from one action, the expectation otherwise.
        """
        obs = batch[f"{frame}obs"]
        out, twin_obs = self._nets.components(params["actor"], obs), obs.unsqueeze(-3)
        if self.spec.discrete:
            choices = heads.log_probs(self.spec, out, batch[f"{frame}mask"])
            of_choices = self._nets.components(critic, twin_obs)
            value = (choices.exp().unsqueeze(-4) * of_choices).sum(-1).mean(-1).amin(-2)
            entropy = heads.entropy(choices) / self.spec.action_size
        else:
            action, log_prob = squashed_gaussian(out, batch[f"{frame}noise"])
            value = self._nets.value(critic, twin_obs, action.unsqueeze(-3)).amin(-2)
            entropy = -log_prob
        alpha = params["alpha"]["log_alpha"].exp() if self.cfg.auto_entropy else self.cfg.alpha
        return value + alpha * entropy, entropy

    def _target_entropy(self, mask: Tensor, dtype: torch.dtype) -> Tensor | float:
        if not self.spec.discrete:
            return BOX_TARGET * self.spec.action_size
        allowed = mask.reshape(*mask.shape[:-1], self.spec.action_size, -1).sum(-1)
        return DISCRETE_TARGET * allowed.clamp_min(1).to(dtype).log().mean(-1)


def squashed_gaussian(out: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (tanh(m + s·noise) + 1)/2 `[..., A]` in [0, 1] and their log-density `[...]`, the sum over components.

    `out` `[..., A, 2]` holds m and (before bounding) log s, `noise` `[..., A]` standard normal numbers. Source:
    arXiv:1812.05905, appendix C, with log(da/du) written so that it doesn't overflow.
    """
    mean, log_std = out[..., 0], LOG_STD_RANGE * torch.tanh(out[..., 1] / LOG_STD_RANGE)
    twice = 2 * (mean + log_std.exp() * noise)
    log_slope = log(2.0) + twice - 2 * F.softplus(twice)
    log_density = -0.5 * noise.square() - 0.5 * log(2 * pi) - log_std - log_slope
    return torch.sigmoid(twice), log_density.sum(-1)
