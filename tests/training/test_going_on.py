"""Training that goes on from a stored policy's weights, with settings of its own."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lwmecps_core.errors import InvalidInput
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig, SACConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training import train

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=10)
SHORT = TrainConfig(total_episodes=2, episodes_per_batch=2)
PPO = PPOConfig(hidden_size=(4,), batch_size=16)


def _trained(algorithm: AlgorithmConfig, policy: PolicyData | None = None, seed: int = 0) -> PolicyData:
    *_, last = train(CITY, algorithm, SHORT, LocalCollector(), seed=seed, policy=policy)
    assert last.policy is not None
    return last.policy


def _largest_change(one: PolicyData, other: PolicyData) -> float:
    return max(float((x - other.params[g][n]).abs().max()) for g, net in one.params.items() for n, x in net.items())


@pytest.mark.parametrize(
    "algorithm", [PPO, SACConfig(hidden_size=(4,), batch_size=8, updates_per_batch=2)], ids=["ppo", "sac"]
)
def test_training_starts_where_the_policy_is_and_goes_by_its_own_settings(algorithm: Any) -> None:
    first = _trained(algorithm)
    still = _trained(replace(algorithm, learning_rate=1e-12, discount_factor=0.5), first, seed=1)
    moved = _trained(replace(algorithm, learning_rate=0.05), first, seed=1)
    assert _largest_change(still, first) < 1e-7 < 1e-3 < _largest_change(moved, first)
    assert _largest_change(_trained(algorithm, seed=1), first) > 1e-3  # without it, other weights
    assert still.algorithm.discount_factor == 0.5 and moved.algorithm.learning_rate == 0.05
    assert all(torch.equal(x, first.extra[n]) for n, x in first.extra.items())  # and what was given is as it was


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(PPO, context="statistics"), "algorithm.context: is statistics, but none where"),
        (replace(PPO, ignore_blocks=("objective",)), "algorithm.ignore_blocks: is objective, but empty where"),
        (replace(PPO, head="categorical"), "algorithm.head: is categorical, but ordered"),
        (replace(PPO, hidden_size=(5,)), "policy_id: its .* has the shape"),
        (SACConfig(hidden_size=(4,)), "algorithm.name: is sac, but ppo"),
    ],
)
def test_weights_that_would_mean_something_else_are_refused_by_name(other: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        _trained(other, _trained(PPO))
