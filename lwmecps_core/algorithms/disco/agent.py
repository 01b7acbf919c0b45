"""An algorithm whose policies learn what a learnt update rule tells them to (DiscoRL)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks
from lwmecps_core.algorithms.base import GIVEN, LEARNER, Batch, Extra, Forgetful, Params
from lwmecps_core.algorithms.disco import heads as outputs
from lwmecps_core.algorithms.disco import loss, value, weights
from lwmecps_core.algorithms.disco.rule import Life, Targets, Trajectory, nothing_kept, targets
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.algorithms.returns import weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import DiscoConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import prefixed, under

GOAL = "goal/"
"""What the names of targets begin with in a batch."""
RULE, SLOW, KEPT = f"{GIVEN}rule/", f"{LEARNER}slow/", f"{LEARNER}kept/"
"""Where in `Extra` the rule's weights lie, the agent's slower copy, and what the rule keeps of the agent's life."""
CATCHES_UP = 0.1
"""How far the slower copy goes towards the agent with every update."""


class Disco(Forgetful):
    """A policy, two predictions and a value for every choice, all of which a learnt rule gives their targets.

    The rule knows one agent with one choice. Of an action of several components each is an agent of its own: it has its
    policy, predictions and values, sees the same frames and the whole reward, and shares all weights with the others
    (but the trunk's last layer, where networks are no sets). To it the others are part of the environment. A loss is
    the mean of the components'.

    A forbidden choice has probability 0, for the agent and in the rule's targets, and is left out where the rule takes
    the mean or the maximum over choices. A sample is a segment of a rollout, `[..., S, L, ...]`. Targets are made anew
    whenever a segment is learnt from; for the gradients of meta-learners they are constants.
    """

    optimiser: Literal["bounded_adam"] = "bounded_adam"
    inner_groups: tuple[str, ...] = ("agent",)

    def __init__(self, cfg: DiscoConfig, spec: EnvSpec) -> None:
        if not spec.discrete:
            reason = f"disco needs discrete actions; {spec.env_id} has a Box"
            raise InvalidInput("algorithm", [Violation("name", reason)])
        self.cfg, self.spec = cfg, spec
        self.learning_rate, self.max_grad_norm = cfg.learning_rate, cfg.max_grad_norm
        self.memory_size = max(1, cfg.memory_size // cfg.segment)
        self._rule = None if cfg.rule is None else weights.from_bytes(cfg.rule, "algorithm")
        if self._rule and (size := weights.sizes_of(self._rule).predictions) != cfg.prediction_size:
            reason = f"the rule's predictions have {size} numbers, not {cfg.prediction_size}"
            raise InvalidInput("algorithm", [Violation("prediction_size", reason)])
        self._nets = networks.Architecture(spec, cfg.hidden_size, cfg.network)
        self._choices = heads.choices(spec)
        self._drawn = replace(spec, action_entity="global")  # a logit for each choice, counts too

    @property
    def noise_size(self) -> int:
        """One number for each component."""
        return self.spec.action_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """The networks' weights and, where there is a rule, its weights, a copy of the agent's, and an empty life."""
        cfg = self.cfg
        net = outputs.init(self._nets, self._choices, cfg.prediction_size, cfg.model_size, cfg.value_bins, generator)
        if self._rule is None:
            return {"agent": net}, {}
        kept = nothing_kept(self._rule)
        extra = prefixed(self._rule, RULE) | prefixed({name: x.clone() for name, x in net.items()}, SLOW)
        return {"agent": net}, extra | prefixed(vars(kept), KEPT)

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """Sample a choice of every component by `noise`, or take the likeliest."""
        net = params["agent"]
        found = self._policy(net, self._embedded(net, seen.obs).flatten(-3, -2), seen.mask)
        found = torch.unflatten(found, -2, (-1, self.spec.action_size))
        action = found.argmax(-1) if noise is None else heads.sample(found, noise)
        return Acted(action.to(torch.int32))

    def prepare(self, params: Params, extra: Extra, data: Batch, generator: torch.Generator) -> Batch:
        """Segments of the rollout, and the policy that acted, as log-probabilities of all choices.

        Where a rollout doesn't divide into segments the last one begins earlier, and some steps are in two of them.
        """
        obs, mask, valid = data["obs"][..., :-1, :, :], data["mask"][..., :-1, :, :], data["valid"]
        net = params["agent"]
        with torch.no_grad():
            h = self._embedded(net, obs.flatten(-3, -2)).flatten(-3, -2)
            found = self._policy(net, h, mask.flatten(-3, -2))
        ended = data["terminated"] | data["truncated"]
        reward = data["reward"].masked_fill(~valid, 0.0)
        steps = {
            "action": data["action"],
            "behaviour": found.reshape(*valid.shape, -1),
            "reward": reward.unsqueeze(-1),
            "ended": ended.unsqueeze(-1),
            "weight": valid.to(reward.dtype).unsqueeze(-1),
        }
        length = valid.shape[-2]
        part = min(self.cfg.segment, length)
        starts = sorted({*range(0, length - part + 1, part), length - part})
        cut = {name: _segments(x, starts, part) for name, x in steps.items()}
        for name in ("reward", "ended", "weight"):
            cut[name] = cut[name].squeeze(-1)
        return cut | {name: _segments(data[name], starts, part + 1) for name in ("obs", "mask")}

    def minibatches(self, batch: Batch, generator: torch.Generator) -> Iterator[Batch]:
        """`updates_per_batch` uniform samples of as many segments as have `batch_size` transitions, from memory."""
        axis = batch["weight"].dim() - 2
        stored, length = batch["weight"].shape[axis:]
        size = min(stored, max(1, self.cfg.batch_size // length))
        for _ in range(self.cfg.updates_per_batch):
            index = torch.randint(stored, (size,), generator=generator)
            yield {name: x.index_select(axis, index) for name, x in batch.items()}

    @torch.no_grad()
    def targets(self, params: Params, extra: Extra, batch: Batch) -> tuple[Batch, Extra]:
        """Segments with the rule's targets, and what it keeps; the slower copy follows the agent as it is now."""
        rule = under(extra, RULE)
        if not rule:
            reason = "a policy that was made without the file of a rule can act, but not learn"
            raise InvalidInput("algorithm", [Violation("rule", reason)])
        net, past = params["agent"], under(extra, KEPT)
        slow, kept = under(extra, SLOW) or net, Life(**past) if past else nothing_kept(rule)
        seen = self._trajectory(net, slow, batch)
        goal, after = targets(rule, kept, seen, self.cfg.discount_factor)
        found = {f"{GOAL}{name}": x for name, x in vars(goal).items()}
        found[f"{GOAL}following"] = seen.logits[..., 1:, :, :]
        lead, of_one = batch["weight"].dim() - 2, (-1, self.spec.action_size)
        found = {name: torch.unflatten(x, lead + 1, of_one).transpose(lead, lead + 1) for name, x in found.items()}
        moved = prefixed(networks.moved(slow, net, CATCHES_UP), SLOW) | prefixed(vars(after), KEPT)
        return batch | found, extra | moved

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """The distance of all outputs from their targets (see `loss.by_step`), a mean over steps and components."""
        net, seen = params["agent"], _by_time(batch)
        lead = seen["weight"].dim() - 2
        goal = {name: x.flatten(lead + 1, lead + 2) for name, x in under(seen, GOAL).items()}
        now, later = (seen["mask"][..., i : i + goal["q"].shape[-2], :, :].flatten(-3, -2) for i in (0, 1))
        h = self._embedded(net, seen["obs"][..., :-1, :, :].flatten(-3, -2))
        h = h.flatten(-3, -2)
        policy = self._policy(net, h, now)
        told = outputs.of_taken(net, h, seen["action"].flatten(lead).long())
        told["following"] = self._masked(told["following"], later)

        def apart(x: Tensor) -> Tensor:
            return torch.unflatten(x, -2, goal["q"].shape[-2:])

        found = loss.by_step(
            Targets(goal["pi"], goal["y"], goal["z"], goal["q"]),
            apart(policy),
            apart(networks.linear(net, "y", h)),
            apart(told["z"]),
            apart(told["q"]),
            apart(told["following"]),
            goal["following"],
            1 - self._shared(seen["ended"]).to(h.dtype),
        )
        by_step = torch.unflatten(found, -1, (-1, self.spec.action_size)).mean(-1)
        return {"agent": weighted_mean(by_step.flatten(-2), seen["weight"].flatten(-2))}

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """All that is kept was moved when the targets were made."""
        return extra

    def _trajectory(self, net: Net, slow: Net, batch: Batch) -> Trajectory:
        """What the rule is shown: `[..., L, S·A, ...]`, components as agents."""
        seen = _by_time(batch)
        own, copy = (self._said(each, seen["obs"], seen["mask"]) for each in (net, slow))
        of_components = (self.spec.action_size, self._choices)
        return Trajectory(
            **own,
            **{f"slow_{name}": x for name, x in copy.items()},
            allowed=torch.unflatten(seen["mask"], -1, of_components).flatten(-3, -2),
            action=seen["action"].flatten(-2).long(),
            behaviour=torch.unflatten(seen["behaviour"], -1, of_components).flatten(-3, -2),
            reward=self._shared(seen["reward"]),
            ended=self._shared(seen["ended"]),
        )

    def _said(self, net: Net, frames: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """All outputs for frames `[..., L+1, S, O]`: name → `[..., L+1, S·A, ...]`."""
        h = self._embedded(net, frames.flatten(-3, -2)).flatten(-3, -2)
        of_choices = outputs.of_all(net, h)
        found = {
            "logits": self._policy(net, h, mask.flatten(-3, -2)),
            "y": networks.linear(net, "y", h),
            "z": of_choices["z"],
            "q": value.expected(of_choices["q"]),
        }
        agents = frames.shape[-2] * self.spec.action_size
        return {name: torch.unflatten(x, h.dim() - 2, (-1, agents)) for name, x in found.items()}

    def _embedded(self, net: Net, obs: Tensor) -> Tensor:
        """`[..., rows, O]` → `[..., rows, A, E]`."""
        return outputs.embedded(self._nets, net, obs)

    def _policy(self, net: Net, h: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities `[..., rows·A, n]` from embeddings `[..., rows·A, E]` and masks `[..., rows, M]`."""
        return self._masked(networks.linear(net, "logits", h), mask)

    def _masked(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities of logits `[..., rows·A, n]`, those of forbidden choices being nothing."""
        apart = torch.unflatten(logits, -2, (-1, self.spec.action_size))
        return heads.log_probs(self._drawn, apart, mask).flatten(-3, -2)

    def _shared(self, x: Tensor) -> Tensor:
        """What is the same for all components: `[..., L, S]` → `[..., L, S·A]`."""
        return x.unsqueeze(-1).expand(*x.shape, self.spec.action_size).flatten(-2)


def _segments(x: Tensor, starts: list[int], length: int) -> Tensor:
    """`[..., T, B, F]` → segments of `length` from each start on: `[..., starts·B, length, F]`."""
    cut = torch.stack([x.narrow(-3, start, length) for start in starts], -4)
    return cut.transpose(-3, -2).flatten(-4, -3)


def _by_time(batch: Batch) -> Batch:
    """Samples with their segments last, `[..., S, L, ...]`, as `[..., L, S, ...]`."""
    lead = batch["weight"].dim() - 2
    return {name: x.transpose(lead, lead + 1) for name, x in batch.items()}
