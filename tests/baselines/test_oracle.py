from itertools import product

import numpy as np
import pytest

from lwmecps_core.baselines import NAMES
from lwmecps_core.baselines.oracle import best_plans
from lwmecps_core.baselines.refine import refine
from lwmecps_core.baselines.replay import Replay
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from tests.baselines.tiny import tiny, without_users


@pytest.mark.parametrize(
    ("family", "env_id"),
    [
        ("mec_city", "lwmecps-v3"),
        ("mec_city", "lwmecps-v4"),
        ("mec_city", "lwmecps-v4-continuous"),
        ("load_profile", "lwmecps-v3"),
        ("kubernetes_scaling", "lwmecps-v3-continuous"),
        ("resource_optimization", "lwmecps-v4"),
    ],
)
def test_nothing_beats_the_oracle_on_any_task(family, env_id):
    distribution = TaskDistribution(family=family, env_id=env_id, nodes=3, deployments=3, horizon=40)
    tasks = [draw(distribution, seed) for seed in range(4)]
    total = {name: np.array([b.reward.sum() for b in run_baseline(name, tasks, range(4), 2)]) for name in NAMES}
    for name in NAMES:
        assert (total[name] <= total["oracle"] + 1e-3).all(), name
    assert (total["oracle"] > total["static"]).any()


def test_the_oracle_finds_the_best_of_all_plans_of_a_tiny_task():
    task = tiny(
        users=(25.0, 5.0),
        max_replicas=2,
        initial=(1, 1),
        horizon=3,
        noise=0.3,
        startup_s=10.0,
        latency=0.3,
        replicas=0.6,
        sla=1.0,
        moves=0.05,
    )
    seeds = episode_seeds(0, 4)
    replay = Replay((task,), np.zeros(4, np.int64), seeds)
    every = np.array(list(product(product(range(3), repeat=2), repeat=3)))
    totals = replay.rewards(np.broadcast_to(every, (4, *every.shape))).sum(-1)
    found = replay.rewards(best_plans((task,), np.zeros(4, np.int64), seeds)[:, None]).sum(-1)[:, 0]
    assert found == pytest.approx(totals.max(1), abs=1e-5)


@pytest.mark.parametrize("env_id", ["lwmecps-v3", "lwmecps-v4"])
def test_free_replicas_are_all_used_and_useless_ones_are_not(env_id):
    (free,) = run_baseline("oracle", [tiny(env_id, users=(60.0, 60.0), latency=1.0)], [0], 1)
    assert free.info["replicas"][2:].min() == 8
    (idle,) = run_baseline("oracle", [without_users(tiny(env_id, latency=1.0, replicas=1.0))], [0], 1)
    assert idle.info["replicas"][2:].max() == 0


def test_one_station_serves_both_where_replicas_are_dear():
    task = tiny(users=(2.0, 2.0), cpu_time_ms=100.0, replicas=0.5, sla=5.0, latency=0.01)
    with_failover = task.workload.__class__(**{**vars(task.workload), "failover": ((0, 1), (1, 0))})
    task = task.__class__(**{**vars(task), "workload": with_failover})
    (batch,) = run_baseline("oracle", [task], [0], 1)
    assert batch.info["replicas"][2:].max() == 1
    assert batch.info["failed_share"].max() < 0.01


def test_the_oracle_starts_pods_before_the_load_comes():
    users = tuple((5.0, 5.0) if step < 10 else (60.0, 60.0) for step in range(20))
    task = tiny(cpu_time_ms=800.0, max_replicas=8, startup_s=20.0, latency=1.0, replicas=3.0, sla=5.0)
    workload = task.workload.__class__(
        **{**vars(task.workload), "pattern": "recorded", "base_users": (), "recorded_users": users}
    )
    task = task.__class__(**{**vars(task), "workload": workload})
    (batch,) = run_baseline("oracle", [task], [0], 1)
    rises = int(np.flatnonzero(batch.info["users"][:, 0] > 60)[0])
    asked = batch.action[:, 0].sum(-1)
    assert asked[rises - 2] > asked[rises - 5]


def test_another_search_finds_little_and_episodes_do_not_depend_on_their_neighbours():
    tasks = [draw(TaskDistribution(), seed) for seed in range(6)]
    replay = Replay(tuple(tasks), np.arange(6), episode_seeds(5, 6))
    plans = best_plans(tasks, np.arange(6), replay.seeds)
    found = replay.rewards(plans[:, None]).sum((1, 2))
    gained = replay.rewards(refine(replay, plans)[:, None]).sum((1, 2)) - found
    assert (gained >= 0).all() and (gained / np.abs(found)).mean() < 0.003
    (alone,) = best_plans(tasks[3:4], np.zeros(1, np.int64), replay.seeds[3:4])
    assert np.array_equal(alone, plans[3])
