from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.envs.actions import discrete_nvec, env_spec, to_discrete
from lwmecps_core.envs.observation import split
from lwmecps_core.envs.placement import with_env_id
from lwmecps_core.envs.stepping import step_loop
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.sim.formulas import BOUND
from lwmecps_core.specs import ENV_IDS, DeploymentSpec, ObjectiveSpec
from tests.sim.random_tasks import random_task

SIZES = {"nodes": 4, "deployments": 3}


def alike(count, env_id="lwmecps-v4"):
    """Different tasks of one `EnvSpec`."""
    tasks = [random_task(seed, env_id, **SIZES) for seed in range(count)]
    return [
        replace(task, deployments=(replace(task.deployments[0], max_replicas=7), *task.deployments[1:]))
        for task in tasks
    ]


def random_actions(spec, size, steps, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, spec.nvec, (size, spec.action_size)).astype(np.int32) for _ in range(steps)]


def rollout(env, seeds, actions):
    """Everything an episode returns, stacked over time."""
    obs, mask = env.reset(seeds)
    out = [[obs.copy(), mask.copy()]]
    for action in actions:
        obs, mask, *rest, info = env.step(action)
        out.append([obs.copy(), mask.copy(), *(a.copy() for a in rest), *(info[key].copy() for key in INFO_KEYS)])
    return out


def assert_equal(a, b):
    for one, two in zip(a, b, strict=True):
        for x, y in zip(one, two, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_shapes_and_types_follow_the_spec(env_id):
    env = BatchEnv(alike(2, env_id), [0, 1, 1])
    obs, mask = env.reset([1, 2, 3])
    assert obs.shape == (3, env.spec.obs_size) and obs.dtype == np.float32
    assert mask.shape == (3, env.spec.mask_size) and mask.dtype == np.bool_
    obs, mask, reward, terminated, truncated, info = env.step(random_actions(env.spec, 3, 1)[0])
    assert obs.dtype == reward.dtype == np.float32 and terminated.dtype == truncated.dtype == np.bool_
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert tuple(info) == INFO_KEYS and all(v.shape == (3,) for v in info.values())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_episode_does_not_depend_on_what_else_is_in_the_batch(env_id):
    tasks, seeds = alike(3, env_id), np.array([11, 12, 13, 14, 15], np.uint64)
    task_of = np.array([2, 0, 1, 1, 0])
    env = BatchEnv(tasks, task_of)
    actions = random_actions(env.spec, 5, 12)
    together = rollout(env, seeds, actions)
    for b in range(5):
        alone = rollout(BatchEnv([tasks[task_of[b]]], [0]), seeds[b : b + 1], [a[b : b + 1] for a in actions])
        assert_equal([[x[b : b + 1] for x in row] for row in together], alone)


def test_threads_change_nothing():
    tasks = alike(2)
    one, two = BatchEnv(tasks, np.arange(33) % 2), BatchEnv(tasks, np.arange(33) % 2, num_threads=2)
    actions = random_actions(one.spec, 33, 5)
    for a, b in zip(rollout(one, np.arange(33), actions), rollout(two, np.arange(33), actions), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)


def test_resetting_some_leaves_the_others_alone():
    env = BatchEnv(alike(1), [0, 0])
    actions = random_actions(env.spec, 2, 4)
    undisturbed = rollout(env, [1, 2], actions)
    env.reset([1, 2])
    env.step(actions[0])
    env.step(actions[1])
    env.reset_where(np.array([True, False]), [9, 9])
    obs, _, reward, *_ = env.step(actions[2])
    np.testing.assert_array_equal(obs[1], undisturbed[3][0][1])
    assert not np.array_equal(obs[0], undisturbed[3][0][0])
    assert reward[1] == undisturbed[3][2][1]


def test_a_copied_state_resumes_the_episode():
    env = BatchEnv(alike(1), [0, 0, 0])
    first, second, third = random_actions(env.spec, 3, 3)
    env.reset([1, 2, 3])
    env.step(first)
    saved = env.state.copy()
    expected = [env.step(second)[0].copy(), env.step(third)[0].copy()]
    env.state.load(saved)
    np.testing.assert_array_equal(env.step(second)[0], expected[0])
    np.testing.assert_array_equal(env.step(third)[0], expected[1])


def test_an_episode_is_truncated_at_the_horizon_and_not_terminated():
    env = BatchEnv([replace(task, horizon=3) for task in alike(1)], [0])
    env.reset([1])
    ends = [[bool(x[0]) for x in env.step(a)[3:5]] for a in random_actions(env.spec, 1, 3)]
    assert ends == [[False, False], [False, False], [False, True]]


def placement_task(initial, horizon):
    task = random_task(3, "lwmecps-v2", nodes=3, deployments=2)
    deployments = tuple(
        DeploymentSpec(name=f"d{i}", cpu_millicores=50.0, ram_mib=50.0, max_replicas=4, initial_replicas=count)
        for i, count in enumerate(initial)
    )
    return replace(task, deployments=deployments, horizon=horizon)


def test_placing_pods_terminates_when_each_has_its_node():
    env = BatchEnv([placement_task((2, 1), 10)], [0])
    env.reset([1])
    ends = []
    for node in (1, 2, 0):
        _, _, _, terminated, truncated, _ = env.step(np.array([[node]], np.int32))
        ends.append((bool(terminated[0]), bool(truncated[0])))
    assert ends == [(False, False), (False, False), (True, False)]
    assert env.state.pools["desired"][0].tolist() == [[0, 1, 1], [1, 0, 0]]


def test_placing_pods_is_truncated_when_the_horizon_comes_first():
    env = BatchEnv([placement_task((2, 1), 2)], [0])
    env.reset([1])
    env.step(np.array([[1]], np.int32))
    _, _, _, terminated, truncated, _ = env.step(np.array([[1]], np.int32))
    assert (bool(terminated[0]), bool(truncated[0])) == (False, True)


@pytest.mark.parametrize("env_id", ["lwmecps-v3", "lwmecps-v4"])
def test_what_the_mask_allows_can_run_on_an_empty_node_and_nothing_more(env_id):
    for seed in range(10):
        task = random_task(seed, env_id, **SIZES)
        env = BatchEnv([task], [0])
        _, mask = env.reset([1])
        parts = np.split(mask[0], np.cumsum(env.spec.nvec)[:-1])
        for i, allowed in enumerate(parts):
            most = int(np.flatnonzero(allowed).max())
            assert allowed[: most + 1].all()
            for count, expected in ((most, most), (most + 1, most)):
                if count < env.spec.nvec[i]:
                    action = np.zeros((1, env.spec.action_size), np.int32)
                    action[0, i] = count
                    env.reset([1])
                    env.step(action)
                    assert env.state.pools["desired"].sum() == expected
                    assert env.state.pools["pending"].sum() == 0


def test_replicas_of_all_nodes_together_stay_within_the_maximum():
    task = random_task(5, "lwmecps-v4", **SIZES)
    env = BatchEnv([task], [0])
    env.reset([1])
    env.step(np.full((1, env.spec.action_size), 100, np.int32))
    assert (env.state.pools["desired"][0].sum(axis=1) <= [d.max_replicas for d in task.deployments]).all()


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_observations_are_finite_and_bounded_in_extreme_tasks(env_id):
    task = random_task(8, env_id, **SIZES)
    for users in (0.0, 1e7):
        workload = replace(task.workload, pattern="uniform", base_users=(users,) * 4, noise=2.0)
        env = BatchEnv([replace(task, workload=workload)], np.zeros(4, int))
        for row in rollout(env, np.arange(4), random_actions(env.spec, 4, 10)):
            assert np.isfinite(row[0]).all() and (np.abs(row[0]) <= BOUND).all()
            assert all(np.isfinite(x).all() for x in row[2:])


def test_the_objective_is_seen_as_it_is_written_and_nowhere_else():
    task = random_task(4, "lwmecps-v4", **SIZES)
    other = replace(task, objective=ObjectiveSpec(latency=9.0, replicas=3.0, target_latency_ms=7.0))
    env = BatchEnv([task, other], [0, 1])
    seen = rollout(env, [5, 5], [np.repeat(a, 2, axis=0) for a in random_actions(env.spec, 1, 8)])
    for row in seen:
        mine, others = (split(row[0][b], env.spec) for b in (0, 1))
        o = other.objective
        weights = np.array([o.latency, o.replicas, o.imbalance, o.sla, o.moves])
        written = [*(0.5 * np.log(0.01 + weights)), np.log(o.target_latency_ms / 100.0)]
        np.testing.assert_allclose(others["objective"], np.array(written), rtol=1e-5)
        for name in mine.keys() - {"objective"}:
            np.testing.assert_array_equal(mine[name], others[name])
    assert seen[-1][2][0] != seen[-1][2][1]


def test_limits_are_seen_as_they_are_written():
    task = random_task(4, "lwmecps-v4", **SIZES)
    env = BatchEnv([task], [0])
    limits = split(env.reset([1])[0][0], env.spec)["limits"]
    written = [[np.log(d.timeout_ms / 1000.0), np.log(d.max_replicas / 8.0)] for d in task.deployments]
    np.testing.assert_allclose(limits, np.array(written), rtol=1e-5, atol=1e-6)


def test_the_reward_is_the_sum_of_its_reported_terms():
    env = BatchEnv(alike(3), [0, 1, 2])
    env.reset([1, 2, 3])
    for action in random_actions(env.spec, 3, 5):
        _, _, reward, _, _, info = env.step(action)
        terms = sum(value for key, value in info.items() if key.startswith("reward_"))
        np.testing.assert_allclose(reward, terms, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_continuous_twin_does_what_its_rounded_action_does(env_id):
    task = alike(1, env_id)[0]
    discrete, twin = BatchEnv([task], [0]), BatchEnv([with_env_id(task, env_id + "-continuous")], [0])
    assert twin.spec.nvec == () and twin.spec.mask_size == 0
    discrete.reset([1])
    _, mask = twin.reset([1])
    assert mask.shape == (1, 0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.random((1, twin.spec.action_size), np.float32)
        one, two = twin.step(action), discrete.step(to_discrete(action, discrete_nvec(task)))
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[2], two[2])


def test_every_count_can_be_reached_from_a_continuous_action():
    reached = to_discrete(np.linspace(0, 1, 200)[:, None], (9,))
    assert np.unique(reached).tolist() == list(range(9))
    assert to_discrete(np.array([-3.0, np.nan, 7.0]), (9, 9, 9)).tolist() == [0, 0, 8]


def test_blocks_split_into_named_views():
    env = BatchEnv(alike(1), [0, 0])
    obs, _ = env.reset([1, 2])
    blocks = split(obs, env.spec)
    assert {name: block.shape[1:] for name, block in blocks.items()} == dict(env.spec.blocks)
    assert sum(block[0].size for block in blocks.values()) == env.spec.obs_size


@pytest.mark.parametrize(
    ("env_id", "nvec", "entity"),
    [
        ("lwmecps-v1", (3,), "global"),
        ("lwmecps-v2", (4,), "global"),
        ("lwmecps-v3", (8,) * 3, "deployment"),
        ("lwmecps-v4", (8,) * 12, "pair"),
    ],
)
def test_the_spec_says_what_actions_belong_to(env_id, nvec, entity):
    spec = env_spec(alike(1, env_id)[0])
    assert (spec.nvec, spec.action_entity, spec.action_size) == (nvec, entity, len(nvec))


def test_tasks_of_different_sizes_do_not_mix():
    with pytest.raises(InvalidInput, match=r"tasks\[1\]"):
        BatchEnv([random_task(1, nodes=3, deployments=2), random_task(1, nodes=4, deployments=2)], [0, 1])


def test_a_task_index_out_of_range_is_refused():
    with pytest.raises(InvalidInput, match="task_of"):
        BatchEnv(alike(2), [0, 2])


def test_an_action_of_the_wrong_shape_is_refused():
    env = BatchEnv(alike(1), [0])
    env.reset([1])
    with pytest.raises(InvalidInput, match="action"):
        env.step(np.zeros((1, 3), np.int32))


def test_a_read_only_action_does_not_compile_the_loop_again():
    env = BatchEnv(alike(1), [0])
    env.reset([1])
    action = np.zeros((1, env.spec.action_size), np.int32)
    env.step(action)
    compiled = list(step_loop(False).signatures)
    action.flags.writeable = False
    env.step(action)
    assert step_loop(False).signatures == compiled
