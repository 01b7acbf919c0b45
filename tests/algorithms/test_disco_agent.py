"""The agent around the rule is the published one: its layers, first weights, losses and steps.

`disco_recorded.json` holds under `agent` what three updates of the published implementation (JAX, a rate of 0.01, a
drawn rule of a small size) make of drawn weights: losses, norms of gradients and corners of all weights.
"""

import json
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.disco.agent import Disco
from lwmecps_core.optimiser import Optimiser
from lwmecps_core.run_config import DiscoConfig
from lwmecps_core.testing import examples
from lwmecps_core.tree import expanded, expanded_extra, gradients

RECORDED = json.loads(Path(__file__).with_name("disco_recorded.json").read_text())["agent"]
STEPS, AGENTS, FRAME, CHOICES, HIDDEN, MODEL = 6, 4, 5, 3, (7, 6), 5
RATE = 1e-2


def _agent() -> Disco:
    settings = examples.A_RULE | {"segment": STEPS, "model_size": MODEL}
    return Disco(DiscoConfig(hidden_size=HIDDEN, network="mlp", learning_rate=RATE, **settings), examples.SPECS["flat"])


def _drawn(seed: int) -> dict[str, Tensor]:
    """Weights of the agent, in the order in which the original was given them."""
    predictions = examples.RULE.predictions
    layers = {"hidden0": (FRAME, HIDDEN[0]), "out": HIDDEN, "logits": (HIDDEN[1], CHOICES)}
    layers |= {"y": (HIDDEN[1], predictions), "root": (HIDDEN[1], MODEL), "step": (CHOICES + MODEL, 4 * MODEL)}
    for name, size in (("z", predictions), ("q", DiscoConfig().value_bins), ("following", CHOICES)):
        layers |= {f"{name}_in": (MODEL, MODEL), f"{name}_out": (MODEL, size)}
    generator, found = np.random.default_rng(seed), {}
    for name, (n_in, n_out) in layers.items():
        found[f"{name}.weight"] = n_in**-0.5 * generator.standard_normal((n_in, n_out))
        found[f"{name}.bias"] = 0.1 * generator.standard_normal(n_out)
    return {name: torch.from_numpy(x.astype(np.float32)) for name, x in found.items()}


def _segments(seed: int, scale: float) -> dict[str, Tensor]:
    """What the original was given of one update, as samples `[1, S, L, ...]`; a step after an end doesn't count."""
    generator = np.random.default_rng(seed)
    obs, behaviour = (generator.standard_normal((STEPS + 1, AGENTS, n)) for n in (FRAME, CHOICES))
    action = generator.integers(0, CHOICES, (STEPS + 1, AGENTS))
    reward, ended = scale * generator.standard_normal((STEPS, AGENTS)), generator.random((STEPS, AGENTS)) < 0.2
    found = {
        "obs": torch.from_numpy(obs.astype(np.float32)),
        "mask": torch.ones(STEPS + 1, AGENTS, CHOICES, dtype=torch.bool),
        "action": torch.from_numpy(action[:-1, :, None].astype(np.int32)),
        "behaviour": torch.from_numpy(behaviour[:-1].astype(np.float32)),
        "reward": torch.from_numpy(reward.astype(np.float32)),
        "ended": torch.from_numpy(ended),
        "weight": torch.from_numpy(np.concatenate([np.ones((1, AGENTS)), 1 - ended[:-1]]).astype(np.float32)),
    }
    return {name: x.transpose(0, 1).unsqueeze(0) for name, x in found.items()}


def test_updates_of_a_whole_agent_are_those_of_the_original() -> None:
    algo, net = _agent(), _drawn(7)
    _, extra = algo.init(torch.Generator())
    extra = expanded_extra(extra | {f"learner/slow/{name}": x.clone() for name, x in net.items()}, 1)
    optimiser = Optimiser(expanded({"agent": net}, 1), RATE, inf, method=algo.optimiser)
    losses, norms = [], []
    for seed, scale in ((21, 1.0), (22, 1.0), (23, 100.0)):
        part, extra = algo.targets(optimiser.params, extra, _segments(seed, scale))
        loss = algo.losses(optimiser.params, extra, part)
        norms.append(float(optimiser.step(gradients(loss, optimiser.params))))
        losses.append(float(loss["agent"].detach()))
    assert losses == pytest.approx(RECORDED["loss"], rel=1e-5)
    assert norms == pytest.approx(RECORDED["norm"], rel=1e-4)
    slow = {name: extra[f"learner/slow/{name}"] for name in RECORDED["slow"]}
    assert RECORDED["after"].keys() == optimiser.params["agent"].keys()
    for kind, found in (("after", optimiser.params["agent"]), ("slow", slow)):
        for name, wanted in RECORDED[kind].items():
            numbers = torch.tensor(wanted)
            shown = found[name][0].detach()[tuple(slice(0, n) for n in numbers.shape)]
            # A weight moves by some 0.03 in all.
            torch.testing.assert_close(shown, numbers, rtol=0.0, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_first_weights_are_as_large_as_those_of_the_original() -> None:
    """Normal, cut at two deviations, of which 0.88 are left; the deviation is 0.01 of a policy and of `y`."""
    algo = Disco(
        DiscoConfig(hidden_size=(128, 96), network="mlp", **(examples.A_RULE | {"model_size": 64})), examples.FLAT
    )
    net = algo.init(torch.Generator().manual_seed(0))[0]["agent"]
    assert net["out.weight"].shape == (128, 96)
    assert net["logits.weight"].shape == (96, CHOICES)
    for name, x in net.items():
        if name.endswith(".bias"):
            assert not x.any()
            continue
        deviation = 0.01 if name in ("logits.weight", "y.weight") else len(x) ** -0.5
        assert float(x.abs().max()) <= 2 * deviation + 1e-6
        assert float(x.std()) == pytest.approx(0.88 * deviation, rel=0.1 if x.numel() > 1_000 else 0.3), name


def test_no_weight_moves_by_more_than_the_rate() -> None:
    """Where a gradient is a thousand times what it was, a step of Adam is longer than the rate."""
    moved: dict[str, Tensor] = {}
    for method in ("adam", "bounded_adam"):
        optimiser = Optimiser({"agent": {"w": torch.zeros(1, 2)}}, RATE, inf, method=method)  # type: ignore[arg-type]
        for pull in [(1e-3, 0.3)] * 300 + [(1.0, 0.1)]:
            before = optimiser.params["agent"]["w"].detach().clone()
            optimiser.step({"agent": {"w": torch.tensor([pull])}})
        moved[method] = before - optimiser.params["agent"]["w"].detach()
    assert float(moved["adam"][0, 0]) > 1.3 * RATE
    assert float(moved["bounded_adam"][0, 0]) == pytest.approx(RATE)
    assert float(moved["bounded_adam"][0, 1]) == pytest.approx(float(moved["adam"][0, 1]), rel=1e-4)
    assert _agent().optimiser == "bounded_adam"
