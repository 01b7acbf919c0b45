"""The types of transfer as whole loops: what learns when, resuming, clusters of other sizes, training from nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms import make
from lwmecps_core.algorithms.networks import depth
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    AlgorithmConfig,
    DQNConfig,
    EvaluateConfig,
    PPOConfig,
    QLearningConfig,
    SACConfig,
    TD3Config,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate, train, transfer
from lwmecps_core.training.progress import LoopState
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.transfer import METHODS
from lwmecps_core.tree import flatten

PPO = PPOConfig(hidden_size=(8, 6), batch_size=32, n_epochs=2)
DQN = DQNConfig(hidden_size=(8, 6), updates_per_batch=3, memory_size=60)
SAC = SACConfig(hidden_size=(8, 6), updates_per_batch=3, memory_size=60, batch_size=16)
TD3 = TD3Config(hidden_size=(8, 6), updates_per_batch=4, memory_size=60, batch_size=16)
BY_NAME: dict[str, Any] = {"ppo": PPO, "dqn": DQN, "sac": SAC}
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=6)
COLLECTOR = LocalCollector()


def _tasks(env_id: str = "lwmecps-v3", count: int = 2, nodes: int = 2, deployments: int = 2) -> tuple[TaskSpec, ...]:
    city = replace(CITY, env_id=env_id, nodes=nodes, deployments=deployments)  # type: ignore[arg-type]
    return tuple(draw(city, seed) for seed in range(count))


SOURCE, TARGET = _tasks()[:1], _tasks()[1:]


def _policy(algorithm: AlgorithmConfig, task: TaskSpec = SOURCE[0]) -> PolicyData:
    spec = env_spec(task)
    return PolicyData(algorithm, spec, *make(algorithm, spec).init(torch.Generator().manual_seed(0)))


def _config(method: str, steps: int = 3, **changes: object) -> TransferConfig:
    return TransferConfig(method=method, total_episodes=steps, episodes_per_batch=1, **changes)  # type: ignore[arg-type]


def _states(policy: PolicyData, cfg: TransferConfig, start: LoopState | None = None) -> list[tuple[LoopState, dict]]:
    steps = transfer(policy, TARGET, cfg, COLLECTOR, seed=3, start=start, origin=SOURCE)
    return [(_copied(p.state), p.metrics) for p in steps]


def _copied(state: LoopState) -> LoopState:
    tensors = {name: x.clone() for name, x in state.tensors.items()}
    return LoopState(state.step, tensors, json.loads(json.dumps(state.scalars)))


def _end(policy: PolicyData, cfg: TransferConfig, seed: int = 3) -> dict[str, Tensor]:
    *_, last = transfer(policy, TARGET, cfg, COLLECTOR, seed=seed, origin=SOURCE)
    assert last.policy is not None
    return flatten(last.policy.params, "")


@pytest.mark.parametrize("compare_scratch", [False, True])
@pytest.mark.parametrize("algorithm", BY_NAME)
@pytest.mark.parametrize("method", METHODS)
def test_a_transfer_interrupted_after_any_step_ends_with_the_same_bits(
    method: str, algorithm: str, compare_scratch: bool
) -> None:
    policy, cfg = _policy(BY_NAME[algorithm]), _config(method, compare_scratch=compare_scratch)
    states = _states(policy, cfg)
    assert len(states) == 3
    for state, _ in states[:-1]:
        final, metrics = _states(policy, cfg, state)[-1]
        assert metrics == states[-1][1]
        expected = states[-1][0]
        assert final.tensors.keys() == expected.tensors.keys() and final.scalars == expected.scalars
        assert all(torch.equal(final.tensors[key], expected.tensors[key]) for key in expected.tensors)


@pytest.mark.parametrize(
    ("algorithm", "env_id"),
    [
        (PPO, "lwmecps-v3"),
        (DQN, "lwmecps-v3"),
        (SAC, "lwmecps-v3"),
        (TD3, "lwmecps-v3-continuous"),
        (replace(PPO, network="mlp"), "lwmecps-v1"),
        (SAC, "lwmecps-v3-continuous"),
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_feature_extraction_moves_output_layers_and_no_bit_below_them(algorithm: AlgorithmConfig, env_id: str) -> None:
    tasks = _tasks(env_id)
    policy = _policy(algorithm, tasks[0])
    before = flatten(policy.params, "")
    *_, last = transfer(policy, tasks, _config("feature_extraction"), COLLECTOR, seed=3)
    after = flatten(last.policy.params, "")  # type: ignore[union-attr]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    outputs = {name for name in before if depth(name.rpartition("/")[2]) is None}
    assert moved == outputs


def test_layers_stay_bit_identical_until_they_thaw_the_last_frozen_one_first() -> None:
    policy = _policy(PPO)
    kept = []
    for state, _ in _states(policy, _config("layer_wise", steps=6, frozen_layers=2)):
        same = {
            name.split(".")[0]
            for name, x in flatten(policy.params, "params").items()
            if torch.equal(state.tensors[name][0], x)
        }
        kept.append({layer.rpartition("/")[2] for layer in same})
    assert kept == [{"row", "mix"}] * 2 + [{"row"}] * 2 + [set()] * 2


def test_more_frozen_layers_than_the_policy_has_are_refused() -> None:
    with pytest.raises(InvalidInput, match="frozen_layers"):
        _end(_policy(PPO), _config("layer_wise", frozen_layers=3))


def test_a_table_can_be_fine_tuned_and_nothing_else() -> None:
    tasks = _tasks("lwmecps-v1")
    policy = _policy(QLearningConfig(table_size=64), tasks[0])
    for method in METHODS:
        steps = transfer(policy, tasks, _config(method), COLLECTOR, seed=3, origin=tasks)
        if method == "fine_tuning":
            assert [p.step for p in steps] == [1, 2, 3]
        else:
            with pytest.raises(InvalidInput, match="method"):
                next(steps)


def test_domain_adaptation_without_source_tasks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="source_task_ids"):
        next(transfer(_policy(PPO), TARGET, _config("domain_adaptation"), COLLECTOR, seed=3))


class Recording:
    """Collects, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], PolicySnapshot]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        self.asked.append((tuple(t.name for t in tasks), snapshot))
        return COLLECTOR.collect(tasks, snapshot, plan)


def test_domain_adaptation_collects_both_domains_in_every_step_and_no_policy_has_the_classifier() -> None:
    collector = Recording()
    cfg = _config("domain_adaptation", steps=2)
    *_, last = transfer(_policy(PPO), TARGET, cfg, collector, seed=3, origin=SOURCE)
    names = [name for name, _ in collector.asked]
    assert names == [(TARGET[0].name,), (SOURCE[0].name,)] * 2
    assert all(set(shot.params) == {"actor", "critic"} for _, shot in collector.asked)
    assert last.policy is not None and set(last.policy.params) == {"actor", "critic"}
    assert last.metrics["domain_loss"] > 0
    classifier = {name for name in last.state.tensors if name.startswith("params/domain/")}
    assert classifier == {"params/domain/out.weight", "params/domain/out.bias"}


@pytest.mark.parametrize("algorithm", BY_NAME)
def test_with_weight_0_domain_adaptation_is_fine_tuning(algorithm: str) -> None:
    unclipped = replace(BY_NAME[algorithm], max_grad_norm=1e9)  # a limit would also count the classifier's gradient
    policy = _policy(unclipped)
    plain = _end(policy, _config("fine_tuning"))
    silent = _end(policy, _config("domain_adaptation", domain_weight=0.0))
    adapted = _end(policy, _config("domain_adaptation", domain_weight=1.0))
    assert all(torch.equal(plain[name], silent[name]) for name in plain)
    assert not all(torch.equal(plain[name], adapted[name]) for name in plain)


@pytest.mark.parametrize(
    ("env_id", "algorithm"),
    [
        ("lwmecps-v3", PPO),
        ("lwmecps-v4", PPO),
        ("lwmecps-v4", DQN),
        ("lwmecps-v4-continuous", PPO),
        ("lwmecps-v4-continuous", SAC),
    ],
    ids=lambda x: getattr(x, "name", x),
)
@pytest.mark.parametrize("method", METHODS)
def test_a_policy_of_two_nodes_moves_to_three(method: str, env_id: str, algorithm: AlgorithmConfig) -> None:
    small, large = _tasks(env_id), _tasks(env_id, nodes=3, deployments=3)
    *_, source = train(small, algorithm, TrainConfig(total_episodes=2, episodes_per_batch=2), COLLECTOR, seed=1)
    assert source.policy is not None
    cfg = _config(method, compare_scratch=True)
    *_, last = transfer(source.policy, large, cfg, COLLECTOR, seed=3, origin=small)
    assert last.policy is not None and last.policy.env_spec == env_spec(large[0]) != source.policy.env_spec
    before, after = flatten(source.policy.params, ""), flatten(last.policy.params, "")
    assert {name: x.shape for name, x in before.items()} == {name: x.shape for name, x in after.items()}
    (measured,) = evaluate(last.policy, large, EvaluateConfig(episodes=1), COLLECTOR, seed=0)
    assert len(measured.rows) == len(large)


def test_an_mlp_does_not_move_to_a_cluster_of_another_size() -> None:
    policy = _policy(replace(PPO, network="mlp"), _tasks("lwmecps-v4")[0])
    with pytest.raises(InvalidInput, match="env_id"):
        next(transfer(policy, _tasks("lwmecps-v4", nodes=3), _config("fine_tuning"), COLLECTOR, seed=3))


def test_training_from_nothing_beside_a_transfer_is_what_training_alone_would_be() -> None:
    cfg = _config("fine_tuning", steps=4, compare_scratch=True)
    beside = [metrics["scratch_reward"] for _, metrics in _states(_policy(PPO), cfg)]
    alone = train(TARGET, PPO, TrainConfig(total_episodes=4, episodes_per_batch=1), COLLECTOR, seed=3)
    assert beside == [p.metrics["total_reward"] for p in alone]


def test_transfer_of_what_training_from_nothing_starts_with_gains_nothing() -> None:
    spec = env_spec(TARGET[0])
    same = PolicyData(PPO, spec, *make(PPO, spec).init(torch_generator(3, "weights")))
    steps = _states(same, _config("fine_tuning", compare_scratch=True, learning_rate=PPO.learning_rate))
    assert "jump_start" not in steps[0][1]
    last = steps[-1][1]
    assert (last["jump_start"], last["transfer_metric"]) == (0.0, 0.0)
    assert last["time_to_threshold"] == last["scratch_time_to_threshold"]


def test_distance_grows_from_the_source_and_speed_is_the_gain_per_batch() -> None:
    found = [metrics for _, metrics in _states(_policy(PPO), _config("fine_tuning"))]
    assert 0.0 < found[0]["parameter_distance"] < found[-1]["parameter_distance"]
    rewards = [m["total_reward"] for m in found]
    assert found[-1]["adaptation_speed"] == pytest.approx((rewards[-1] - rewards[0]) / 2)
