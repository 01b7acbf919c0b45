from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import split
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.evaluation import load_correlation, rows, trace


def batch(reward, valid=None, terminated=None, **info) -> RolloutBatch:
    reward = np.array(reward, np.float32)
    shape = reward.shape
    zeros = np.zeros(shape, np.bool_)
    truncated = zeros.copy()
    truncated[-1] = terminated is None
    return RolloutBatch(
        np.zeros((shape[0] + 1, shape[1], 1), np.float32),
        np.zeros((shape[0] + 1, shape[1], 0), np.bool_),
        np.zeros((*shape, 1), np.int32),
        reward,
        zeros if terminated is None else np.array(terminated),
        truncated,
        np.ones(shape, np.bool_) if valid is None else np.array(valid),
        {},
        {key: np.array(info.get(key, np.zeros(shape)), np.float32) for key in INFO_KEYS},
    )


def test_a_row_sums_rewards_per_episode_and_weights_latency_by_requests():
    made = batch(
        [[-1, -2], [-3, -4]],
        latency_ms=[[100, 100], [200, 400]],
        users=[[10, 10], [30, 10]],
        latency_p95_ms=[[300, 300], [300, 300]],
        failed_share=[[0, 0], [0.5, 0]],
        replicas=[[2, 2], [4, 4]],
        moves=[[0, 1], [2, 1]],
    )
    (row,) = rows([made], ["a"], "m", inner_steps=2, env_steps=7, wall_s=1.5)
    assert (row.task, row.method, row.inner_steps, row.env_steps, row.wall_s) == ("a", "m", 2, 7, 1.5)
    assert row.reward == -5
    assert row.latency_mean_ms == pytest.approx((100 * 20 + 200 * 30 + 400 * 10) / 60)
    assert row.latency_p95_ms == 300
    assert row.sla_miss_share == pytest.approx(15 / 60)
    assert (row.replicas_mean, row.moves_mean) == (3, 1)


def test_what_is_not_valid_does_not_count():
    made = batch(
        [[-1], [-2], [-99]],
        valid=[[True], [True], [False]],
        terminated=[[False], [True], [False]],
        replicas=[[1], [3], [50]],
        users=[[1], [1], [9]],
        latency_ms=[[10], [10], [999]],
    )
    (row,) = rows([made], ["a"], "m")
    assert (row.reward, row.replicas_mean, row.latency_mean_ms) == (-3, 2, 10)


def test_rewards_are_per_episode_where_a_column_holds_several():
    made = batch([[-1], [-1], [-4], [-4]], terminated=[[False], [True], [False], [True]])
    assert rows([made], ["a"], "m")[0].reward == -5


def test_load_correlation_is_that_of_each_episode_and_zero_where_nothing_moves():
    time = np.arange(10.0)
    users = np.stack([time, time, time], axis=1)
    replicas = np.stack([2 * time + 1, -time, np.full(10, 3.0)], axis=1)
    valid = np.ones((10, 3), np.bool_)
    assert load_correlation(replicas[:, :1], users[:, :1], valid) == pytest.approx(1)
    assert load_correlation(replicas, users, valid) == pytest.approx(0)
    assert load_correlation(replicas[:, 2:], users[:, 2:], valid) == 0


def test_an_autoscaler_follows_the_load_and_a_static_placement_does_not():
    task = draw(TaskDistribution(), 6)
    row = {name: rows(run_baseline(name, [task], [0], 2), ["a"], name)[0] for name in ("static", "hpa")}
    assert row["static"].load_correlation == 0
    assert row["hpa"].load_correlation > 0.5
    assert row["hpa"].latency_p95_ms > row["hpa"].latency_mean_ms > 0


def test_a_trace_is_the_first_episode_until_its_end():
    made = batch(
        [[-1, 0], [-2, 0], [-9, 0]],
        terminated=[[False, False], [True, False], [False, True]],
        users=[[5, 0], [6, 0], [7, 0]],
    )
    task = draw(TaskDistribution(nodes=2, deployments=2, env_id="lwmecps-v4"), 0)
    obs = np.zeros((4, 2, env_spec(task).obs_size), np.float32)
    blocks = split(obs, env_spec(task))
    blocks["deployment"][:, 0, 1, 0] = [0.25, 0.5, 0.75, 1.0]
    blocks["deployment"][:, 0, 1, 5], blocks["deployment"][:, 0, 1, 7] = np.log(21.0), np.log(3.0)
    blocks["pair"][:, 0, 1, 0, 0] = [0.0, 0.25, 0.5, 0.75]
    series = trace(replace(made, obs=obs), task)
    assert series["reward"] == (-1, -2) and series["users"] == (5, 6)
    first, second = (d.name for d in task.deployments)
    most = task.deployments[1].max_replicas
    assert series[f"{second}/ready"] == (0.5 * most, 0.75 * most)  # after each interval
    assert series[f"{second}/{task.cluster.nodes[0].name}/ready"] == (0.25 * most, 0.5 * most)
    assert series[f"{second}/rate"] == pytest.approx((20.0, 20.0))
    assert series[f"{second}/latency_ms"] == pytest.approx((300.0, 300.0))
    assert series[f"{first}/latency_ms"] == (0.0, 0.0)
    each = {f"{name}/{of}" for name in (first, second) for of in ("ready", "rate", "latency_ms", "failed_share")}
    pairs = {f"{name}/{node.name}/ready" for name in (first, second) for node in task.cluster.nodes}
    assert set(series) == {"reward", *INFO_KEYS} | each | pairs
