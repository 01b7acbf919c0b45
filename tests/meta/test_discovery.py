"""What a rule is discovered through: agents that are tables, and a gradient through their updates."""

import torch

from lwmecps_core.algorithms.disco import weights
from lwmecps_core.algorithms.disco.loss import VALUE_WEIGHT, divergence
from lwmecps_core.algorithms.disco.rule import Rule, targets
from lwmecps_core.meta import tables
from lwmecps_core.meta.discovery import Lives, newborn, trajectory, updated
from lwmecps_core.testing.examples import RULE
from lwmecps_core.training.discovery import Cohort, DiscoveryConfig, discover
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.tree import tree_map


def _rule() -> Rule:
    return {name: x.double() for name, x in weights.drawn(RULE, 3).items()}


def _begun(rule: Rule) -> tuple[tables.Tables, Lives, list[dict[str, torch.Tensor]]]:
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
    exact = (x.double() if x.is_floating_point() else x for x in vars(problems).values())
    return tables.Tables(*exact), lives, made


def _worth(problems: tables.Tables, lives: Lives) -> torch.Tensor:
    return tables.worth(problems, lives.agents["agent"]["logits"].softmax(-1), 0.9).sum()


def test_the_gradient_through_updates_equals_finite_differences() -> None:
    rule = _rule()
    problems, lives, (first, second) = _begun(rule)

    def raised(some: Rule) -> torch.Tensor:
        return _worth(problems, updated(some, updated(some, lives, first, 0.5), second, 0.5))

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
    problems, lives, (first, second) = _begun(rule)
    early, late = ({n: x.clone().requires_grad_() for n, x in rule.items()} for _ in range(2))
    ended = updated(late, updated(early, lives, first, 0.5), second, 0.5)
    name = "lstm/linear_4/w"
    (found,) = torch.autograd.grad(_worth(problems, ended), [early[name]])
    assert float(found.abs().sum()) > 0.0


def test_a_short_step_descends_the_divergence_from_the_rule_s_targets() -> None:
    rule = _rule()
    _, lives, (data, _) = _begun(rule)
    goal, _ = targets(rule, lives.kept, trajectory(lives, data), 0.9)
    live = {name: x.clone().requires_grad_() for name, x in lives.agents["agent"].items()}
    task, state, action = torch.arange(2).reshape(-1, 1, 1), data["state"][:, :-1], data["action"]
    by_step = divergence(goal.pi, live["logits"][task, state]) + divergence(goal.y, live["y"][task, state])
    by_step = by_step + divergence(goal.z, live["z"][task, state, action])
    by_step = by_step + VALUE_WEIGHT * 0.5 * (live["q"][task, state, action] - goal.q).square()
    (by_step.mean((-2, -1)).sum() * 4).backward()
    after = updated(rule, lives, data, 0.2, 0.9).agents["agent"]
    for name, x in live.items():
        assert x.grad is not None
        torch.testing.assert_close(after[name], x.detach() - 0.2 * x.grad)


def test_a_long_step_moves_a_state_by_the_mean_of_its_pulls_and_no_further() -> None:
    rule = _rule()
    _, lives, (data, _) = _begun(rule)
    goal, _ = targets(rule, lives.kept, trajectory(lives, data), 0.9)
    after, before = (some.agents["agent"] for some in (updated(rule, lives, data, 1e3, 0.9), lives))
    for task in range(2):
        for state in range(4):
            here = data["state"][task, :-1] == state
            wanted = before["logits"][task, state]
            if here.any():
                wanted = wanted - wanted.softmax(-1) + goal.pi[task][here].softmax(-1).mean(0)
            torch.testing.assert_close(after["logits"][task, state], wanted)


def test_what_policies_are_worth_is_what_they_earn() -> None:
    generator = torch.Generator().manual_seed(0)
    chain = tables.chains(3, 5, 2, generator)
    torch.testing.assert_close(tables.most(chain, 0.9), torch.full((3,), 0.9**3))
    worlds = tables.random_worlds(2, 6, 3, generator)
    logits = torch.randn(2, 6, 3, generator=generator)
    data = tables.play(worlds, logits, torch.zeros(2, 20_000, dtype=torch.long), 40, generator)
    begun = torch.cat([torch.zeros(2, 1, 20_000), data["ended"][:, :-1].float()], 1).cumsum(1) == 0
    earned = (data["reward"] * begun * 0.8 ** torch.arange(40.0).reshape(-1, 1)).sum(1).mean(-1)
    torch.testing.assert_close(tables.worth(worlds, logits.softmax(-1), 0.8), earned, atol=0.05, rtol=0.0)
    assert (tables.most(worlds, 0.8) > tables.worth(worlds, logits.softmax(-1), 0.8)).all()


def test_agents_are_replaced_one_by_one_when_their_lives_are_over_or_they_diverged() -> None:
    cfg = DiscoveryConfig(agents=4, life=4, window=1, length=5, copies=2)
    rule = weights.drawn(RULE, 3)
    cohort = Cohort(cfg, rule, lambda count, generator: tables.chains(count, 4, 2, generator), torch_generator(0, "x"))
    assert cohort.left.tolist() == [1, 2, 3, 4]
    cohort.window(rule)
    cohort.living.lives.agents["agent"]["y"][2, 0] = torch.nan
    before = cohort.living
    cohort.renew(rule)
    assert cohort.left.tolist() == [4, 1, 4, 3]
    for name, x in cohort.living.lives.agents["agent"].items():
        assert not x[[0, 2]].any()
        torch.testing.assert_close(x[[1, 3]], before.lives.agents["agent"][name][[1, 3]])
    assert torch.equal(cohort.living.problems.follow[[1, 3]], before.problems.follow[[1, 3]])
    cohort.window(rule)
    assert all(bool(x.isfinite().all()) for x in cohort.living.lives.agents["agent"].values())


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
    cfg = DiscoveryConfig(steps=3, window=2, life=1, agents=2, length=5, copies=4)

    def chains(count: int, generator: torch.Generator) -> tables.Tables:
        return tables.chains(count, 4, 2, generator)

    def worlds(count: int, generator: torch.Generator) -> tables.Tables:
        return tables.random_worlds(count, 4, 3, generator)

    (one, earned), (other, _) = (discover(cfg, 5, RULE, (chains, worlds)) for _ in range(2))
    assert len(earned) == 3
    read = weights.from_bytes(weights.to_bytes(one), "file")
    assert all(torch.equal(read[name], other[name]) for name in one)
    assert not torch.equal(one["lstm/linear_4/w"], weights.drawn(RULE, 5)["lstm/linear_4/w"])
