"""Discovering an update rule: descent through windows of updates of populations of agents on small problems."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lwmecps_core.algorithms.disco import weights
from lwmecps_core.algorithms.disco.rule import Rule
from lwmecps_core.algorithms.disco.weights import Sizes
from lwmecps_core.config import NonNegative, Positive, Share, config
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import Lives, gain, newborn, severed, updated
from lwmecps_core.meta.tables import Tables
from lwmecps_core.optimiser import PackedOptimiser, scheduled
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.tree import leaves

Count = Annotated[int, Field(ge=1, le=100_000)]
SIZES = Sizes(predictions=30, hidden=64, life=32)
Draw = Callable[[torch.Generator], Tables]
"""A population's problems, all of one size."""
FAMILIES: tuple[Draw, ...] = (
    lambda generator: tables.random_worlds(16, 12, 4, generator),
    lambda generator: tables.chains(16, 7, 2, generator),
    lambda generator: tables.falling_balls(16, 5, 4, generator),
)
"""What rules are learnt on. Held out are other sizes and other seeds."""


@config
class DiscoveryConfig:
    """How a rule is discovered."""

    steps: Count = 2_000
    """Windows in all, each of which ends with a step of the rule's weights."""
    window: Annotated[int, Field(ge=1, le=100)] = 5
    """Updates of agents that a gradient goes through."""
    life: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Windows after which a population is replaced by one on new problems."""
    length: Annotated[int, Field(ge=2, le=1_000)] = 20
    """Steps of each rollout."""
    copies: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Rollouts of each agent side by side."""
    rate: Positive = 1.0
    """Step size of the agents' updates."""
    discount: Share = 0.99
    """Of what agents are to earn."""
    entropy: NonNegative = 0.01
    """Weight of the agents' entropy in what the rule is to raise, so that it doesn't teach haste."""
    learning_rate: Positive = 1e-3
    """Step size of the rule's weights (Adam)."""


class Cohort:
    """Agents of one family, and where they are."""

    def __init__(self, cfg: DiscoveryConfig, rule: Rule, draw: Draw, generator: torch.Generator) -> None:
        self._cfg, self._generator = cfg, generator
        self.problems = draw(generator)
        tasks, states, choices = self.problems.reward.shape
        self.lives = newborn(rule, tasks, states, choices)
        self.state = torch.multinomial(self.problems.first, cfg.copies, replacement=True, generator=generator)

    @property
    def sound(self) -> bool:
        """Whether nobody has diverged."""
        return all(bool(x.isfinite().all()) for x in leaves(self.lives.agents))

    def play(self) -> dict[str, Tensor]:
        """A rollout of the agents as they are."""
        logits = self.lives.agents["agent"]["logits"].detach()
        data = tables.play(self.problems, logits, self.state, self._cfg.length, self._generator)
        self.state = data["state"][:, -1]
        return data

    def window(self, rule: Rule) -> Tensor:
        """Live through a window of updates; what the rule is to lower, with a graph: the mean over updates of minus
        what the agents gain by each, on the rollout that follows it.
        """
        lost: list[Tensor] = []
        data = self.play()
        for _ in range(self._cfg.window):
            self.lives = updated(rule, self.lives, data, self._cfg.rate)
            data = self.play()
            lost.append(-(gain(self.lives, data, self._cfg.discount) + self._cfg.entropy * _entropy(self.lives)).mean())
        self.lives = severed(self.lives)
        return torch.stack(lost).mean()


def discover(
    cfg: DiscoveryConfig, seed: int, sizes: Sizes = SIZES, families: tuple[Draw, ...] = FAMILIES
) -> tuple[Rule, list[float]]:
    """A rule, from random weights, and what agents earned per step in each window; a pure function of its arguments.

    Families take turns; each population is replaced after `cfg.life` windows, at different times, or once one of its
    agents diverged.
    """
    generator = torch_generator(seed, "discovery")
    outer = PackedOptimiser({"rule": weights.drawn(sizes, seed)}, cfg.learning_rate, max_grad_norm=1.0)
    living = [Cohort(cfg, outer.params["rule"], draw, generator) for draw in families]
    earned: list[float] = []
    for step in range(cfg.steps):
        turn = step % len(families)
        due = step >= len(families) and step // len(families) % cfg.life == turn * cfg.life // len(families)
        if due or not living[turn].sound:
            living[turn] = Cohort(cfg, outer.params["rule"], families[turn], generator)
        rule = {name: x.detach().requires_grad_() for name, x in outer.params["rule"].items()}
        objective = living[turn].window(rule)
        found = torch.autograd.grad(objective, list(rule.values()), allow_unused=True)
        grads = {
            name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(rule.items(), found, strict=True)
        }
        outer.rate_share = scheduled("cosine", 0.3, step, cfg.steps)
        if all(bool(x.isfinite().all()) for x in grads.values()):
            outer.step({"rule": grads})
        earned.append(float(living[turn].play()["reward"].mean()))
    return {name: x.clone() for name, x in outer.params["rule"].items()}, earned


def _entropy(lives: Lives) -> Tensor:
    """Mean entropy of each agent's policies, `[K]`."""
    logs = lives.agents["agent"]["logits"].log_softmax(-1)
    return -(logs.exp() * logs).sum(-1).mean(-1)
