"""The control that is told what is hidden: it is right, complete on every kind of task, and acts nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core import context
from lwmecps_core.context.kept import Kept
from lwmecps_core.context.privileged import POINTS, Privileged
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.scene import View, scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import EvaluateConfig, PPOConfig, TrainConfig
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.specs import FAMILIES, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate, train

CITY = TaskDistribution(nodes=3, deployments=2, horizon=40)


def _quiet(task: TaskSpec) -> TaskSpec:
    """With so many users that what arrives is what the pattern says, and stays where it arrives."""
    w = task.workload
    crowd = tuple(1000.0 * users for users in w.base_users)
    return replace(task, workload=replace(w, base_users=crowd, noise=0.0, failover=()))


@pytest.mark.parametrize("seed", [1, 2])
def test_what_it_is_told_is_what_happens(seed: int) -> None:
    task = _quiet(draw(CITY, seed))
    env, known = BatchEnv([task], np.zeros(1, np.int64)), Privileged(env_spec(task))
    kept, view = Kept(known, known.told([task], 1)), scene([task], [0])
    obs, _ = env.reset(np.array([3], np.uint64))
    expected, seen = [], []
    for _ in range(30):
        obs, *_ = env.step(view.room[:1])
        kept.take_in(obs, np.zeros((1, 5), np.float32), np.zeros(1, np.bool_))
        now = kept.shown[0, env.spec.obs_size + 2 :].reshape(2, -1)[:, 6]
        shown = View(view, obs)
        busy = shown.rate[0] * [busy_ms(d) / 1000.0 / d.max_replicas for d in task.deployments]
        expected.append(2.0 + np.log(0.02 + busy))
        seen.append(now.copy())
    error = np.abs(np.array(seen) - np.array(expected))
    assert np.median(error) < 0.02


def test_what_comes_next_is_what_is_now_later() -> None:
    task = _quiet(draw(CITY, 5))
    env, known = BatchEnv([task], np.zeros(1, np.int64)), Privileged(env_spec(task))
    kept = Kept(known, known.told([task], 1))
    obs, _ = env.reset(np.array([3], np.uint64))
    shares = []
    for _ in range(30):
        kept.take_in(obs, np.zeros((1, 5), np.float32), np.zeros(1, np.bool_))
        shares.append(kept.shown[0, env.spec.obs_size + 2 :].reshape(2, -1)[:, 6:].copy())
        obs, *_ = env.step(np.zeros((1, 2), np.int64))
    found = np.array(shares)  # [30, D, now and 1, 3, 8 intervals ahead]
    for i, ahead in enumerate((1, 3, 8), start=1):
        assert np.allclose(found[:-ahead, :, i], found[ahead:, :, 0], atol=0.1)
    assert kept.memory["load"].shape == (1, POINTS, 2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v4"])
def test_a_policy_learns_with_it_on_every_kind_of_task(family: str, env_id: str) -> None:
    source = TaskDistribution(family=family, env_id=env_id, nodes=2, deployments=2, max_replicas=4, horizon=6)
    cfg = PPOConfig(context="privileged", hidden_size=(8, 8))
    training = TrainConfig(total_episodes=4, episodes_per_batch=2, tasks_per_batch=2)
    *_, last = train(source, cfg, training, LocalCollector(), seed=1)
    tasks = tuple(draw(source, seed) for seed in (7, 8))
    measured = EvaluateConfig(episodes=2, episodes_before=(0, 1))
    (result,) = evaluate(last.policy, tasks, measured, LocalCollector(), seed=2)
    first, second = ([r.reward for r in result.rows if r.episode == episode] for episode in (1, 2))
    assert np.isfinite(first).all() and first == second  # it learns nothing by acting


def test_who_acts_on_a_cluster_that_may_be_real_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no cluster shows"):
        context.acting("privileged", env_spec(draw(CITY, 0)), "request")
    assert context.acting("statistics", env_spec(draw(CITY, 0)), "request") is not None
    assert context.acting("none", env_spec(draw(CITY, 0)), "request") is None
