import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import lwmecps_core.envs  # noqa: F401 - registers the environments
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.envs.placement import LWMECPSEnv, LWMECPSEnv2, LWMECPSEnv3, LWMECPSEnv4, make_env, with_env_id
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import ALL_ENV_IDS, ENV_IDS
from tests.sim.random_tasks import random_task


def flat(obs):
    return np.concatenate([block.reshape(-1) for block in obs.values()]) if isinstance(obs, dict) else obs


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_gymnasium_finds_nothing_wrong(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(make_env(env_id), skip_render_check=True)


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
def test_gymnasium_makes_every_environment_with_a_task(env_id):
    task = random_task(2, nodes=3, deployments=2)
    env = gymnasium.make(env_id, task=task)
    env.reset(seed=1)
    env.action_space.seed(0)
    obs, reward, _, _, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert np.isfinite(reward) and "action_mask" in info
    assert env.unwrapped.task.cluster == task.cluster


@pytest.mark.parametrize("cls", [LWMECPSEnv, LWMECPSEnv2, LWMECPSEnv3, LWMECPSEnv4])
def test_the_scalar_environment_agrees_with_the_batched_one(cls):
    for seed in range(8):
        task = with_env_id(random_task(seed), f"lwmecps-v{cls.version}")
        env, batch = cls(task), BatchEnv([task], [0])
        obs, info = env.reset(seed=seed)
        expected, mask = batch.reset([seed])
        env.action_space.seed(seed)
        done = False
        while not done:
            np.testing.assert_allclose(flat(obs), expected[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(info["action_mask"], mask[0])
            for key, value in batch.info().items():
                np.testing.assert_allclose(info[key], value[0], rtol=1e-5, atol=1e-5, err_msg=key)
            action = env.action_space.sample()
            obs, reward, terminated, truncated, info = env.step(action)
            expected, mask, *ends, _ = batch.step(np.reshape(action, (1, -1)).astype(np.int32))
            np.testing.assert_allclose(reward, ends[0][0], rtol=1e-5, atol=1e-5)
            assert (terminated, truncated) == (bool(ends[1][0]), bool(ends[2][0]))
            done = terminated or truncated


def test_the_same_seed_repeats_an_episode_and_another_does_not():
    rewards = []
    for seed in (3, 3, 4):
        env = LWMECPSEnv3(random_task(7, nodes=4, deployments=3))
        env.reset(seed=seed)
        rewards.append([env.step(np.array([1, 2, 1]))[1] for _ in range(5)])
    assert rewards[0] == rewards[1] != rewards[2]


def test_resets_without_a_seed_begin_different_episodes():
    env = LWMECPSEnv3()
    first, _ = env.reset(seed=1)
    second, _ = env.reset()
    assert not np.array_equal(flat(first), flat(second))


def test_an_environment_runs_over_a_given_backend_and_closes_it():
    class Counting(SimulatedCluster):
        closed = 0

        def close(self):
            self.closed += 1
            super().close()

    backend = Counting(random_task(2, nodes=3, deployments=2))
    env = LWMECPSEnv4(backend=backend)
    env.reset(seed=1)
    env.step(np.ones(6, int))
    assert backend.observe().desired.sum() > 0
    env.close()
    assert backend.closed == 1


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_vector_environment_resets_in_the_step_after_an_end(env_id):
    task = random_task(2, nodes=3, deployments=2)
    env = PlacementVectorEnv(3, [task], env_id)
    obs, _ = env.reset(seed=5)
    env.action_space.seed(0)
    ended_before, resets = np.zeros(3, bool), 0
    for _ in range(50):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
        assert (reward[ended_before] == 0).all() and not (terminated | truncated)[ended_before].any()
        resets += ended_before.sum()
        ended_before = terminated | truncated
    assert resets >= 6


def test_the_vector_environment_begins_the_episodes_of_its_seeds():
    task = random_task(2, nodes=3, deployments=2)
    env = PlacementVectorEnv(2, [task], "lwmecps-v4")
    obs, _ = env.reset(seed=5)
    expected, _ = BatchEnv([task], [0, 0]).reset([5, 6])
    np.testing.assert_array_equal(np.concatenate([b.reshape(2, -1) for b in obs.values()], axis=1), expected)


def test_what_the_vector_environment_returns_is_the_callers_to_keep():
    env = PlacementVectorEnv(2)
    obs, info = env.reset(seed=5)
    kept, users = {name: block.copy() for name, block in obs.items()}, info["users"].copy()
    env.step(env.action_space.sample())
    assert all(np.array_equal(kept[name], obs[name]) for name in obs) and np.array_equal(users, info["users"])
