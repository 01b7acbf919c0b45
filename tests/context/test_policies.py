"""Policies with a context: in rollouts, over collections, in every algorithm, on clusters of another size."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.sight import shown
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.policy import PolicyData, from_bytes, to_bytes
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AlgorithmConfig, EvaluateConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import ALL_ENV_IDS, WRITTEN, EnvSpec, TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate, train
from tests.golden.digests import settings

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=6)
KNOWING = PPOConfig(context="statistics", hidden_size=(8, 8))


def _snapshot(cfg: AlgorithmConfig, spec: EnvSpec) -> PolicySnapshot:
    params, extra = algorithms.make(cfg, spec).init(torch.Generator().manual_seed(1))
    return PolicySnapshot(cfg, params, extra, 0)


def _possible() -> Iterator[tuple[str, str]]:
    for name in algorithms.REGISTRY:
        for env_id in ALL_ENV_IDS:
            try:
                algorithms.make(settings(name), env_spec(draw(replace(CITY, env_id=env_id), 0)))
            except InvalidInput:
                continue
            yield name, env_id


@pytest.mark.parametrize(("name", "env_id"), list(_possible()))
def test_every_algorithm_learns_with_a_context_and_with_ignored_blocks(name: str, env_id: str) -> None:
    source = replace(CITY, env_id=env_id)
    cfg = replace(settings(name), context="statistics", ignore_blocks=("objective",))
    *_, last = train(source, cfg, TrainConfig(total_episodes=4, episodes_per_batch=2), LocalCollector(), seed=1)
    assert last.policy is not None and last.policy.env_spec == env_spec(draw(source, 0))
    assert all(x.isfinite().all() for group in last.policy.params.values() for x in group.values())
    again = from_bytes(to_bytes(last.policy), "file")
    (result,) = evaluate(again, (draw(source, 7),), EvaluateConfig(episodes=2), LocalCollector(), seed=2)
    assert np.isfinite(result.rows[0].reward)


def test_what_is_remembered_goes_on_with_the_next_collection() -> None:
    tasks = [draw(CITY, seed) for seed in range(2)]
    snapshot = _snapshot(KNOWING, env_spec(tasks[0]))
    plan, collector = CollectionPlan(seeds=(1, 2), episodes=3), LocalCollector()
    batches = collector.collect(tasks, snapshot, plan)
    assert [b.memory["context/intervals"].tolist() for b in batches] == [[6.0] * 3] * 2
    memory = {name: torch.stack([torch.as_tensor(b.memory[name]) for b in batches]) for name in batches[0].memory}
    again = collector.collect(tasks, replace(snapshot, memory=memory), plan)
    assert [b.memory["context/intervals"].tolist() for b in again] == [[12.0] * 3] * 2
    assert not np.array_equal(again[0].obs[0], batches[0].obs[0])
    one = replace(snapshot, memory={name: x[:, :1] for name, x in memory.items()})
    assert collector.collect(tasks, one, plan)[0].memory["context/intervals"].tolist() == [12.0] * 3


def test_intervals_that_only_carry_a_reset_are_not_counted() -> None:
    tasks = [draw(CITY, 0)]
    plan = CollectionPlan(seeds=(1,), episodes=2, length=20)  # 6 intervals, a reset, 6, a reset, 6
    (batch,) = LocalCollector().collect(tasks, _snapshot(KNOWING, env_spec(tasks[0])), plan)
    assert batch.valid.sum(0).tolist() == [18, 18]
    assert batch.memory["context/intervals"].tolist() == [18.0, 18.0]


def test_memory_that_does_not_fit_is_refused_by_name() -> None:
    tasks = [draw(CITY, 0)]
    snapshot = _snapshot(KNOWING, env_spec(tasks[0]))
    for memory, field in (
        ({"context/intervals": torch.zeros(1, 5)}, r"memory\[clock\]"),
        ({"h": torch.zeros(1, 1, 3)}, r"memory\[h\]"),
    ):
        with pytest.raises(InvalidInput, match=field):
            LocalCollector().collect(tasks, replace(snapshot, memory=memory), CollectionPlan(seeds=(1,), episodes=2))


def test_tasks_left_alone_stay_so_under_a_policy_with_a_context() -> None:
    tasks = [draw(CITY, seed) for seed in range(2)]
    plan = CollectionPlan(seeds=(1, 2), episodes=2, held=(True, False))
    alone, acted = LocalCollector().collect(tasks, _snapshot(KNOWING, env_spec(tasks[0])), plan)
    assert (alone.action == alone.action[0]).all() and not (acted.action == acted.action[0]).all()


def test_a_policy_acts_on_a_larger_cluster_with_its_context() -> None:
    small, large = draw(CITY, 0), draw(replace(CITY, nodes=3, deployments=5), 0)
    snapshot = _snapshot(KNOWING, env_spec(small))
    policy = PolicyData(KNOWING, env_spec(small), snapshot.params, snapshot.extra)
    (result,) = evaluate(policy, (large,), EvaluateConfig(episodes=2), LocalCollector(), seed=2)
    assert np.isfinite(result.rows[0].reward)


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v3", "lwmecps-v4"])
def test_a_policy_of_before_objectives_were_shown_acts_as_it_did(env_id: str) -> None:
    task = draw(replace(CITY, env_id=env_id), 0)
    now, cfg = env_spec(task), PPOConfig(hidden_size=(8, 8))
    before = now.without(WRITTEN)
    params, extra = algorithms.make(cfg, before).init(torch.Generator().manual_seed(1))
    old = from_bytes(to_bytes(PolicyData(cfg, before, params, extra)), "file")
    assert shown(old.algorithm, now) == before
    (result,) = evaluate(old, (task,), EvaluateConfig(episodes=2), LocalCollector(), seed=2)
    blind = PolicyData(replace(cfg, ignore_blocks=WRITTEN), now, params, extra)
    (expected,) = evaluate(blind, (task,), EvaluateConfig(episodes=2), LocalCollector(), seed=2)
    assert [replace(r, wall_s=0.0) for r in result.rows] == [replace(r, wall_s=0.0) for r in expected.rows]
