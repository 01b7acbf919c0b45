"""Training by a learnt update rule: what a policy carries along, and what is sent to those who act."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from lwmecps_core import policy
from lwmecps_core.algorithms.base import GIVEN, LEARNER
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.rollout.policy_store import freeze, thaw
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AdaptConfig, DiscoConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.testing.examples import A_RULE
from lwmecps_core.training import adapt, train
from lwmecps_core.training.progress import LoopState, Progress

CITY = TaskDistribution(nodes=3, deployments=2, max_replicas=4, horizon=12)
DISCO = DiscoConfig(hidden_size=(8, 8), batch_size=32, updates_per_batch=3, memory_size=100, **A_RULE)
TRAINING = TrainConfig(total_episodes=6, episodes_per_batch=2)


def _trained(start: LoopState | None = None) -> list[Progress]:
    # Copies, for what a state holds goes on changing.
    return [deepcopy(step) for step in train(CITY, DISCO, TRAINING, LocalCollector(), seed=3, start=start)]


def test_a_policy_carries_its_rule_as_weights_and_adapts_by_it() -> None:
    made = _trained()[-1].policy
    assert made is not None
    assert made.algorithm == replace(DISCO, rule=None)
    kept = policy.from_bytes(policy.to_bytes(made), "x")
    assert {name for name in kept.extra if name.startswith(f"{GIVEN}rule/")}
    assert float(kept.extra[f"{LEARNER}kept/moments"][2]) == pytest.approx(0.99**9)
    steps = AdaptConfig(adaptation_steps=1, inner_lr=0.1, evaluation_episodes=1, keep_start_if_worse=False)
    steps = replace(steps, keep_placement_if_worse=False)
    last = list(adapt(kept, (draw(CITY, 1),), steps, LocalCollector(), seed=1))[-1]
    assert last.policy is not None
    moved = [not torch.equal(x, kept.params["agent"][name]) for name, x in last.policy.params["agent"].items()]
    assert any(moved)
    assert last.policy.extra.keys() == kept.extra.keys()
    random = replace(steps, random_weights=True)
    other = list(adapt(kept, (draw(CITY, 1),), random, LocalCollector(), seed=1))[-1]
    assert other.policy is not None
    assert {name for name in other.policy.extra if name.startswith(GIVEN)}


def test_a_training_that_was_cut_goes_on_bit_by_bit() -> None:
    whole = _trained()
    rest = _trained(whole[0].state)
    for one, other in zip(whole[1:], rest, strict=True):
        assert one.metrics == other.metrics
        assert one.state.tensors.keys() == other.state.tensors.keys()
        assert all(torch.equal(x, other.state.tensors[name]) for name, x in one.state.tensors.items())


def test_who_acts_is_sent_nothing_of_the_rule() -> None:
    made = _trained()[0].policy
    assert made is not None
    sent = thaw(freeze(PolicySnapshot(made.algorithm, made.params, made.extra, 1)).data)
    assert sent.params.keys() == made.params.keys()
    assert not sent.extra
    assert made.extra


def test_without_a_file_nothing_is_begun() -> None:
    with pytest.raises(InvalidInput, match="rule: disco learns by a rule: give the file with its weights"):
        next(train(CITY, DiscoConfig(), TRAINING, LocalCollector(), seed=3))
