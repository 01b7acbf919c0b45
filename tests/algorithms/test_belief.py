"""Beliefs: the bound against a plain loop and closed forms, and what may and may not reach them."""

from dataclasses import replace
from math import exp, log, nan
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.algorithms.belief import Gaussian, divergence
from lwmecps_core.algorithms.belief_ppo import GROUP, STATE, BeliefPPO
from lwmecps_core.algorithms.decoder import LEAST_BUSY, LEAST_LOG_SCALE, QUICK, SCALE
from lwmecps_core.algorithms.elbo import elbo
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.algorithms.recurrence import COMMON
from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import algorithm_from_proto
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.testing.examples import BELIEF, SPECS, nothing_remembered, rollout, small, whole
from lwmecps_core.tree import gradients, tree_map
from protos.lwmecps.common.v1 import settings_pb2

WIDE = replace(
    SPECS["rows"], blocks=(("global", (5,)), ("deployment", (3, 11)), ("objective", (6,)), ("limits", (3, 2)))
)
"""As large as an environment's blocks are, so that loads are shown."""
SHOWN = {**SPECS, "wide": WIDE, "mlp": replace(WIDE, env_id="lwmecps-v1", action_entity="global")}


def _example(spec: EnvSpec, **settings: object) -> tuple[BeliefPPO, Params]:
    algo = algorithms.make(replace(small(BELIEF), **settings), spec)  # type: ignore[arg-type]
    gen = torch.Generator().manual_seed(1)
    params, _ = algo.init(gen)
    # A fresh encoder believes nearly the prior, and a fresh decoder hardly looks at it.
    moved = {n: x + 0.3 * torch.randn(x.shape, generator=gen) for n, x in params[GROUP].items()}
    params = tree_map(lambda leaf: leaf.double().requires_grad_(), params | {GROUP: moved})
    return cast(BeliefPPO, algo), params


def _sequences(algo: BeliefPPO, params: Params, *, tasks: int = 1) -> Batch:
    """A rollout that begins with something remembered, an early end in it."""
    data = rollout(algo, params, {}, 3, tasks=tasks)
    found = algo.experience({name: x.detach() for name, x in data.items()})
    return found | {"state": found["state"] + 0.25}


def _everything(some: Batch, size: int) -> Batch:
    """The same with all prefixes and all intervals once, and noise."""
    *lead, width, length = some["weight"].shape
    noise = torch.randn(
        *lead, width, length + 1, some["state"].shape[-2], size, generator=torch.Generator().manual_seed(5)
    )
    return some | {
        "prefix": torch.arange(length + 1).expand(*lead, width, -1),
        "interval": torch.arange(length).expand(*lead, width, -1),
        "noise": noise.double(),
    }


def test_divergence_is_that_of_normal_distributions() -> None:
    gen = torch.Generator().manual_seed(0)
    mean, log_variance, other, beside = (torch.randn(7, 4, generator=gen, dtype=torch.float64) for _ in range(4))
    found = divergence(Gaussian(mean, log_variance), Gaussian(other, beside))
    p, q = Normal(mean, (0.5 * log_variance).exp()), Normal(other, (0.5 * beside).exp())
    torch.testing.assert_close(found, kl_divergence(p, q).sum(-1))
    drawn = Gaussian(mean, log_variance).sample(torch.randn(200_000, 7, 4, generator=gen, dtype=torch.float64))
    torch.testing.assert_close((p.log_prob(drawn) - q.log_prob(drawn)).sum(-1).mean(0), found, rtol=0.03, atol=0.03)
    assert not divergence(Gaussian(mean, log_variance), Gaussian(mean, log_variance)).any()


def _normal(x: Tensor, mean: Tensor, log_scale: Tensor) -> float:
    scale = (LEAST_LOG_SCALE + torch.nn.functional.softplus(log_scale - LEAST_LOG_SCALE)).exp()
    seen = ~x.isnan()
    return float(Normal(mean[seen], scale[seen]).log_prob(x[seen]).sum()) if seen.any() else 0.0


def _slow(algo: BeliefPPO, net: Net, some: Batch, rows: bool) -> tuple[float, float]:
    """Likelihood and divergence, one rollout, prefix, interval and unit after the other."""
    obs, told, weight, state = some["obs"], some["told"], some["weight"], some["state"]
    width, length = weight.shape
    shapes = dict(algo.spec.blocks)
    likelihood, apart = 0.0, 0.0
    for b in range(width):
        now = state[b : b + 1]
        believed = [now]
        for t in range(length + 1):
            now = algo.belief.recurrence.step(net, obs[b : b + 1, t], told[b : b + 1, t], now)
            believed.append(now)
        for prefix in range(length + 1):
            q, before = (believed[prefix + i][0] for i in (1, 0))
            mean, log_variance = q @ net["belief_mean.weight"], q @ net["belief_log_variance.weight"]
            prior = Normal(before @ net["belief_mean.weight"], (0.5 * before @ net["belief_log_variance.weight"]).exp())
            apart += float(kl_divergence(Normal(mean, (0.5 * log_variance).exp()), prior).sum())
            m = mean + (0.5 * log_variance).exp() * some["noise"][b, prefix]
            for t in range(length):
                if not weight[b, t]:
                    continue
                hidden, loads = [], []
                for unit in range(len(m)):
                    given, load = _seen(algo, obs[b, t], obs[b, t + 1], told[b, t + 1], unit if rows else None)
                    inner = given @ net["decoder_given.weight"] + net["decoder_given.bias"]
                    hidden.append(torch.tanh(inner + m[unit] @ net["decoder_belief.weight"]))
                    loads.append(load)
                pooled = torch.tanh(torch.stack(hidden).mean(0) @ net["decoder_mix.weight"] + net["decoder_mix.bias"])
                terms = told[b, t + 1, 1:COMMON]
                wanted = terms.sign() * torch.log(1 + terms.abs() / SCALE)
                guess = pooled @ net["decoder_terms.weight"] + net["decoder_terms.bias"]
                likelihood += _normal(wanted, guess, QUICK * net["decoder_terms.log_scale"])
                for own, load in zip(hidden, loads, strict=True):
                    if len(load):
                        guess = own @ net["decoder_loads.weight"] + net["decoder_loads.bias"]
                        likelihood += _normal(load, guess, QUICK * net["decoder_loads.log_scale"])
    pairs = width * (length + 1)
    assert "deployment" in shapes or not rows
    return likelihood / (pairs * length), apart / (pairs * length)


def _seen(algo: BeliefPPO, before: Tensor, after: Tensor, told: Tensor, unit: int | None) -> tuple[Tensor, Tensor]:
    """What an interval is explained by, and its load, by positions in the observation."""
    at, start = {}, 0
    for name, shape in algo.spec.blocks:
        size = int(torch.tensor(shape).prod())
        at[name] = (start, shape)
        start += size
    action = told[COMMON:]
    if "deployment" not in at:
        return torch.cat([after, action]), after[:0]
    start, (count, width) = at["deployment"]
    units = [unit] if unit is not None else list(range(count))
    clock = after[at["global"][0] : at["global"][0] + 2]
    running = torch.cat([before[start + u * width : start + u * width + min(3, width)] for u in units])
    load = torch.tensor(
        [x for u in units for x in _load(after[start + u * width : start + (u + 1) * width].tolist())],
        dtype=torch.float64,
    )
    objective, limits = at.get("objective"), at.get("limits")
    common = [clock] + ([after[objective[0] : objective[0] + 6]] if objective else [])
    own = [running] + ([torch.cat([after[limits[0] + 2 * u : limits[0] + 2 * u + 2] for u in units])] if limits else [])
    if unit is None:
        return torch.cat([*common, *own, action]), load
    return torch.cat([*own, action.reshape(count, -1)[unit].mean().unsqueeze(0), *common]), load


def _load(row: list[float]) -> list[float]:
    """Log rate, and log busy replicas per request and second, or NaN where these say little."""
    if len(row) < 11:
        return []
    utilisation, busy, log_rate, failed = row[3], row[4], row[5], row[8]
    rate = exp(log_rate) - 1
    clear = utilisation < 0.9 and failed < 0.05 and rate >= 0.1 and busy > -LEAST_BUSY
    return [log_rate, log((busy + LEAST_BUSY) / rate) if clear else nan]


@pytest.mark.parametrize("spec", SHOWN)
def test_the_bound_over_all_prefixes_is_that_of_a_plain_loop(spec: str) -> None:
    algo, params = _example(SHOWN[spec])
    some = _everything(_sequences(algo, params), algo.belief.size)
    one = {name: x[0] for name, x in some.items()}
    assert not one["weight"].all() and one["state"].any(), "an interval that carries a reset, and something remembered"
    if "objective" in dict(SHOWN[spec].blocks):
        loads = algo.decoder.loads(one["obs"])
        assert loads.isnan().any() and not loads.isnan().all()
    found = {name: float(x.detach()) for name, x in elbo(algo.belief, algo.decoder, params[GROUP], one).items()}
    with torch.no_grad():
        likelihood, apart = _slow(algo, params[GROUP], one, algo.belief.recurrence.rows)
    assert found["likelihood"] == pytest.approx(likelihood, rel=1e-9)
    assert found["divergence"] == pytest.approx(apart, rel=1e-9) and apart > 0.0


def test_prefixes_and_intervals_that_are_drawn_leave_the_bound_what_it_is_on_average() -> None:
    algo, params = _example(WIDE)
    some = {name: x[0] for name, x in _everything(_sequences(algo, params), algo.belief.size).items()}
    whole_bound = elbo(algo.belief, algo.decoder, params[GROUP], some)
    parts: dict[str, list[Tensor]] = {}
    for prefix in range(some["prefix"].shape[-1]):
        for interval in range(some["interval"].shape[-1]):
            drawn = some | {
                "prefix": some["prefix"][:, [prefix]],
                "noise": some["noise"][:, [prefix]],
                "interval": some["interval"][:, [interval]],
            }
            for name, x in elbo(algo.belief, algo.decoder, params[GROUP], drawn).items():
                parts.setdefault(name, []).append(x)
    for name, x in whole_bound.items():
        torch.testing.assert_close(torch.stack(parts[name]).mean(), x)


def test_a_task_axis_does_the_work_of_several_calls() -> None:
    algo, params = _example(WIDE, belief_told=1.0)
    some = _everything(_sequences(algo, params, tasks=2), algo.belief.size)
    some["service"] = torch.randn(2, 3, 3, dtype=torch.float64)
    nets = {name: torch.stack([x, 0.5 * x]) for name, x in params[GROUP].items()}
    together = algo.belief_losses(nets, some)[0]
    for k in range(2):
        alone = algo.belief_losses({n: x[k] for n, x in nets.items()}, {n: x[k] for n, x in some.items()})[0]
        torch.testing.assert_close(together[k], alone)


@pytest.mark.parametrize("spec", ["wide", "mlp"])
def test_service_times_are_told_to_the_deployments_that_have_them(spec: str) -> None:
    """One deployment's own time changes its own likelihood by as much as a normal distribution says."""
    algo, params = _example(SHOWN[spec], belief_told=0.5)
    some = {name: x[0] for name, x in _everything(_sequences(algo, params), algo.belief.size).items()}
    some["service"] = torch.randn(3, 3, dtype=torch.float64)
    m = torch.randn(3, 2, algo.belief.recurrence.units, algo.belief.size, dtype=torch.float64)
    mean, log_scale = (x.squeeze(-1 if spec == "wide" else -2) for x in algo.decoder.service(params[GROUP], m))
    expected = Normal(mean, log_scale.exp()).log_prob(some["service"].unsqueeze(1)).sum(-1)
    found = algo.decoder.log_likelihood_of_service(params[GROUP], m, some["service"])
    torch.testing.assert_close(found, expected)
    loss, parts = algo.belief_losses(params[GROUP], some)
    kl = algo.cfg.belief_kl_weight
    torch.testing.assert_close(loss, kl * parts["divergence"] - parts["likelihood"] - 0.5 * parts["told"])


@pytest.mark.parametrize("spec", SPECS)
def test_actions_one_by_one_are_as_likely_on_the_beliefs_that_prepare_computes(spec: str) -> None:
    algo, params = _example(SPECS[spec], entropy_coef=0.0)
    data = {name: x.detach() for name, x in rollout(algo, params, {}, 1).items()}
    batch = whole(algo, tree_map(lambda x: x.detach().expand(2, *x.shape), params), {}, data)
    many = tree_map(lambda x: x.expand(2, *x.shape), params)
    weighed = torch.randn(batch["weight"].shape, dtype=torch.float64)
    loss = algo.losses(many, {}, batch | {"advantage": weighed})["actor"]
    torch.testing.assert_close(loss, -(weighed * batch["weight"]).sum(-1) / batch["weight"].sum(-1))


def test_a_flag_or_a_memory_that_is_another_makes_other_beliefs() -> None:
    algo, params = _example(SPECS["rows"])
    data = {name: x.detach() for name, x in rollout(algo, params, {}, 1).items()}
    many = tree_map(lambda x: x.detach().expand(2, *x.shape), params)
    seen = whole(algo, many, {}, data)["obs"]
    for fault in ("first", "reward_terms", "action"):
        late = data | {fault: data[fault].roll(1, 1)}
        assert float((whole(algo, many, {}, late)["obs"] - seen).abs().max()) > 1e-6, fault
    other = data | {f"begun/{STATE}": data[f"begun/{STATE}"] + 0.5}
    assert float((whole(algo, many, {}, other)["obs"] - seen).abs().max()) > 1e-6


def test_no_gradient_of_the_policy_reaches_the_belief_and_none_of_the_bound_the_policy() -> None:
    algo, params = _example(WIDE)
    data = {name: x.detach() for name, x in rollout(algo, params, {}, 1, tasks=1).items()}
    many = tree_map(lambda x: x.unsqueeze(0), params)
    batch = whole(algo, many, {}, data)
    losses = algo.losses(many, {}, batch)
    assert losses.keys() == {"actor", "critic"} and not batch["obs"].requires_grad
    loss, _ = algo.belief_losses(many[GROUP], _everything(_sequences(algo, params), algo.belief.size))
    found = gradients({GROUP: loss}, many)[GROUP]
    assert all(x.any() for x in found.values()), "every weight of encoder and decoder learns"
    leaves = [x for group in ("actor", "critic") for x in params[group].values()]
    again, _ = algo.belief_losses(many[GROUP], _everything(_sequences(algo, params), algo.belief.size))
    assert all(x is None for x in torch.autograd.grad(again.sum(), leaves, allow_unused=True))


def test_nothing_remembered_is_the_prior() -> None:
    algo, params = _example(WIDE)
    found = algo.belief.of(params[GROUP], nothing_remembered(algo, 4)[STATE])
    assert not found.mean.any() and not found.log_variance.any() and found.mean.shape == (4, 3, 2)


def test_beliefs_move_to_clusters_of_another_size_and_follow_deployments_that_are_renumbered() -> None:
    algo, params = _example(WIDE)
    blocks = tuple((name, (5, *shape[1:]) if len(shape) == 2 else shape) for name, shape in WIDE.blocks)
    bigger, others = _example(replace(WIDE, blocks=blocks, nvec=(5,) * 5, action_size=5))
    assert {n: x.shape for n, x in params[GROUP].items()} == {n: x.shape for n, x in others[GROUP].items()}
    assert rollout(bigger, params, {}, 3)["begun/state"].shape[-2] == 5
    some = {name: x[0] for name, x in _everything(_sequences(algo, params), algo.belief.size).items()}
    order = torch.tensor([2, 0, 1])
    columns, start = [], 0
    for _, shape in WIDE.blocks:
        size = int(torch.tensor(shape).prod())
        own = torch.arange(start, start + size)
        columns.append(own.reshape(shape)[order].flatten() if len(shape) == 2 else own)
        start += size
    told = torch.cat([some["told"][..., :COMMON], some["told"][..., COMMON:][..., order]], -1)
    turned = some | {"obs": some["obs"][..., torch.cat(columns)], "told": told, "state": some["state"][:, order]}
    turned |= {"noise": some["noise"][..., order, :]}
    for name, x in elbo(algo.belief, algo.decoder, params[GROUP], turned).items():
        torch.testing.assert_close(x, elbo(algo.belief, algo.decoder, params[GROUP], some)[name])


@pytest.mark.parametrize("name", ["dqn", "sac", "td3", "q_learning"])
def test_algorithms_that_keep_transitions_refuse_it_by_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="context"):
        parse(AlgorithmConfig, {"name": name, "context": "belief"}, "settings")  # type: ignore[arg-type]


def test_the_contract_takes_it_and_service_times_need_deployments() -> None:
    message = settings_pb2.AlgorithmConfig()
    message.ppo.context, message.ppo.belief_size = settings_pb2.CONTEXT_BELIEF, 3
    assert algorithm_from_proto(message) == PPOConfig(context="belief", belief_size=3)
    with pytest.raises(InvalidInput, match="belief_told: what is seen has no deployments"):
        algorithms.make(PPOConfig(context="belief", belief_told=1.0), SPECS["flat"])
    with pytest.raises(InvalidInput, match="ignore_blocks: a set network's beliefs are of deployments"):
        algorithms.make(PPOConfig(context="belief", ignore_blocks=("deployment",)), WIDE)
