"""Calls, tiers of nodes and their power: what the compiled path, the scalar one and the accounts say of them."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import expense, split
from lwmecps_core.envs.placement import make_env
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.spec_codec import task_from_proto, task_to_proto
from lwmecps_core.specs import ObjectiveSpec, PricesSpec, SloSpec
from lwmecps_core.tasks.money import cost_per_hour
from lwmecps_core.training.accounting import bill
from tests.baselines.scripted import Scripted
from tests.sim.random_tasks import random_task, with_applications


def application(seed=0, version="lwmecps-v4", **changes):
    task = with_applications(random_task(seed, env_id=version, nodes=3, deployments=3), seed)
    return replace(task, **changes)


def rollout(task, seed=3):
    spec = env_spec(task)
    actions = np.random.default_rng(seed).integers(0, 2, (task.horizon, spec.action_size)).astype(np.int32)
    (batch,), _ = drive(
        BatchEnv([task], [0]), Scripted(actions), CollectionPlan(seeds=(seed,), episodes=1, greedy=True)
    )
    return batch


@pytest.mark.parametrize("version", ["lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v4"])
def test_one_environment_and_many_show_the_same(version):
    for seed in range(4):
        task = application(seed, version)
        one, many = make_env(version, task), BatchEnv([task], [0])
        shown, _ = one.reset(seed=7)
        obs, _ = many.reset([7])
        rng = np.random.default_rng(seed)
        for _ in range(6):
            flat = shown if isinstance(shown, np.ndarray) else np.concatenate([x.reshape(-1) for x in shown.values()])
            np.testing.assert_allclose(flat, obs[0], rtol=2e-5, atol=2e-5)
            action = rng.integers(0, 3, many.spec.action_size).astype(np.int32)
            shown, reward, *_ = one.step(action if len(action) > 1 else int(action[0]))
            obs, _, rewards, *_ = many.step(action[None])
            assert reward == pytest.approx(float(rewards[0]), rel=2e-5, abs=1e-6)


def test_blocks_are_there_where_a_task_uses_them_only():
    task, plain = application(), random_task(0, nodes=3, deployments=3)
    priced, chained = (replace(plain, cluster=task.cluster), replace(plain, deployments=task.deployments))
    names = [[name for name, _ in env_spec(t).blocks][4:] for t in (plain, priced, chained, task)]
    written = ["objective", "limits"]
    assert names == [
        written,
        [*written, "expense", "tariff"],
        [*written, "calls"],
        [*written, "expense", "tariff", "calls"],
    ]
    for t in (priced, chained):
        assert env_spec(t).without(["expense", "tariff", "calls"]) == env_spec(plain)
        first, bare = BatchEnv([t], [0]).reset([5])[0], BatchEnv([plain], [0]).reset([5])[0]
        assert first.shape[1] > bare.shape[1]
    first, bare = BatchEnv([priced], [0]).reset([5])[0], BatchEnv([plain], [0]).reset([5])[0]
    np.testing.assert_array_equal(first[:, : bare.shape[1]], bare)


def test_what_is_shown_of_costs_is_what_pods_and_nodes_come_to():
    task = application(2, prices=PricesSpec(replica_hour=0.5, move=0.01, kwh=0.3))
    batch, spec = rollout(task), env_spec(task)
    blocks = split(batch.obs[1:, 0], spec)
    maximum = np.array([d.max_replicas for d in task.deployments])
    pair = blocks["pair"].astype(np.float64)
    pods = ((pair[..., 1] - pair[..., 2]) * maximum[:, None]).round().sum(1)
    prices = np.array([n.replica_hour or 0.5 for n in task.cluster.nodes])
    idle, busy = np.array([(n.idle_watts, n.busy_watts) for n in task.cluster.nodes]).T
    watts = np.where(pods > 0, idle + (busy - idle) * blocks["node"][..., 0], 0.0).sum(1)
    replicas, shown = expense(task, batch.obs[1:], batch.info["replicas"].astype(np.float64))
    np.testing.assert_allclose(replicas[:, 0] * 0.5, pods @ prices, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shown[:, 0], watts, rtol=1e-4, atol=1e-3)
    found, moves = bill(batch, task), batch.info["moves"].mean()
    per_hour = (pods @ prices).mean() + 0.01 * moves * 3600 / task.interval_s + 0.3 * watts.mean() / 1000
    assert found.cost_per_hour == pytest.approx(per_hour, rel=1e-4)
    assert found.power_w == pytest.approx(watts.mean(), rel=1e-4)


def test_with_bounds_energy_is_money_like_replicas_and_moves():
    slo = SloSpec(failed_share=1.0, failed_share_multiplier=0.0)
    prices = PricesSpec(replica_hour=0.5, move=0.01, kwh=3.0)
    task = application(2, objective=ObjectiveSpec(slo=slo), prices=prices)
    batch = rollout(task)
    replicas, watts = expense(task, batch.obs[1:], batch.info["replicas"].astype(np.float64))
    costs = [cost_per_hour(task, *x) for x in zip(replicas[:, 0], batch.info["moves"][:, 0], watts[:, 0], strict=True)]
    most = 0.5 * sum(d.max_replicas for d in task.deployments)
    np.testing.assert_allclose(batch.reward[:, 0], -np.array(costs) / most, rtol=1e-4, atol=1e-5)


def test_the_weight_of_energy_is_refused_where_no_node_has_power():
    task = random_task(0)
    for change in ({"objective": ObjectiveSpec(energy=1.0)}, {"prices": PricesSpec(kwh=0.1)}):
        with pytest.raises(ValueError, match="nodes with busy_watts, and there are none"):
            replace(task, **change)
    with pytest.raises(ValueError, match=r"node 'node-0': idle_watts 5 must not exceed busy_watts 2"):
        replace(task.cluster.nodes[0], idle_watts=5.0, busy_watts=2.0)


def test_applications_travel_through_the_contract():
    for seed in range(5):
        task = application(seed)
        assert task_from_proto(task_to_proto(task)) == task
