"""Update rules that are discovered on small families of problems, beside A2C, on problems of other sizes and seeds.

Both learn tables from the same number of rollouts. A2C steps by Adam or by plain descent, at one of `RATES` each:
whichever does best on each family's training problems, drawn by another seed than those that measure and those that
discover. Rules take the rate that they were discovered with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.validation.results import RESULTS, mean_ci95, write
from lwmecps_core.algorithms.base import OptimiserName
from lwmecps_core.algorithms.disco.rule import Rule
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import newborn, updated
from lwmecps_core.meta.tables import Tables
from lwmecps_core.optimiser import Optimiser
from lwmecps_core.training.discovery import FAMILIES, DiscoveryConfig, Draw, discover
from lwmecps_core.training.sampling import torch_generator

OUT = RESULTS / "validation-discovery.json"
SEEDS, UPDATES, TUNING_SEED, HELD_OUT_SEED = (0, 1, 2, 3, 4), 200, 700_000, 900_000
TUNED_ON, MEASURED_ON = 16, 16
"""Problems of each family."""
USUAL = DiscoveryConfig()
RATES: Mapping[OptimiserName, tuple[float, ...]] = {
    "sgd": (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
    "adam": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
}
ENTROPY, VALUE = 0.01, 0.5
"""A2C's usual weights."""
NAMES = ("random worlds", "chains", "falling balls")
HELD_OUT: tuple[Draw, ...] = (
    lambda count, generator: tables.random_worlds(count, 20, 3, generator),
    lambda count, generator: tables.chains(count, 10, 2, generator),
    lambda count, generator: tables.falling_balls(count, 6, 5, generator),
)
"""Families as those that rules are discovered on, in other sizes."""


@dataclass(frozen=True)
class Way:
    """A way of learning tables: what a life begins with for (problems, states, choices), what an update makes of it and
    of a rollout, and the policies `[K, S, A]` in it.
    """

    name: str
    begin: Callable[[int, int, int], Any]
    update: Callable[[Any, dict[str, Tensor]], Any]
    policies: Callable[[Any], Tensor]


def by_rule(rule: Rule, cfg: DiscoveryConfig) -> Way:
    """Updates towards a rule's targets."""
    return Way(
        f"rule, rate {cfg.rate:g}",
        lambda tasks, states, choices: newborn(rule, tasks, states, choices),
        lambda lives, data: updated(rule, lives, data, cfg.rate, cfg.discount),
        lambda lives: lives.agents["agent"]["logits"],
    )


def by_a2c(discount: float, method: OptimiserName, rate: float) -> Way:
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), with values to the end of each rollout."""

    def begin(tasks: int, states: int, choices: int) -> Optimiser:
        own = {"logits": torch.zeros(tasks, states, choices), "values": torch.zeros(tasks, states)}
        return Optimiser({"agent": own}, rate, inf, method=method)

    def update(own: Optimiser, data: dict[str, Tensor]) -> Optimiser:
        own.step({"agent": a2c_gradient(own.params["agent"], data, discount)})
        return own

    return Way(f"A2C, {method} {rate:g}", begin, update, lambda own: own.params["agent"]["logits"].detach())


@torch.enable_grad()
def a2c_gradient(own: dict[str, Tensor], data: dict[str, Tensor], discount: float) -> dict[str, Tensor]:
    """Of the loss of `logits` `[K, S, A]` and `values` `[K, S]`; a mean over steps, times the number of states."""
    logits, values = own["logits"], own["values"]
    task, state = torch.arange(len(logits)).reshape(-1, 1, 1), data["state"]
    later, found = values.detach()[task, state][:, -1], []
    for t in range(data["reward"].shape[1] - 1, -1, -1):
        later = data["reward"][:, t] + discount * (1 - data["ended"][:, t].float()) * later
        found.append(later)
    goal, value = torch.stack(found[::-1], 1), values[task, state[:, :-1]]
    logs = logits[task, state[:, :-1]].log_softmax(-1)
    taken = logs.gather(-1, data["action"].unsqueeze(-1)).squeeze(-1)
    loss = VALUE * (goal - value).square() - taken * (goal - value).detach() + ENTROPY * (logs.exp() * logs).sum(-1)
    pulls = torch.autograd.grad(loss.mean((-2, -1)).sum() * logits.shape[1], (logits, values))
    return dict(zip(("logits", "values"), pulls, strict=True))


def score(way: Way, problems: Tables, seed: int, cfg: DiscoveryConfig, updates: int = UPDATES) -> tuple[Tensor, Tensor]:
    """Of a life of so many updates, on each problem: mean reward per step in its last fifth, and what an episode of the
    last policy is worth, as a share of the best's, above chance: `[K]`. Who diverged acts by chance.
    """
    generator = torch_generator(seed, "lives")
    own = way.begin(*problems.reward.shape)
    state = torch.multinomial(problems.first, cfg.copies, replacement=True, generator=generator)
    earned = []
    for _ in range(updates):
        data = tables.play(problems, way.policies(own), state, cfg.length, generator)
        state = data["state"][:, -1]
        earned.append(data["reward"].mean((-2, -1)))
        own = way.update(own, data)
    chance = tables.worth(problems, torch.zeros_like(problems.reward).softmax(-1), cfg.discount)
    worth = tables.worth(problems, way.policies(own).softmax(-1), cfg.discount) - chance
    share = worth / (tables.most(problems, cfg.discount) - chance)
    return torch.stack(earned)[-max(1, updates // 5) :].mean(0), share.nan_to_num(0.0)


def tuned_a2c(draw: Draw, cfg: DiscoveryConfig, updates: int = UPDATES) -> Way:
    """A2C at the optimiser and rate that do best on a family's training problems."""
    problems = draw(TUNED_ON, torch_generator(TUNING_SEED, "problems"))
    ways = [by_a2c(cfg.discount, method, rate) for method, rates in RATES.items() for rate in rates]
    found = [float(score(way, problems, TUNING_SEED, cfg, updates)[0].nan_to_num(-1e9).mean()) for way in ways]
    return ways[max(range(len(ways)), key=lambda i: found[i])]


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
    a2c = [tuned_a2c(draw, cfg, updates) for draw in FAMILIES]
    say(f"discovery {', '.join(f'{name}: {way.name}' for name, way in zip(NAMES, a2c, strict=True))}")
    found: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    for seed in run_seeds:
        rule, earned = discover(cfg, seed)
        say(f"discovery seed {seed}: agents earn {sum(earned[-30:]) / len(earned[-30:]):.3f} of what there is")
        for name, draw, other in zip(NAMES, HELD_OUT, a2c, strict=True):
            at = HELD_OUT_SEED + seed
            problems = draw(MEASURED_ON, torch_generator(at, "problems"))
            with torch.no_grad():
                both = [score(way, problems, at, cfg, updates) for way in (by_rule(rule, cfg), other)]
            found[name].append([float(x.mean()) for x in (*both[0], *both[1])])
            ours, our_share, theirs, their_share = found[name][-1]
            shares = f"of what there is {our_share:.3f}, {their_share:.3f}"
            say(f"discovery seed {seed} {name}: rule {ours:.3f}, A2C {theirs:.3f}; {shares}")
    rows = [{"name": name, **_measures(torch.tensor(pairs))} for name, pairs in found.items()]
    write(rows, out)
    return rows


def _measures(found: Tensor) -> Mapping[str, dict[str, float]]:
    rule, share, a2c, share_of_a2c = found.double().unbind(-1)
    named = {"discovered_rule": rule, "A2C": a2c, "rule_minus_A2C": rule - a2c}
    named |= {"rule,_share": share, "A2C,_share": share_of_a2c, "difference_of_shares": share - share_of_a2c}
    return {name: mean_ci95(x.numpy()) for name, x in named.items()}
