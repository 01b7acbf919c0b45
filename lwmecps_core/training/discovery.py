"""Discovering an update rule: descent through windows of updates of populations of agents on small problems."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lwmecps_core.algorithms.disco import weights
from lwmecps_core.algorithms.disco.rule import Rule
from lwmecps_core.algorithms.disco.weights import Sizes
from lwmecps_core.config import NonNegative, Positive, Share, config
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import Lives, newborn, severed, updated
from lwmecps_core.meta.tables import Tables
from lwmecps_core.optimiser import PackedOptimiser, scheduled
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.tree import leaves

Count = Annotated[int, Field(ge=1, le=100_000)]
SIZES = Sizes(predictions=8, hidden=32, life=16, embedding=16, channels=16, choice=8, policy=16, summary=16)
LEAST_SPAN = 0.01
"""Below it what is to be earned on a problem counts no more."""
Draw = Callable[[int, torch.Generator], Tables]
"""So many problems of a family, all of one size."""
FAMILIES: tuple[Draw, ...] = (
    lambda tasks, generator: tables.random_worlds(tasks, 12, 4, generator),
    lambda tasks, generator: tables.chains(tasks, 7, 2, generator),
    lambda tasks, generator: tables.falling_balls(tasks, 5, 4, generator),
)
"""What rules are learnt on. Held out are other sizes and other seeds."""


@config
class DiscoveryConfig:
    """How a rule is discovered."""

    steps: Count = 150
    """Windows in all, each of which ends with a step of the rule's weights."""
    window: Annotated[int, Field(ge=1, le=100)] = 5
    """Updates of agents that a gradient goes through."""
    life: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Windows after which an agent is replaced by one on a new problem."""
    agents: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Agents of each family, of evenly spread ages."""
    length: Annotated[int, Field(ge=2, le=1_000)] = 20
    """Steps of each rollout."""
    copies: Annotated[int, Field(ge=1, le=1_000)] = 4
    """Rollouts of each agent side by side."""
    rate: Positive = 1.0
    """Step size of the agents' updates."""
    discount: Share = 0.99
    """Of what agents are to earn."""
    entropy: NonNegative = 0.05
    """Weight of the agents' entropy in what the rule is to raise, so that it doesn't teach haste."""
    learning_rate: Positive = 3e-3
    """Step size of the rule's weights (Adam)."""


@dataclass(frozen=True)
class Living:
    """K agents and the problems that they live in; the states `[K, N]` where their copies are; and what the problems
    pay to chance, and to the best above it, `[K]`.
    """

    lives: Lives
    problems: Tables
    state: Tensor
    chance: Tensor
    span: Tensor


class Cohort:
    """Agents of one family, of all ages: each has so many windows `left` `[K]`."""

    def __init__(self, cfg: DiscoveryConfig, rule: Rule, draw: Draw, generator: torch.Generator) -> None:
        self._cfg, self._draw, self._generator = cfg, draw, generator
        self.living = self._born(rule, cfg.agents)
        self.left = torch.arange(cfg.agents) * cfg.life // cfg.agents + 1

    def renew(self, rule: Rule) -> None:
        """Newborn agents on new problems in place of those whose life is over or who diverged."""
        sound = torch.stack([x.isfinite().flatten(1).all(-1) for x in leaves(self.living.lives.agents)]).all(0)
        who = ((self.left <= 0) | ~sound).nonzero().flatten()
        if len(who):
            self.living = _with_rows(self.living, self._born(rule, len(who)), who)
            self.left[who] = self._cfg.life

    def window(self, rule: Rule) -> tuple[Tensor, Tensor]:
        """Live through a window of updates: what the rule is to raise, a mean over agents and updates, with a graph;
        and the share of what is to be earned, above chance, that the agents earn at the end, `[K]`.

        What policies earn is known exactly, since problems are tables. That the data depend on the policies goes
        unseen, as in Oh et al. 2020 (arXiv:2007.08794, equation 3).
        """
        cfg, now, raised = self._cfg, self.living, []
        lives, state, share = now.lives, now.state, now.chance
        for _ in range(cfg.window):
            logits = lives.agents["agent"]["logits"].detach()
            data = tables.play(now.problems, logits, state, cfg.length, self._generator)
            lives, state = updated(rule, lives, data, cfg.rate, cfg.discount), data["state"][:, -1]
            logs = lives.agents["agent"]["logits"].log_softmax(-1)
            share = (tables.worth(now.problems, logs.exp(), cfg.discount) - now.chance) / now.span
            raised.append((share - cfg.entropy * (logs.exp() * logs).sum(-1).mean(-1)).mean())
        self.living = replace(now, lives=severed(lives), state=state)
        self.left -= 1
        return torch.stack(raised).mean(), share.detach()

    def _born(self, rule: Rule, count: int) -> Living:
        problems = self._draw(count, self._generator)
        _, states, choices = problems.reward.shape
        state = torch.multinomial(problems.first, self._cfg.copies, replacement=True, generator=self._generator)
        chance = tables.worth(problems, torch.full_like(problems.reward, 1 / choices), self._cfg.discount)
        span = (tables.most(problems, self._cfg.discount) - chance).clamp_min(LEAST_SPAN)
        return Living(newborn(rule, count, states, choices), problems, state, chance, span)


def discover(
    cfg: DiscoveryConfig, seed: int, sizes: Sizes = SIZES, families: tuple[Draw, ...] = FAMILIES
) -> tuple[Rule, list[float]]:
    """A rule, from random weights, and after each window the share of what is to be earned that agents earned; a pure
    function of its arguments. Families take turns.
    """
    generator = torch_generator(seed, "discovery")
    outer = PackedOptimiser({"rule": weights.drawn(sizes, seed)}, cfg.learning_rate, max_grad_norm=1.0)
    cohorts = [Cohort(cfg, outer.params["rule"], draw, generator) for draw in families]
    earned: list[float] = []
    for step in range(cfg.steps):
        cohort = cohorts[step % len(families)]
        cohort.renew(outer.params["rule"])
        rule = {name: x.detach().requires_grad_() for name, x in outer.params["rule"].items()}
        raised, share = cohort.window(rule)
        found = torch.autograd.grad(-raised, list(rule.values()), allow_unused=True)
        grads = {
            name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(rule.items(), found, strict=True)
        }
        outer.rate_share = scheduled("cosine", 0.3, step, cfg.steps)
        if all(bool(x.isfinite().all()) for x in grads.values()):
            outer.step({"rule": grads})
        earned.append(float(share.mean()))
    return {name: x.clone() for name, x in outer.params["rule"].items()}, earned


def _with_rows(old: Any, new: Any, who: Tensor) -> Any:
    """Tensors, or dictionaries and data classes of them, with the rows `who` replaced by those of `new`."""
    if isinstance(old, Tensor):
        return old.index_copy(0, who, new)
    if isinstance(old, dict):
        return {name: _with_rows(x, new[name], who) for name, x in old.items()}
    return replace(old, **{name: _with_rows(x, getattr(new, name), who) for name, x in vars(old).items()})
