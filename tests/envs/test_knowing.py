"""Gymnasium's environments with what is known of their clusters, against the batches that policies are trained on."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import lwmecps_core.envs  # noqa: F401 - registers the environments
from lwmecps_core.context.known import DEPLOYMENT, GLOBAL, NODE, PAIR
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.envs.knowing import Knowing, VectorKnowing
from lwmecps_core.envs.placement import make_env, with_env_id
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.remembered import WithContext
from lwmecps_core.specs import ALL_ENV_IDS
from tests.sim.random_tasks import random_task

KEEP = {"forget": False}


def flat(obs, width):
    blocks = obs.values() if isinstance(obs, dict) else [obs]
    return np.concatenate([block.reshape(width, -1) for block in blocks], axis=1)


def equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def batch(task, env_id, size):
    env = BatchEnv([with_env_id(task, env_id)], [0] * size)
    known = Statistics(env.spec)
    return WithContext(env, known, known.begin(size))


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_gymnasium_finds_nothing_wrong_with_what_is_known(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(Knowing(make_env(env_id)), skip_render_check=True)


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_one_environment_shows_what_a_batch_shows_over_several_episodes(env_id):
    task = random_task(2, nodes=3, deployments=2)
    env, expected = Knowing(make_env(env_id, task)), batch(task, env_id, 1)
    env.action_space.seed(0)
    for seed in range(3):
        obs, _ = env.reset(seed=seed, options=KEEP)
        frame, _ = expected.reset(np.array([seed], np.uint64))
        done = False
        while not done:
            np.testing.assert_allclose(flat(obs, 1), frame, rtol=1e-4, atol=1e-4)
            assert env.observation_space.contains(obs)
            action = env.action_space.sample()
            obs, _, terminated, truncated, _ = env.step(action)
            frame, *_ = expected.step(np.reshape(action, (1, -1)))
            done = terminated or truncated
    assert (env.memory["intervals"] > 0).all()


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_a_vector_of_environments_shows_what_a_batch_shows_over_several_episodes(env_id):
    task, size = random_task(2, nodes=3, deployments=2), 3
    env, expected = VectorKnowing(PlacementVectorEnv(size, [task], env_id)), batch(task, env_id, size)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=5)
    drawn = np.random.default_rng()
    drawn.bit_generator.state = env.unwrapped.np_random.bit_generator.state
    frame, _ = expected.reset(np.arange(5, 5 + size, dtype=np.uint64))
    over, ends = np.zeros(size, bool), 0
    for _ in range(60):
        np.testing.assert_array_equal(flat(obs, size), frame)
        assert env.observation_space.contains(obs)
        actions = env.action_space.sample()
        obs, _, terminated, truncated, _ = env.step(actions)
        frame, *_ = expected.step(actions.reshape(size, -1))
        if over.any():
            frame, _ = expected.reset_where(over, drawn.integers(0, 2**63, size, dtype=np.uint64))
        over = terminated | truncated
        ends += over.sum()
    assert ends >= 6
    equal(env.memory, expected.memory)


def test_new_blocks_stand_beside_those_of_the_environment():
    plain = make_env("lwmecps-v4").observation_space.spaces
    spaces = Knowing(gymnasium.make("lwmecps-v4")).observation_space.spaces
    added = {name: space.shape for name, space in spaces.items() if name not in plain}
    assert added == {
        "global_context": (GLOBAL,),
        "deployment_context": (4, DEPLOYMENT),
        "node_context": (4, NODE),
        "pair_context": (4, 4, PAIR),
    }
    assert spaces.keys() == plain.keys() | added.keys()


def test_what_is_known_outlasts_resets_until_it_is_to_be_forgotten():
    env = Knowing(make_env("lwmecps-v3"))
    obs, _ = env.reset(seed=1)
    assert not obs["deployment_context"].any()
    env.step(env.action_space.sample())
    obs, _ = env.reset()
    assert obs["deployment_context"].any()
    obs, _ = env.reset(options={"forget": True})
    assert not obs["deployment_context"].any()


def test_a_memory_goes_from_one_environment_to_another():
    one, other = Knowing(make_env("lwmecps-v3")), Knowing(make_env("lwmecps-v3"))
    one.reset(seed=1)
    for _ in range(5):
        one.step(np.full(4, 2))
    other.memory = one.memory
    kept, _ = one.reset(seed=2, options=KEEP)
    for _ in range(2):  # a seed repeats the episode, with what was given
        given, _ = other.reset(seed=2)
        equal(given, kept)
        other.step(np.full(4, 2))


def test_a_memory_of_other_sizes_is_refused_by_name():
    env = Knowing(make_env("lwmecps-v3"))
    other = Knowing(make_env("lwmecps-v3", random_task(2, nodes=3, deployments=2)))
    with pytest.raises(InvalidInput, match=r"memory\[load\].*\[1, 4, 4\], not float64 \[1, 2, 4\]"):
        env.memory = other.memory
    with pytest.raises(InvalidInput, match=r"memory\[times\]: is missing"):
        env.memory = {name: x for name, x in env.memory.items() if name != "times"}


def test_what_cannot_be_wrapped_is_said():
    with pytest.raises(InvalidInput, match="context: 'all' is none of statistics"):
        Knowing(make_env("lwmecps-v3"), "all")
    with pytest.raises(InvalidInput, match="env: must be a PlacementEnv"):
        Knowing(gymnasium.wrappers.FlattenObservation(make_env("lwmecps-v3")))
    with pytest.raises(InvalidInput, match="env: must be a PlacementVectorEnv"):
        VectorKnowing(VectorKnowing(PlacementVectorEnv(2)))
