"""Twin delayed deterministic policy gradient for Box actions."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks, replay
from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.algorithms.returns import weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import TD3Config
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import under

HALF_RANGE = 0.5
"""Of Box actions, which live in [0, 1]: the unit of all noise."""


class TD3(replay.FromMemory[TD3Config]):
    """Clipped double Q-learning, target smoothing and delayed actors (Fujimoto et al. 2018, arXiv:1802.09477).

    The targets of actor and critics are in `extra`, under `actor.` and `critic.`; they move together with the actor, at
    every `policy_delay`-th update, which `updates` counts in `extra` (all tasks are updated together). A minibatch has
    an actor's loss only when it is the actor's turn; a whole rollout always has. Within inner adaptation the targets
    stay fixed.
    """

    inner_groups: tuple[str, ...] = ("actor", "critic")

    def __init__(self, cfg: TD3Config, spec: EnvSpec) -> None:
        if spec.discrete:
            raise InvalidInput(
                "algorithm", [Violation("name", f"td3 needs Box actions; {spec.env_id} has discrete ones")]
            )
        super().__init__(cfg, spec)

    @property
    def noise_size(self) -> int:
        """Two numbers for each component (Box–Muller)."""
        return 2 * self.spec.action_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Orthogonal weights; targets start as copies. Critics have an axis of size 2 in front."""
        critics = [self._nets.init_value(generator, of_actions=True) for _ in range(2)]
        params = {"actor": self._nets.init_policy(1, generator), "critic": networks.twins(*critics)}
        return params, {name: leaf.clone() for name, leaf in _flat(params).items()} | {"updates": torch.zeros(())}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """The actor's action, with Gaussian exploration if there is `noise`."""
        action = self._action(params["actor"], seen.obs)
        if noise is not None:
            action = (action + self.cfg.exploration_noise * HALF_RANGE * heads.normal(noise)).clamp(0.0, 1.0)
        return Acted(action)

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`updates_per_batch` uniform samples of `batch_size` transitions from memory, with new noise.

        Their samples are marked `delayed`: the actor waits for its turn.
        """
        for part in super().minibatches(batch, generator):
            yield part | {"delayed": torch.ones_like(part["weight"])}

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Critic: squared error of both twins against the lesser target (algorithm 1). Actor: −Q of the first."""
        cfg, obs, weight = self.cfg, batch["obs"], batch["weight"]
        limit = cfg.noise_clip * HALF_RANGE
        smoothing = (cfg.target_noise * HALF_RANGE * batch["target_noise"]).clamp(-limit, limit)
        next_action = (self._action(under(extra, "actor."), batch["next_obs"]) + smoothing).clamp(0.0, 1.0)
        next_q = self._twin_values(under(extra, "critic."), batch["next_obs"], next_action).amin(-2)
        goal = batch["reward"] + batch["discount"] * next_q
        error = (self._twin_values(params["critic"], obs, batch["action"]) - goal.unsqueeze(-2)).square().sum(-2)
        losses = {"critic": weighted_mean(error, weight)}
        if "delayed" not in batch or bool(self._moving(extra).any()):
            action = self._action(params["actor"], obs)
            q = self._nets.value(networks.first_twin(params["critic"]), obs, action)
            losses["actor"] = -weighted_mean(q, weight)
        return losses

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Count the update; the targets move if it was one of the actor's."""
        moving = self._moving(extra)
        targets = {name: leaf for name, leaf in extra.items() if name != "updates"}
        if bool(moving.any()):
            targets = networks.moved(targets, _flat(params), self.cfg.tau * moving)
        return targets | {"updates": (extra["updates"] + 1) % self.cfg.policy_delay}

    def _moving(self, extra: Extra) -> Tensor:
        """Whether the next update (or the one just made and not yet counted) moves actor and targets: bool `[...]`."""
        return extra["updates"] == self.cfg.policy_delay - 1

    def _with_noise(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The noise of the target's action."""
        like = batch["action"]
        return batch | {"target_noise": torch.randn(like.shape, dtype=like.dtype, generator=generator)}

    def _action(self, net: networks.Net, obs: Tensor) -> Tensor:
        return torch.sigmoid(2 * self._nets.components(net, obs).squeeze(-1))

    def _twin_values(self, net: networks.Net, obs: Tensor, action: Tensor) -> Tensor:
        return self._nets.value(net, obs.unsqueeze(-3), action.unsqueeze(-3))


def _flat(params: Params) -> networks.Net:
    return {f"{group}.{name}": leaf for group, names in params.items() for name, leaf in names.items()}
