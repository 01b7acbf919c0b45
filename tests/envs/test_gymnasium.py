import copy
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import lwmecps_core.envs  # noqa: F401 - registers the environments
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.envs.knowing import VectorKnowing
from lwmecps_core.envs.placement import LWMECPSEnv, LWMECPSEnv2, LWMECPSEnv3, LWMECPSEnv4, make_env, with_env_id
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput, WrongState
from lwmecps_core.sim.state import pod_limits
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


@pytest.mark.parametrize("env_id", [*ALL_ENV_IDS, *(env_id.replace("-", "/", 1) for env_id in ALL_ENV_IDS)])
@pytest.mark.filterwarnings("error")
def test_gymnasium_makes_every_environment_with_a_task_and_warns_of_nothing(env_id):
    task = random_task(2, nodes=3, deployments=2)
    env = gymnasium.make(env_id, task=task)
    env.reset(seed=1)
    env.action_space.seed(0)
    obs, reward, _, _, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert np.isfinite(reward) and "action_mask" in info
    assert env.unwrapped.task.cluster == task.cluster


@pytest.mark.filterwarnings("error")
def test_former_ids_and_vectors_of_them_are_the_same_environments():
    one, other = gymnasium.make("lwmecps/v3"), gymnasium.make("lwmecps-v3")
    assert one.spec.id == other.spec.id == "lwmecps/v3"
    for env_id in ("lwmecps/v4", "lwmecps-v4"):
        assert gymnasium.make_vec(env_id, 2).unwrapped.spec_of_env.env_id == "lwmecps-v4"


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_gymnasium_finds_nothing_wrong_with_the_renderings(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(gymnasium.make(env_id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("env_id", ["lwmecps/v3", "lwmecps/v4-continuous"])
def test_placement_load_and_latency_are_shown_as_text_and_as_a_picture(env_id):
    task = random_task(2, nodes=3, deployments=2)
    text = gymnasium.make(env_id, task=task, render_mode="ansi")
    picture = gymnasium.make(env_id, task=task, render_mode="rgb_array")
    for env in (text, picture):
        env.reset(seed=1)
        env.action_space.seed(0)
        env.step(env.action_space.sample())
    shown = text.render()
    assert all(node.name in shown for node in task.cluster.nodes)
    assert all(deployment.name in shown for deployment in task.deployments)
    assert "latency" in shown and "users" in shown and "req/s" in shown
    drawn = picture.render()
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) >= 4
    with pytest.raises(InvalidInput, match="ansi, rgb_array"):
        LWMECPSEnv3(render_mode="human")


def test_a_step_or_picture_before_a_reset_says_what_to_do():
    for env in (make_env("lwmecps-v3"), make_env("lwmecps-v3-continuous"), PlacementVectorEnv(2)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(env.action_space.sample())
    with pytest.raises(gymnasium.error.ResetNeeded):
        make_env("lwmecps-v3", render_mode="ansi").render()


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ([1.5, 0.0], "must be integers, not float64"),
        ([1.0, 0.0], "must be integers, not float64"),
        ([True, False], "must be integers, not bool"),
        ([0, 99], r"action\[.*1\].*99 is not in \[0, "),
        ([-1, 0], "-1 is not in"),
        ([0, 0, 0], "must be of shape"),
    ],
)
def test_what_is_no_choice_is_refused_not_rounded_or_clipped(action, reason):
    task = random_task(2, nodes=3, deployments=2)
    env, envs = make_env("lwmecps-v3", task), PlacementVectorEnv(2, [task])
    env.reset(seed=1)
    envs.reset(seed=1)
    with pytest.raises(InvalidInput, match=reason):
        env.step(np.array(action))
    with pytest.raises(InvalidInput, match=reason):
        envs.step(np.array([action, action]))


def test_continuous_actions_must_be_numbers():
    task = random_task(2, nodes=3, deployments=2)
    env, envs = make_env("lwmecps-v3-continuous", task), PlacementVectorEnv(2, [task], "lwmecps-v3-continuous")
    env.reset(seed=1)
    envs.reset(seed=1)
    with pytest.raises(InvalidInput, match="finite"):
        env.step(np.array([np.nan, 0.5], np.float32))
    with pytest.raises(InvalidInput, match="finite"):
        envs.step(np.full((2, 2), np.inf, np.float32))


@pytest.mark.parametrize("seed", [np.int64(7), np.uint64(2**64 - 1), 2**64 - 1, np.uint32(0)])
def test_any_integer_in_64_bits_is_a_seed(seed):
    task = random_task(2, env_id="lwmecps-v3", nodes=3, deployments=2)
    env, envs = make_env("lwmecps-v3", task), PlacementVectorEnv(2, [task])
    assert np.array_equal(flat(env.reset(seed=seed)[0]), flat(env.reset(seed=int(seed))[0]))
    obs, _ = envs.reset(seed=seed)
    expected, _ = BatchEnv([task], [0, 0]).reset(np.array([int(seed), (int(seed) + 1) % 2**64], np.uint64))
    np.testing.assert_array_equal(np.concatenate([b.reshape(2, -1) for b in obs.values()], axis=1), expected)
    again, _ = envs.reset(seed=[seed, None])
    np.testing.assert_array_equal(again["deployment"][0], obs["deployment"][0])


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1"])
def test_what_is_no_seed_is_refused(seed):
    for env in (make_env("lwmecps-v3"), PlacementVectorEnv(2)):
        with pytest.raises(InvalidInput, match="seed"):
            env.reset(seed=seed)
    with pytest.raises(InvalidInput, match="3 seeds for 2 environments"):
        PlacementVectorEnv(2).reset(seed=[1, 2, 3])


def test_masks_have_the_name_that_others_look_for():
    env, envs = make_env("lwmecps-v4"), PlacementVectorEnv(2, env_id="lwmecps-v4")
    _, info = env.reset(seed=1)
    assert np.array_equal(env.action_masks(), info["action_mask"]) and env.action_masks().ndim == 1
    _, info = envs.reset(seed=1)
    assert np.array_equal(envs.action_masks(), info["action_mask"])


@pytest.mark.parametrize("knowing", [False, True])
def test_a_reset_of_some_leaves_the_others_as_they_are(knowing):
    task = random_task(2, nodes=3, deployments=2)
    envs = PlacementVectorEnv(3, [task])
    envs = VectorKnowing(envs) if knowing else envs
    with pytest.raises(InvalidInput, match="first reset must be of all"):
        envs.reset(seed=5, options={"reset_mask": np.array([True, False, False])})
    envs.reset(seed=5)
    envs.action_space.seed(0)
    for _ in range(3):
        before, *_ = envs.step(envs.action_space.sample())
    before = {name: block.copy() for name, block in before.items()}
    mask = np.array([False, True, False])
    after, _ = envs.reset(seed=9, options={"reset_mask": mask})
    for name, block in after.items():
        np.testing.assert_array_equal(block[~mask], before[name][~mask])
    assert any(not np.array_equal(block[1], before[name][1]) for name, block in after.items())
    fresh = PlacementVectorEnv(3, [task])
    expected, _ = (VectorKnowing(fresh) if knowing else fresh).reset(seed=9)
    for name, block in after.items():
        np.testing.assert_array_equal(block[1], expected[name][1])
    for wrong in (np.zeros(3, bool), np.array([1, 0, 1]), np.array([True])):
        with pytest.raises(InvalidInput, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})


@pytest.mark.parametrize("cls", [LWMECPSEnv, LWMECPSEnv2, LWMECPSEnv3, LWMECPSEnv4])
@pytest.mark.parametrize("given", [False, True])
def test_one_environment_agrees_with_a_batch_of_one_to_the_bit_and_over_a_backend_nearly(cls, given):
    near = {"rtol": 1e-5, "atol": 1e-5} if given else {"rtol": 0.0, "atol": 0.0}
    for seed in range(8):
        task = with_env_id(random_task(seed), f"lwmecps-v{cls.version}")
        env, batch = cls(task, SimulatedCluster(task) if given else None), BatchEnv([task], [0])
        obs, info = env.reset(seed=seed)
        expected, mask = batch.reset([seed])
        env.action_space.seed(seed)
        done = False
        while not done:
            np.testing.assert_allclose(flat(obs), expected[0], **near)
            np.testing.assert_array_equal(info["action_mask"], mask[0])
            for key, value in batch.info().items():
                np.testing.assert_allclose(info[key], value[0], **near, err_msg=key)
            action = env.action_space.sample()
            obs, reward, terminated, truncated, info = env.step(action)
            expected, mask, *ends, _ = batch.step(np.reshape(action, (1, -1)).astype(np.int32))
            np.testing.assert_allclose(reward, ends[0][0], **near)
            assert (terminated, truncated) == (bool(ends[1][0]), bool(ends[2][0]))
            done = terminated or truncated


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_action_goes_on_from_what_was_placed_beside_it(env_id):
    task = with_env_id(random_task(2, nodes=3, deployments=2), env_id)
    one, other = make_env(env_id, task), make_env(env_id, task, SimulatedCluster(task))
    seen = []
    for env in (one, other):
        env.reset(seed=1)
        env.action_space.seed(0)
        env.step(env.action_space.sample())
        env.unwrapped.place(pod_limits(task) // 2)
        seen.append(env.step(env.action_space.sample()))
    np.testing.assert_allclose(flat(seen[0][0]), flat(seen[1][0]), rtol=1e-5, atol=1e-5)
    assert seen[0][4]["moves"] == seen[1][4]["moves"]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_what_one_environment_returns_is_the_callers_to_keep_and_a_copy_goes_its_own_way(env_id):
    env = make_env(env_id, random_task(2, nodes=3, deployments=2))
    env.action_space.seed(0)
    returned = [env.reset(seed=1)]
    for _ in range(3):
        obs, *_, info = env.step(env.action_space.sample())
        returned.append((obs, info))
    kept = copy.deepcopy(returned)
    action = env.action_space.sample()
    other = copy.deepcopy(env)
    expected = env.step(action)
    env.step(env.action_space.sample())
    env.reset(seed=2)
    for (obs, info), (obs_kept, info_kept) in zip(returned, kept, strict=True):
        np.testing.assert_array_equal(flat(obs), flat(obs_kept))
        np.testing.assert_array_equal(info.pop("action_mask"), info_kept.pop("action_mask"))
        assert info == info_kept
    again = other.step(action)
    np.testing.assert_array_equal(flat(again[0]), flat(expected[0]))
    assert again[1:4] == expected[1:4]
    again[4]["action_mask"][:] = False
    assert other.action_mask().any()


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


def test_a_closed_environment_steps_no_more():
    env = LWMECPSEnv3()
    env.reset(seed=1)
    env.close()
    with pytest.raises(WrongState, match="closed"):
        env.step(env.action_space.sample())


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
