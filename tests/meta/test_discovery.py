"""What a rule is discovered through: agents that are tables, and a gradient through their updates."""

import torch

from lwmecps_core.algorithms.disco import weights
from lwmecps_core.algorithms.disco.rule import Rule
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import Lives, gain, newborn, updated
from lwmecps_core.testing.examples import RULE
from lwmecps_core.training.discovery import DiscoveryConfig, discover
from lwmecps_core.tree import tree_map


def _rule() -> Rule:
    return {name: x.double() for name, x in weights.drawn(RULE, 3).items()}


def _begun(rule: Rule) -> tuple[Lives, list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    problems = tables.random_worlds(2, 4, 3, generator)
    lives = newborn(rule, 2, 4, 3)
    noise = tree_map(lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype), lives.agents)
    lives = Lives(noise, tree_map(lambda x: 0.5 * x, noise), lives.kept)
    state = torch.zeros(2, 5, dtype=torch.long)
    made = []
    for _ in range(2):
        data = tables.play(problems, noise["agent"]["logits"].float(), state, 6, generator)
        made.append(data | {"reward": data["reward"].double()})
    return lives, made


def test_the_gradient_through_an_update_equals_finite_differences() -> None:
    rule = _rule()
    lives, (first, second) = _begun(rule)

    def raised(some: Rule) -> torch.Tensor:
        return gain(updated(some, lives, first, 0.5), second, 0.9).sum()

    live = {name: x.clone().requires_grad_() for name, x in rule.items()}
    found = torch.autograd.grad(raised(live), list(live.values()), allow_unused=True)
    generator, h = torch.Generator().manual_seed(1), 1e-6
    direction = {name: torch.randn(x.shape, generator=generator, dtype=x.dtype) for name, x in rule.items()}
    up, down = (raised({n: x + sign * h * direction[n] for n, x in rule.items()}) for sign in (1, -1))
    slope = sum((g * direction[n]).sum() for (n, g) in zip(live, found, strict=True) if g is not None)
    assert float(slope) != 0.0
    torch.testing.assert_close(slope, (up - down) / (2 * h), rtol=1e-5, atol=1e-9)


def test_a_window_s_gradient_goes_through_all_of_its_updates() -> None:
    rule = _rule()
    lives, (first, second) = _begun(rule)
    early, late = ({n: x.clone().requires_grad_() for n, x in rule.items()} for _ in range(2))
    ended = updated(late, updated(early, lives, first, 0.5), second, 0.5)
    name = "lstm/linear_4/w"
    (found,) = torch.autograd.grad(gain(ended, first, 0.9).sum(), [early[name]])
    assert float(found.abs().sum()) > 0.0


def test_a_chain_pays_at_its_end_alone_and_a_ball_where_it_is_caught() -> None:
    generator = torch.Generator().manual_seed(0)
    chain = tables.chains(3, 5, 2, generator)
    assert torch.equal(chain.reward.sum((1, 2)), torch.full((3,), chain.reward[0].sum()))
    assert (chain.reward[:, :3] == 0).all()
    torch.testing.assert_close(chain.follow.sum(-1), torch.ones(3, 5, 2))
    balls = tables.falling_balls(2, 4, 3, generator)
    torch.testing.assert_close(balls.follow.sum(-1), torch.ones(2, 37, 3))
    data = tables.play(balls, torch.zeros(2, 37, 3), torch.multinomial(balls.first, 8, replacement=True), 9, generator)
    assert torch.equal(data["reward"] != 0, data["ended"])
    assert data["ended"][:, 3].all()


def test_a_discovered_rule_is_a_file_and_the_same_every_time() -> None:
    cfg = DiscoveryConfig(steps=3, window=2, life=1, length=5, copies=4)

    def chains(generator: torch.Generator) -> tables.Tables:
        return tables.chains(2, 4, 2, generator)

    def worlds(generator: torch.Generator) -> tables.Tables:
        return tables.random_worlds(2, 4, 3, generator)

    (one, earned), (other, _) = (discover(cfg, 5, RULE, (chains, worlds)) for _ in range(2))
    assert len(earned) == 3
    read = weights.from_bytes(weights.to_bytes(one), "file")
    assert all(torch.equal(read[name], other[name]) for name in one)
    assert not torch.equal(one["lstm/linear_4/w"], weights.drawn(RULE, 5)["lstm/linear_4/w"])
