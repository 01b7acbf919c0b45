"""Proximal policy optimisation with generalised advantages, action masks and discrete or Box actions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import log, pi
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks, replay
from lwmecps_core.algorithms.base import ONE_SCALE, Batch, Extra, Forgetful, Params
from lwmecps_core.algorithms.returns import (
    flat_samples,
    generalised_advantage,
    linear_residual,
    normalised,
    weighted_mean,
)
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import CONTEXT, EnvSpec

ENTROPY, FEW = 0.01, 4
"""Weight of each component's entropy bonus where none is given, for so few components; beyond, it falls with the square
of their number. Each one's bonus is held against the same reward, of which each decides a smaller part: sixteen of a
weight that is right for four keep a policy from ever deciding."""
LOG_PROB = "log_prob"
"""The field of a rollout that says how likely its actions were to whoever drew them."""
INITIAL_LOG_STD = -0.7
"""Of Box actions, which live in [0, 1]: a standard deviation of 0.5."""


class PPO(Forgetful):
    """Clipped likelihood-ratio objective (Schulman et al. 2017, arXiv:1707.06347, equation 7).

    The ratio form is also what makes it a valid inner loss: at the sampling parameters its first and second derivatives
    are those of the expected return (Rothfuss et al. 2019, ProMP, arXiv:1810.06784, equation 7).
    """

    optimiser: Literal["adam", "sgd"] = "adam"
    memory_size = 0
    inner_groups: tuple[str, ...] = ("actor",)
    """The critic stays: the linear fit in `prepare` is its adaptation, in closed form."""

    def __init__(self, cfg: PPOConfig, spec: EnvSpec) -> None:
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self._entropy = entropy_weight(cfg, spec)
        own = self.spec.without([name for name, _ in spec.blocks if name.endswith(CONTEXT)])
        self._momentary = own.obs_size  # a context's blocks come last
        self._nets = networks.Architecture(spec, cfg.hidden_size, cfg.network)
        # Choices that are no counts are drawn by a logit each.
        self._drawn = spec if cfg.head == "ordered" else replace(spec, action_entity="global")

    @property
    def noise_size(self) -> int:
        """One number for each discrete component; two for each continuous one (Box–Muller)."""
        return self.spec.action_size * (1 if self.spec.discrete else 2)

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Orthogonal weights; the actor's last layer is small: the first policy is nearly the same everywhere."""
        actor = heads.begun(self._drawn, self._nets.init_policy(heads.outputs(self._drawn), generator))
        critic = self._nets.init_value(generator)
        if not self.spec.discrete:
            # A set network's components share one, so that the policy fits clusters of any size.
            size = 1 if self._nets.rows else self.spec.action_size
            actor["log_std"] = torch.full((size,), INITIAL_LOG_STD)
        return {"actor": actor, "critic": critic}, {}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """Sample an action by `noise`, or take the mode; stores `log_prob`."""
        if self.spec.discrete:
            out = self._nets.components(params["actor"], seen.obs)
            action, log_prob = heads.chosen(self._drawn, out, seen.mask, noise)
            return Acted(action, {"log_prob": log_prob})
        mean, log_std = self._gaussian(params, seen.obs)
        action = mean if noise is None else mean + torch.exp(log_std) * heads.normal(noise)
        return Acted(action, {"log_prob": _gaussian_log_prob(mean, log_std, action)})

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """Advantages normalised per task (over all: `ONE_SCALE`), value targets, and the flattened samples."""
        obs = data["obs"]
        with torch.no_grad():
            *lead, t1, b, o = obs.shape
            value = self.value(params, obs.reshape(*lead, t1 * b, o)).reshape(*lead, t1, b)
            advantage, target = self.advantages(data, value)
        weight = flat_samples(data["valid"], len(lead)).to(obs.dtype)
        return {
            "obs": flat_samples(obs[..., :-1, :, :], len(lead)),
            "mask": flat_samples(data["mask"][..., :-1, :, :], len(lead)),
            "action": flat_samples(data["action"], len(lead)),
            "advantage": normalised(flat_samples(advantage, len(lead)), weight, together=ONE_SCALE in data),
            "target": flat_samples(target, len(lead)),
            "weight": weight,
            **({LOG_PROB: flat_samples(data[LOG_PROB], len(lead))} if LOG_PROB in data else {}),
        }

    def value(self, params: Params, obs: Tensor) -> Tensor:
        """What the critic expects from observations on: `[..., S, O]` → `[..., S]`."""
        return self._nets.value(params["critic"], obs)

    def advantages(self, data: Batch, value: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages and value targets `[..., T, B]` of a stacked rollout whose frames the critic gives `value`
        `[..., T+1, B]`.

        A critic that serves many tasks can't know each task's prices; a linear fit of what it misses on this very task
        takes most of that error out of the advantages. It doesn't see a context's features, which hardly change within
        a rollout: with some hundred of them it would fit the noise of these very returns.
        """
        episode = (data["terminated"], data["truncated"], self.cfg.discount_factor)
        missed = generalised_advantage(data["reward"], value, *episode, 1.0)
        value = value + linear_residual(data["obs"][..., : self._momentary], missed, data["valid"])
        advantage = generalised_advantage(data["reward"], value, *episode, self.cfg.gae_lambda)
        return advantage, advantage + value[..., :-1, :]

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`n_epochs` passes over shuffled minibatches of `batch_size` samples."""
        return replay.shuffled(batch, self.cfg.batch_size, self.cfg.n_epochs, generator)

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """See `actor_loss` and `critic_loss`."""
        return {"actor": self.actor_loss(params, batch), "critic": self.critic_loss(params, batch)}

    def actor_loss(self, params: Params, batch: Batch) -> Tensor:
        """−(clipped surrogate + entropy bonus); of actions that the policy was shown, and didn't draw, minus their
        log-likelihood (behavioural cloning: Pomerleau 1991, Neural Computation 3, 88–97).
        """
        obs, advantage = batch["obs"], batch["advantage"]
        if self.spec.discrete:
            out = self._nets.components(params["actor"], obs)
            new_log_prob, entropy = heads.judged(self._drawn, out, batch["mask"], batch["action"])
        else:
            mean, log_std = self._gaussian(params, obs)
            new_log_prob = _gaussian_log_prob(mean, log_std, batch["action"])
            entropy = (log_std + 0.5 * log(2 * pi * torch.e)).sum(-1).expand_as(new_log_prob)
        if LOG_PROB not in batch:
            return -weighted_mean(new_log_prob, batch["weight"])
        ratio = torch.exp(new_log_prob - batch[LOG_PROB])
        epsilon = self.cfg.clip_epsilon
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)
        return -weighted_mean(surrogate + self._entropy * entropy, batch["weight"])

    def critic_loss(self, params: Params, batch: Batch) -> Tensor:
        """Squared error times its coefficient."""
        error = self.value(params, batch["obs"]) - batch["target"]
        return self.cfg.value_function_coef * weighted_mean(error.pow(2), batch["weight"])

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """PPO keeps nothing beside its parameters."""
        return extra

    def _gaussian(self, params: Params, obs: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.sigmoid(self._nets.components(params["actor"], obs)).squeeze(-1)
        return mean, params["actor"]["log_std"].unsqueeze(-2).expand_as(mean)


def entropy_weight(cfg: PPOConfig, spec: EnvSpec) -> float:
    """Of each component's entropy bonus."""
    return ENTROPY * min(1.0, FEW / spec.action_size) ** 2 if cfg.entropy_coef is None else cfg.entropy_coef


def _gaussian_log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    return (-0.5 * ((action - mean) * torch.exp(-log_std)).pow(2) - log_std - 0.5 * log(2 * pi)).sum(-1)
