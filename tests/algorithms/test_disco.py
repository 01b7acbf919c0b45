"""The learnt update rule: its numbers are the original's, and what policies make of it.

`disco_recorded.json` holds what the published implementation (JAX) makes of random inputs in two updates one after the
other: with random weights of a small size, which `weights.drawn` draws again here, and with the published ones, whose
file is its authors'. Where `LWMECPS_DISCO_RULE` names it, that is checked, too.
"""

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.disco import loss, rule, value, weights
from lwmecps_core.algorithms.disco.agent import Disco
from lwmecps_core.algorithms.disco.rule import Life, Rule, Targets, Trajectory
from lwmecps_core.errors import InvalidInput
from lwmecps_core.testing import examples
from lwmecps_core.tree import expanded, expanded_extra, gradients

RECORDED = json.loads(Path(__file__).with_name("disco_recorded.json").read_text())
WITHIN = 3e-5
"""How far a target may be from the original's, relative to 1 or its size."""
OF_LOSS = 1e-3
"""Likewise of losses: how a value lies between two bins is a small difference of numbers up to 300 in single precision,
in the original as here."""
FILE = os.environ.get("LWMECPS_DISCO_RULE", "")


def _inputs(predictions: int, seed: int) -> tuple[Trajectory, dict[str, Tensor]]:
    """What the original was given: outputs of an agent and of its copy, and what it did, from one seed."""
    generator, (steps, agents, choices) = np.random.default_rng(seed), (6, 4, 3)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy((scale * generator.standard_normal(shape)).astype(np.float32))

    said = {}
    for who in ("", "slow_"):
        said[f"{who}logits"] = normal(steps + 1, agents, choices)
        said[f"{who}y"] = normal(steps + 1, agents, predictions, scale=2.0)
        said[f"{who}z"] = normal(steps + 1, agents, choices, predictions, scale=2.0)
        said[f"{who}q"] = normal(steps + 1, agents, choices, 601, scale=3.0)
    following, behaviour = normal(steps + 1, agents, choices, choices), normal(steps + 1, agents, choices)
    action = torch.from_numpy(generator.integers(0, choices, (steps + 1, agents)))[:-1]
    reward = normal(steps, agents, scale=3.0)
    ended = torch.from_numpy(generator.random((steps, agents)) < 0.2)
    of_bins = {"q": said["q"], "following": following}
    said |= {name: value.expected(said[name]) for name in ("q", "slow_q")}
    seen = Trajectory(
        **said,
        allowed=torch.ones(steps + 1, agents, choices, dtype=torch.bool),
        action=action,
        behaviour=behaviour[:-1],
        reward=reward,
        ended=ended,
    )
    return seen, of_bins


def _taken(x: Tensor, action: Tensor) -> Tensor:
    return x.gather(2, action[..., None, None].expand(*action.shape, 1, x.shape[-1])).squeeze(2)


def _loss(goal: Targets, seen: Trajectory, of_bins: dict[str, Tensor]) -> Tensor:
    q, following, z = (_taken(x[:-1], seen.action) for x in (of_bins["q"], of_bins["following"], seen.z))
    alive = 1 - seen.ended.float()
    return loss.by_step(goal, seen.logits[:-1], seen.y[:-1], z, q, following, seen.logits[1:], alive)


def _agrees(made: Rule, recorded: list[dict[str, Any]]) -> None:
    kept = rule.nothing_kept(made)
    for seed, expected in zip((11, 12), recorded, strict=True):
        seen, of_bins = _inputs(weights.sizes_of(made).predictions, seed)
        goal, kept = rule.targets(made, kept, seen)
        found = {**vars(goal), **vars(kept), "loss": _loss(goal, seen, of_bins)}
        for name, wanted in expected.items():
            numbers = torch.tensor(wanted)
            shown = found[name][tuple(slice(0, n) for n in numbers.shape)]
            within = OF_LOSS if name == "loss" else WITHIN
            torch.testing.assert_close(shown, numbers, rtol=within, atol=within, msg=lambda m, n=name: f"{n}: {m}")


def test_targets_state_and_losses_are_those_of_the_original() -> None:
    _agrees(weights.drawn(examples.RULE, 3), RECORDED["drawn"])


@pytest.mark.skipif(not FILE, reason="LWMECPS_DISCO_RULE names no file with the published weights")
def test_with_the_published_weights_too() -> None:
    _agrees(weights.from_bytes(Path(FILE).read_bytes(), FILE), RECORDED["published"])


def test_a_return_counts_trace_and_value_of_the_step_after() -> None:
    """Retrace as its authors write it: corrections of what was taken, weighted by the traces in between."""
    generator = torch.Generator().manual_seed(0)
    reward, taken, trace = (torch.randn(5, 1, generator=generator) for _ in range(3))
    of_frames, goes_on = torch.randn(6, 1, generator=generator), torch.tensor([[0.9], [0.9], [0.0], [0.9], [0.9]])
    found = value.returns(reward, goes_on, of_frames, taken, trace)
    for t in range(5):
        total, weight = taken[t].clone(), torch.ones(1)
        for k in range(t, 5):
            weight = weight * goes_on[k - 1] * trace[k] if k > t else weight
            total += weight * (reward[k] + goes_on[k] * of_frames[k + 1] - taken[k])
        torch.testing.assert_close(found[t], total)


def test_two_bins_hold_a_value_and_squashing_is_undone() -> None:
    values = torch.tensor([-12345.0, -3.2, 0.0, 0.7, 41.0, 50_000.0], dtype=torch.float64)
    torch.testing.assert_close(value.unsquashed(value.squashed(values)), values)
    found = value.two_bins(values, 601)
    assert ((found > 0).sum(-1) <= 2).all()
    torch.testing.assert_close(value.expected(found.log()), values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("bins", "largest"), [(61, 900.0), (60, 872.0), (601, 58_000.0)])
def test_fewer_bins_are_as_fine_and_hold_smaller_values(bins: int, largest: float) -> None:
    values = torch.tensor([-largest, -37.5, 0.0, 0.2, largest], dtype=torch.float64)
    found = value.two_bins(values, bins)
    torch.testing.assert_close(value.expected(found.log()), values, rtol=1e-9, atol=1e-9)
    beyond = value.expected(value.two_bins(100 * values[[0, -1]], bins).log())
    assert (beyond.abs() >= largest).all() and (beyond.abs() < 1.05 * largest).all()


def test_what_is_said_of_forbidden_choices_changes_no_target() -> None:
    made, (seen, _) = weights.drawn(examples.RULE, 3), _inputs(8, 5)
    allowed = torch.ones_like(seen.allowed)
    allowed[..., 2] = False
    action = seen.action.clamp_max(1)

    def forbidden(x: Tensor) -> Tensor:
        return x.masked_fill(~allowed[: len(x)], -1e9)

    policies = {name: forbidden(getattr(seen, name)) for name in ("logits", "slow_logits", "behaviour")}
    seen = replace(seen, allowed=allowed, action=action, **policies)
    spoilt = {}
    for name in ("z", "slow_z", "q", "slow_q"):
        spoilt[name] = getattr(seen, name).clone()
        spoilt[name][:, :, 2] += 7.0 * torch.randn_like(spoilt[name][:, :, 2])
    kept = rule.nothing_kept(made)
    (first, after), (second, later) = (rule.targets(made, kept, each) for each in (seen, replace(seen, **spoilt)))
    torch.testing.assert_close(first.pi[..., :2], second.pi[..., :2])
    for name in ("y", "z", "q"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name))
    torch.testing.assert_close(after.hidden, later.hidden)


def test_the_rule_keeps_of_an_agent_s_life_and_its_copy_lags_behind() -> None:
    algo, params, extra = examples.make("disco", "rows")
    assert isinstance(algo, Disco)
    many, many_extra = expanded(params, 2), expanded_extra(extra, 2)
    data = examples.rollout(algo, params, extra, 4, tasks=2)
    raw = algo.prepare(many, many_extra, data, torch.Generator())
    moved = {g: {n: x + 1.0 for n, x in net.items()} for g, net in many.items()}
    _, after = algo.targets(moved, many_extra, raw)
    assert not torch.equal(after["learner/kept/hidden"], many_extra["learner/kept/hidden"])
    for name, x in many["agent"].items():
        torch.testing.assert_close(after[f"learner/slow/{name}"], x + 0.1)
    assert all(after[name] is many_extra[name] for name in many_extra if name.startswith("learner/given/rule/"))


def test_a_component_sees_the_whole_reward_and_its_own_choice() -> None:
    """Targets of one component don't change with what another one did, but for what both share: nothing here."""
    algo, params, extra = examples.make("disco", "rows")
    data = {k: v[0] for k, v in examples.rollout(algo, params, extra, 4, tasks=1).items()}
    batch = examples.whole(algo, params, extra, data)
    lead = batch["weight"].shape
    assert batch["goal/pi"].shape == (*lead, algo.spec.action_size, algo.spec.nvec[0])
    assert batch["goal/q"].shape == (*lead, algo.spec.action_size)
    live = {g: {n: x.clone().requires_grad_() for n, x in net.items()} for g, net in params.items()}
    other = batch | {"goal/pi": batch["goal/pi"].clone()}
    other["goal/pi"][..., 0, :] += torch.randn_like(other["goal/pi"][..., 0, :])
    first, second = (gradients(algo.losses(live, extra, each), live)["agent"] for each in (batch, other))
    assert not torch.equal(first["logits.weight"], second["logits.weight"])
    torch.testing.assert_close(first["y.weight"], second["y.weight"])


def _spoilt(change: Callable[[dict[str, Any]], Any]) -> bytes:
    with np.load(io.BytesIO(weights.to_bytes(weights.drawn(examples.RULE, 3)))) as opened:
        arrays = {name: opened[name].copy() for name in opened.files}
    change(arrays)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zip"),
        (b"PK\x03\x04 and more", "zip"),
        (_spoilt(lambda a: a.pop("lstm/linear/w")), "lstm/linear/w is missing"),
        (_spoilt(lambda a: a.pop("lstm/linear_2/b")), "lstm/linear_2/b is missing"),
        (_spoilt(lambda a: a.update(more=np.zeros(1, np.float32))), "more is no array of a rule"),
        (_spoilt(lambda a: a.update({"lstm/linear/w": a["lstm/linear/w"].T})), "lstm/linear/w is float32"),
        (
            _spoilt(lambda a: a.update({"lstm/linear/b": a["lstm/linear/b"].astype(np.float64)})),
            "lstm/linear/b is float64",
        ),
        (_spoilt(lambda a: a["lstm/linear/w"].fill(np.nan)), "lstm/linear/w holds NaN"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"mine: rule: not the file of a rule: .*{reason}"):
        weights.from_bytes(data, "mine")


def test_a_rule_of_other_predictions_and_a_box_are_refused() -> None:
    settings = replace(examples.small("disco"), prediction_size=9)
    with pytest.raises(InvalidInput, match="prediction_size: the rule's predictions have 8 numbers, not 9"):
        Disco(settings, examples.SPECS["rows"])
    with pytest.raises(InvalidInput, match="disco needs discrete actions"):
        Disco(examples.small("disco"), examples.SPECS["box"])


def test_without_its_rule_a_policy_acts_but_doesn_t_learn() -> None:
    _, params, extra = examples.make("disco", "rows")
    alone = Disco(replace(examples.small("disco"), rule=None), examples.SPECS["rows"])
    data = examples.rollout(alone, params, {}, 4, tasks=1)
    with pytest.raises(InvalidInput, match=r"rule: .* can act, but not learn"):
        examples.whole(alone, expanded(params, 1), {}, data)
    assert examples.whole(alone, expanded(params, 1), expanded_extra(extra, 1), data)["goal/q"].isfinite().all()
    assert isinstance(Life(**{n.removeprefix("learner/kept/"): x for n, x in extra.items() if "kept" in n}), Life)
