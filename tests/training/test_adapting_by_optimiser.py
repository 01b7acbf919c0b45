"""Adaptation by the steps of a learnt optimiser, in place of plain ones."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lwmecps_core.algorithms import make
from lwmecps_core.config import dump, parse
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta import learnt_optimiser
from lwmecps_core.meta.learnt_optimiser import OptimiserConfig, OptimiserData
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AdaptConfig, IMAMLConfig, PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt
from lwmecps_core.training.guard import Guard
from lwmecps_core.training.progress import LoopState, Progress
from lwmecps_core.tree import flatten

PPO = PPOConfig(hidden_size=(8, 8))
TASKS = tuple(draw(TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8), seed) for seed in range(3))
UNGUARDED = AdaptConfig(adaptation_steps=2, keep_start_if_worse=False, keep_placement_if_worse=False)


def _untrained(metadata: dict[str, object] | None = None) -> PolicyData:
    spec = env_spec(TASKS[0])
    params, extra = make(PPO, spec).init(torch.Generator().manual_seed(0))
    return PolicyData(PPO, spec, params, extra, metadata=metadata or {})


def _optimiser(magnitude: float = 0.5, rate: float = 0.1) -> bytes:
    """One that steps exp(magnitude) times as far as Adam."""
    cfg = OptimiserConfig(hidden_size=2, first_rate=rate)
    theta = learnt_optimiser.init(cfg, torch.Generator().manual_seed(0))
    theta["net"]["out.bias"][1] = magnitude
    return learnt_optimiser.to_bytes(OptimiserData(cfg, theta))


def _adapt(cfg: AdaptConfig, start: LoopState | None = None) -> Iterator[Progress]:
    return adapt(_untrained(), TASKS, cfg, LocalCollector(), seed=1, start=start)


def _copied(state: LoopState) -> LoopState:
    tensors = {name: x.clone() for name, x in state.tensors.items()}
    return LoopState(state.step, tensors, json.loads(json.dumps(state.scalars)))


@pytest.mark.parametrize("guarded", [True, False])
def test_adaptation_interrupted_after_any_step_ends_with_the_same_bits(guarded: bool) -> None:
    cfg = replace(UNGUARDED, adaptation_steps=3, keep_start_if_worse=guarded, optimiser=_optimiser())
    states = [(_copied(p.state), p.metrics) for p in _adapt(cfg)]
    assert len(states) == 4
    for state, _ in states[:-1]:
        resumed = [(_copied(p.state), p.metrics) for p in _adapt(cfg, state)]
        assert resumed[-1][1] == states[-1][1]
        final, expected = resumed[-1][0].tensors, states[-1][0].tensors
        assert final.keys() == expected.keys()
        assert all(torch.equal(final[key], expected[key]) for key in expected)


def _moved(**others: Any) -> list[float]:
    """How far the first step moves a parameter at most, for each task."""
    _, first, *_ = _adapt(replace(UNGUARDED, **others))
    apart = [
        (first.state.tensors[n] - x).abs().flatten(1).amax(1) for n, x in flatten(_untrained().params, "params").items()
    ]
    found: list[float] = torch.stack(apart).amax(0).tolist()
    return found


def test_it_takes_the_place_of_the_inner_rates_and_inner_lr_that_of_its_own() -> None:
    """The first step of Adam is as long as its rate, whatever the gradients are."""
    adam = _optimiser(magnitude=0.0, rate=0.1)
    assert _moved(optimiser=adam) == pytest.approx([0.1] * 3, rel=1e-2)
    assert _moved(optimiser=adam, inner_lr=0.02) == pytest.approx([0.02] * 3, rel=1e-2)
    assert _moved(optimiser=adam, inner_lr=0.0) == [0.0] * 3
    assert _moved() != pytest.approx([0.1] * 3, rel=1e-2)


def test_each_of_its_steps_is_on_data_of_its_own_whatever_the_policy_was_taught_by() -> None:
    cfg, implicit = replace(UNGUARDED, optimiser=_optimiser()), _untrained({"meta_learner": dump(IMAMLConfig())})
    *_, last = adapt(implicit, TASKS, cfg, LocalCollector(), seed=1)
    *_, plain = _adapt(cfg)
    assert last.state.tensors.keys() == plain.state.tensors.keys()
    assert all(torch.equal(x, plain.state.tensors[name]) for name, x in last.state.tensors.items())
    assert last.state.tensors["moments/step"].tolist() == [2.0] * 3


def test_what_a_task_that_goes_back_to_its_start_has_shown_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guard, "undo", lambda guard, rewards: [False, True, False])
    *_, last = _adapt(replace(UNGUARDED, optimiser=_optimiser()))
    assert last.state.tensors["moments/step"].tolist() == [2.0, 0.0, 2.0]
    means = last.state.tensors["moments/means"].abs().amax((0, 2))
    assert means[1] == 0.0 and (means[[0, 2]] > 0.0).all()


def test_what_is_no_file_of_an_optimiser_is_refused_by_name(tmp_path: Path) -> None:
    for wrong in (b"x", learnt_optimiser.to_bytes(OptimiserData(OptimiserConfig(), {"net": {}}))):
        with pytest.raises(InvalidInput, match="settings: optimiser: not a file of an optimiser"):
            next(_adapt(AdaptConfig(optimiser=wrong)))


def test_a_file_is_given_as_a_path_as_bytes_or_in_base64(tmp_path: Path) -> None:
    file = tmp_path / "o.safetensors"
    with pytest.raises(InvalidInput, match=r"here: optimiser: .*o.safetensors can't be read: No such file"):
        parse(AdaptConfig, {"optimiser": file}, "here")
    file.write_bytes(_optimiser())
    settings = parse(AdaptConfig, {"optimiser": file}, "here")
    assert settings.optimiser == file.read_bytes()
    assert parse(AdaptConfig, json.loads(json.dumps(dump(settings))), "here") == settings
    for wrong, reason in ((b"", "at least 1 item"), (bytes(40_000), "at most 32768"), ("no base64!", "base64")):
        with pytest.raises(InvalidInput, match=f"here: optimiser: .*{reason}"):
            parse(AdaptConfig, {"optimiser": wrong}, "here")
