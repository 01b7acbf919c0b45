"""Double deep Q-learning; an action of several components has one Q-function per component (branching)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.algorithms import heads, networks
from lwmecps_core.algorithms.base import ActorOut, Batch, Extra, Params
from lwmecps_core.algorithms.returns import flat_samples, weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import DQNConfig
from lwmecps_core.specs import EnvSpec


class DQN:
    """Double Q-learning targets (van Hasselt et al. 2016, arXiv:1509.06461, equation 4), averaged over branches.

    Branching (Tavakoli et al. 2018, arXiv:1711.08946, equation 5) keeps the outputs linear in the number of components.
    The target network is in `extra` and moves by `tau` after every update; within inner adaptation it stays fixed.
    """

    inner_groups: tuple[str, ...] = ("critic",)

    def __init__(self, cfg: DQNConfig, spec: EnvSpec) -> None:
        if not spec.discrete:
            raise InvalidInput("algorithm", [Violation("name", f"dqn needs discrete actions; {spec.env_id} has a Box")])
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self.memory_size = cfg.memory_size
        self._rows = cfg.network == "set" and spec.action_entity in ("deployment", "pair")

    @property
    def noise_size(self) -> int:
        """For each component: one number decides whether to explore, one which choice."""
        return 2 * self.spec.action_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Orthogonal weights; the target network starts as a copy."""
        n = heads.choices(self.spec)
        if self._rows:
            net = networks.init_set(self.spec, self.cfg.hidden_size, n, 1.0, generator)
        else:
            net = networks.init_mlp(
                self.spec.obs_size, self.cfg.hidden_size, self.spec.action_size * n, 1.0, generator
            )  # fmt: skip
        return {"critic": net}, {name: leaf.clone() for name, leaf in net.items()}

    def act(self, params: Params, extra: Extra, obs: Tensor, mask: Tensor, noise: Tensor | None) -> ActorOut:
        """The greedy choice of every component, or with probability `epsilon` any allowed one."""
        q = self._q(params["critic"], obs, mask)
        action = q.argmax(-1)
        if noise is not None:
            whether, which = noise.chunk(2, -1)
            uniform = torch.log_softmax(torch.where(q > heads.FORBIDDEN / 2, 0.0, heads.FORBIDDEN), -1)
            action = torch.where(whether < self.cfg.epsilon, heads.sample(uniform, which), action)
        return ActorOut(action.to(torch.int32), {})

    def whole(self, params: Params, extra: Extra, data: Batch) -> Batch:
        """Transitions with the frame that each led to."""
        lead = data["reward"].dim() - 2
        return {
            "obs": flat_samples(data["obs"][..., :-1, :, :], lead),
            "mask": flat_samples(data["mask"][..., :-1, :, :], lead),
            "next_obs": flat_samples(data["obs"][..., 1:, :, :], lead),
            "next_mask": flat_samples(data["mask"][..., 1:, :, :], lead),
            "action": flat_samples(data["action"], lead),
            "reward": flat_samples(data["reward"], lead),
            "alive": 1.0 - flat_samples(data["terminated"], lead).to(data["reward"].dtype),
            "weight": flat_samples(data["valid"], lead).to(data["reward"].dtype),
        }

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`updates_per_batch` uniform samples of `batch_size` transitions from memory."""
        axis = batch["weight"].dim() - 1
        size = batch["weight"].shape[axis]
        for _ in range(self.cfg.updates_per_batch):
            index = torch.randint(size, (min(size, self.cfg.batch_size),), generator=generator)
            yield {k: v.index_select(axis, index) for k, v in batch.items()}

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Huber loss of every branch's value against the mean target of all branches."""
        online = self._q(params["critic"], batch["next_obs"], batch["next_mask"])
        target = self._q(extra, batch["next_obs"], batch["next_mask"])
        best = target.gather(-1, online.argmax(-1, keepdim=True)).squeeze(-1).mean(-1)
        goal = batch["reward"] + self.cfg.discount_factor * batch["alive"] * best
        q = self._q(params["critic"], batch["obs"], batch["mask"])
        taken = q.gather(-1, batch["action"].long().unsqueeze(-1)).squeeze(-1)
        error = F.smooth_l1_loss(taken, goal.unsqueeze(-1).expand_as(taken), reduction="none").mean(-1)
        return {"critic": weighted_mean(error, batch["weight"])}

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """The target network moves towards the online network."""
        net = params["critic"]
        return {name: torch.lerp(old, net[name].detach(), self.cfg.tau) for name, old in extra.items()}

    def _q(self, net: networks.Net, obs: Tensor, mask: Tensor) -> Tensor:
        if self._rows:
            q = networks.set_rows(net, self.spec, obs)
        else:
            q = networks.mlp(net, obs)
            q = q.reshape(*q.shape[:-1], self.spec.action_size, -1)
        return q.masked_fill(~mask.reshape(q.shape), heads.FORBIDDEN)
