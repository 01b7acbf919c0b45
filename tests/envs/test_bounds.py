"""Objectives with bounds: what the compiled path, the scalar one and the accounts say of the same episodes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.config import dump, parse
from lwmecps_core.envs.observation import split
from lwmecps_core.envs.placement import make_env
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.spec_codec import task_from_proto, task_to_proto
from lwmecps_core.sim.windows import LEAST
from lwmecps_core.specs import ObjectiveSpec, PricesSpec, SloSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.accounting import bill
from tests.baselines.scripted import Scripted

CITY = TaskDistribution(nodes=3, deployments=2, max_replicas=4, horizon=24)


def signed(seed: int = 0, **slo: Any) -> TaskSpec:
    """A task of the city whose bounds hold at times."""
    task = draw(CITY, seed)
    given = {"failed_share": 0.02, "latency_p95_ms": 3.0 * task.objective.target_latency_ms} | slo
    return replace(task, objective=ObjectiveSpec(slo=SloSpec(**given)), prices=PricesSpec(replica_hour=0.5, move=0.01))


def actions(task: TaskSpec, seed: int = 1) -> np.ndarray[Any, Any]:
    """Most replicas at first and at last, and few between, so that bounds are missed there."""
    few = np.random.default_rng(seed).integers(0, 3, (task.horizon, len(task.deployments))).astype(np.int32)
    between = (np.arange(task.horizon) // (task.horizon // 3 + 1) == 1)[:, None]
    return np.where(between, few, 4).astype(np.int32)


@pytest.mark.parametrize("scope", ["overall", "each"])
@pytest.mark.parametrize("window", [0, 1, 5, 100])
def test_one_environment_and_many_say_the_same_of_bounds(scope: str, window: int) -> None:
    task = signed(3, scope=scope, window=window, failed_share=0.3)
    one, many = make_env("lwmecps-v3", task, SimulatedCluster(task)), BatchEnv([task], [0])
    shown, _ = one.reset(seed=7)
    obs, _ = many.reset([7])
    missed = 0
    for action in actions(task):
        np.testing.assert_allclose(shown["objective"], split(obs[0], many.spec)["objective"], rtol=2e-5, atol=2e-5)
        shown, reward, *_ = one.step(action)
        obs, _, rewards, *_ = many.step(action[None])
        assert reward == pytest.approx(float(rewards[0]), rel=2e-5)
        missed += shown["objective"][8] > 0
    assert 0 < missed < task.horizon


def test_a_window_is_what_its_intervals_come_to() -> None:
    task = signed(window=4, latency_p95_ms=None)
    (batch,), _ = drive(
        BatchEnv([task], [0]), Scripted(actions(task)), CollectionPlan(seeds=(3,), episodes=1, greedy=True)
    )
    spec = BatchEnv([task], [0]).spec
    shown = split(batch.obs[1:, 0], spec)  # type: ignore[arg-type]
    rate = np.expm1(shown["deployment"][..., 5].astype(np.float64))
    failed = rate * shown["deployment"][..., 8]
    for t in range(3, task.horizon):
        share = failed[t - 3 : t + 1].sum() / rate[t - 3 : t + 1].sum()
        expected = np.log(max(share / 0.02, LEAST))
        assert shown["objective"][t, 8] == pytest.approx(expected, abs=1e-3), t
        assert shown["objective"][t, 9] == pytest.approx(np.log(LEAST))
    assert np.log(LEAST) < shown["objective"][3:, 8].min() < 0.0 < shown["objective"][:, 8].max()


def test_a_bill_counts_replica_hours_moves_and_missed_windows() -> None:
    task = signed(window=4)
    (batch,), _ = drive(
        BatchEnv([task], [0]), Scripted(actions(task)), CollectionPlan(seeds=(3,), episodes=1, greedy=True)
    )
    found = bill(batch, task)
    replicas, moves = (batch.info[name].astype(np.float64).mean() for name in ("replicas", "moves"))
    assert found.moves_per_hour == pytest.approx(moves * 360)
    assert found.cost_per_hour == pytest.approx(0.5 * replicas + 0.01 * moves * 360)
    excess = batch.obs[4:, 0, -2 - 2 * len(task.deployments) :][:, :2].astype(np.float64)
    assert found.violation_share == pytest.approx((excess > 0).any(-1).mean())
    assert 0.0 < found.violation_share < 1.0
    later = slice(task.horizon // 6, None)
    assert found.cost_per_hour_steady == pytest.approx(
        0.5 * batch.info["replicas"][later].mean() + 3.6 * batch.info["moves"][later].mean(), rel=1e-5
    )


def test_the_reward_is_the_cost_and_what_misses_are_charged() -> None:
    slo = {"failed_share_multiplier": 3.0, "latency_p95_multiplier": 0.0}
    task = signed(window=4, **slo)
    (batch,), _ = drive(
        BatchEnv([task], [0]), Scripted(actions(task)), CollectionPlan(seeds=(3,), episodes=1, greedy=True)
    )
    excess = batch.obs[1:, 0, -2 - 2 * len(task.deployments)].astype(np.float64)
    charged = np.where(excess > 0.0, 1.0 + excess / 4.0, 0.0)
    most = 0.5 * sum(d.max_replicas for d in task.deployments) / 360
    cost = 0.5 / 360 * batch.info["replicas"][:, 0] + 0.01 * batch.info["moves"][:, 0]
    np.testing.assert_allclose(batch.reward[:, 0], -(cost / most + 3.0 * charged) / 4.0, rtol=1e-4, atol=1e-5)
    assert not batch.info["reward_imbalance"].any() and not batch.info["reward_latency"].any()


def test_bounds_are_read_back_from_files_and_messages() -> None:
    task = signed(window=4, scope="each", allowed=0.05)
    assert parse(TaskSpec, dump(task), "here") == task == task_from_proto(task_to_proto(task))


@pytest.mark.parametrize(
    ("slo", "named"),
    [
        ({}, "failed_share or latency_p95_ms must be given"),
        ({"failed_share": 0.0}, "failed_share"),
        ({"failed_share": 2.0}, "failed_share"),
        ({"latency_p95_ms": -1.0}, "latency_p95_ms"),
        ({"failed_share": 0.1, "window": -1}, "window"),
        ({"failed_share": 0.1, "scope": "some"}, "scope"),
        ({"failed_share": 0.1, "windows": 3}, "windows"),
    ],
)
def test_bounds_that_mean_nothing_are_refused_by_name(slo: dict[str, Any], named: str) -> None:
    data = dump(signed())
    data["objective"]["slo"] = slo
    with pytest.raises(InvalidInput, match=named):
        parse(TaskSpec, data, "task.yaml")


def test_windows_that_no_memory_holds_are_refused() -> None:
    data = dump(signed(window=10_000, scope="each"))
    data["deployments"] = [data["deployments"][0] | {"name": f"d{i}"} for i in range(500)]
    data["workload"]["share"] = [[0.001] * 500] * 3
    with pytest.raises(InvalidInput, match="windows"):
        parse(TaskSpec, data, "task.yaml")


def test_without_bounds_nothing_is_shown_of_them() -> None:
    task = draw(CITY, 0)
    assert dict(BatchEnv([task], [0]).spec.blocks)["objective"] == (6,)
    assert dict(BatchEnv([signed()], [0]).spec.blocks)["objective"] == (10,)


def test_an_episode_that_ends_before_it_is_steady_has_no_steady_figures() -> None:
    task = signed(window=4)
    plan = CollectionPlan(seeds=(3,), episodes=1, length=task.horizon // 6, greedy=True)
    (batch,), _ = drive(BatchEnv([task], [0]), Scripted(actions(task)), plan)
    found = bill(batch, task)
    assert found.cost_per_hour and found.moves_per_hour is not None
    assert found.cost_per_hour_steady is found.moves_per_hour_steady is found.violation_share_steady is None


def test_a_rollout_of_several_episodes_counts_whole_windows_of_each() -> None:
    task = replace(signed(window=0), horizon=6)
    plan = CollectionPlan(
        seeds=(3,), episodes=1, length=20, greedy=True
    )  # three episodes of 6, and two resets between them
    (batch,), _ = drive(BatchEnv([task], [0]), Scripted(actions(replace(task, horizon=20))), plan)
    assert isinstance(batch, RolloutBatch)
    found = bill(batch, task)
    ends = batch.truncated[:, 0].nonzero()[0]
    assert len(ends) == 2 or len(ends) == 3
    shown = batch.obs[1:, 0, -2 - 2 * len(task.deployments) :][ends, :2]
    assert found.violation_share == pytest.approx((shown > 0).any(-1).mean())
