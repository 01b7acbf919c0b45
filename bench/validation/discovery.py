"""Update rules that are discovered on small families of problems, beside A2C, on problems of other sizes and seeds.

Both learn tables by plain descent from the same number of rollouts. The rate of either is the one of `RATES` that does
best on each family's training problems, drawn by other seeds than those that measure and than those that discover.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core.algorithms.disco.rule import Rule
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import newborn, severed, updated
from lwmecps_core.training.discovery import FAMILIES, DiscoveryConfig, Draw, discover
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-discovery.json"
SEEDS, UPDATES, TUNING_SEED, HELD_OUT_SEED = (0, 1, 2, 3, 4), 200, 700_000, 800_000
USUAL = DiscoveryConfig()
RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
ENTROPY, VALUE = 0.01, 0.5
"""A2C's usual weights."""
NAMES = ("random worlds", "chains", "falling balls")
HELD_OUT: tuple[Draw, ...] = (
    lambda generator: tables.random_worlds(32, 20, 3, generator),
    lambda generator: tables.chains(32, 10, 2, generator),
    lambda generator: tables.falling_balls(32, 6, 5, generator),
)
"""Families as those that rules are discovered on, in other sizes."""


@dataclass(frozen=True)
class Way:
    """A way of learning tables: what a life begins with for (problems, states, choices), what an update makes of it and
    of a rollout, and the policies `[K, S, A]` in it.
    """

    begin: Callable[[int, int, int], Any]
    update: Callable[[Any, dict[str, Tensor]], Any]
    policies: Callable[[Any], Tensor]


def by_rule(rule: Rule, rate: float) -> Way:
    """Updates towards a rule's targets."""
    return Way(
        lambda tasks, states, choices: newborn(rule, tasks, states, choices),
        lambda lives, data: severed(updated(rule, lives, data, rate)),
        lambda lives: lives.agents["agent"]["logits"],
    )


def by_a2c(discount: float, rate: float) -> Way:
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), with values to the end of each rollout."""
    return Way(
        lambda tasks, states, choices: (torch.zeros(tasks, states, choices), torch.zeros(tasks, states)),
        lambda own, data: a2c_step(own, data, discount, rate),
        lambda own: own[0],
    )


def a2c_step(
    own: tuple[Tensor, Tensor], data: dict[str, Tensor], discount: float, rate: float
) -> tuple[Tensor, Tensor]:
    """One step of plain descent of logits `[K, S, A]` and values `[K, S]`."""
    live = [x.clone().requires_grad_() for x in own]
    logits, values = live
    task, state = torch.arange(len(logits)).reshape(-1, 1, 1), data["state"]
    later, found = values[task, state][:, -1].detach(), []
    for t in range(data["reward"].shape[1] - 1, -1, -1):
        later = data["reward"][:, t] + discount * (1 - data["ended"][:, t].float()) * later
        found.append(later)
    goal, value = torch.stack(found[::-1], 1), values[task, state[:, :-1]]
    logs = logits[task, state[:, :-1]].log_softmax(-1)
    taken = logs.gather(-1, data["action"].unsqueeze(-1)).squeeze(-1)
    loss = VALUE * (goal - value).square() - taken * (goal - value).detach() + ENTROPY * (logs.exp() * logs).sum(-1)
    pulls = torch.autograd.grad(loss.mean((-2, -1)).sum() * logits.shape[1], live)
    after, of_values = (x - rate * pull for x, pull in zip(own, pulls, strict=True))
    return after, of_values


def score(way: Way, draw: Draw, seed: int, cfg: DiscoveryConfig, updates: int = UPDATES) -> Tensor:
    """Mean reward per step in the last fifth of a life of so many updates, on each problem `[K]`."""
    generator = torch_generator(seed, "lives")
    problems = draw(generator)
    own = way.begin(*problems.reward.shape)
    state = torch.multinomial(problems.first, cfg.copies, replacement=True, generator=generator)
    earned = []
    for _ in range(updates):
        data = tables.play(problems, way.policies(own).detach(), state, cfg.length, generator)
        state = data["state"][:, -1]
        earned.append(data["reward"].mean((-2, -1)))
        own = way.update(own, data)
    return torch.stack(earned)[-max(1, updates // 5) :].mean(0)


def tuned(way: Callable[[float], Way], draw: Draw, cfg: DiscoveryConfig, updates: int = UPDATES) -> Way:
    """The way at the rate that does best on a family's training problems."""
    found = {rate: float(score(way(rate), draw, TUNING_SEED, cfg, updates).nan_to_num(-1e9).mean()) for rate in RATES}
    return way(max(found, key=lambda rate: found[rate]))


def run(
    run_seeds: tuple[int, ...] = SEEDS,
    cfg: DiscoveryConfig = USUAL,
    updates: int = UPDATES,
    out: Path = OUT,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """One row for each held-out family: what is earned after learning by discovered rules and by A2C, and the paired
    difference, over seeds of discovery.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for seed in run_seeds:
        rule, _ = discover(cfg, seed)
        for name, training, held_out in zip(NAMES, FAMILIES, HELD_OUT, strict=True):
            ways = partial(by_rule, rule), partial(by_a2c, cfg.discount)
            both = [tuned(way, training, cfg, updates) for way in ways]
            means = [float(score(way, held_out, HELD_OUT_SEED + seed, cfg, updates).mean()) for way in both]
            found[name].append((means[0], means[1]))
            say(f"discovery seed {seed} {name}: rule {means[0]:.3f}, A2C {means[1]:.3f}")
    rows = [{"name": name, **_measures(torch.tensor(pairs))} for name, pairs in found.items()]
    write(rows, out)
    return rows


def _measures(pairs: Tensor) -> Mapping[str, dict[str, float]]:
    rule, a2c = pairs.double().unbind(-1)
    named = {"discovered_rule": rule, "A2C": a2c, "rule_minus_A2C": rule - a2c}
    return {name: mean_ci95(x.numpy()) for name, x in named.items()}
