"""What running statistics find out about a cluster, against what its task file says."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core import context
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.context.base import with_blocks
from lwmecps_core.context.kept import Kept
from lwmecps_core.context.known import AHEAD, SCALE_SERVICE_MS
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import split
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.remembered import WithContext
from lwmecps_core.specs import ALL_ENV_IDS, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

CITY = TaskDistribution(nodes=3, deployments=3, max_replicas=8, horizon=40)


def _quiet(task: TaskSpec) -> TaskSpec:
    """The task with so few users that no replica is ever busy for long."""
    users = tuple(0.1 * users for users in task.workload.base_users)
    return replace(task, workload=replace(task.workload, base_users=users))


def _watched(task: TaskSpec, intervals: int, replicas: int = 8) -> WithContext:
    env = BatchEnv([task], [0])
    known = Statistics(env.spec)
    watched = WithContext(env, known, known.begin(1))
    watched.reset(np.array([3], np.uint64))
    for _ in range(intervals):
        watched.step(np.full((1, env.spec.action_size), replicas, np.int32))
    return watched


def _features(watched: WithContext) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return split(watched._kept.shown[0].copy(), watched.spec)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_request_costs_is_known_after_an_episode(seed: int) -> None:
    task = _quiet(draw(CITY, seed))
    found = SCALE_SERVICE_MS * np.exp(_features(_watched(task, 40))["deployment_context"][:, 0])
    # A pod that has less than a whole CPU takes longer for a request than the CPU time.
    costs = [d.cpu_time_ms / min(1.0, d.cpu_millicores / 1000.0) for d in task.deployments]
    np.testing.assert_allclose(found, costs, rtol=0.15)


def test_what_is_priced_is_known_from_the_terms_of_the_reward() -> None:
    task = draw(CITY, 1)
    o, found = task.objective, _features(_watched(task, 20, replicas=2))["global_context"]
    expected = 0.5 * np.log(0.01 + np.array([o.replicas, 100.0 * o.latency / o.target_latency_ms]))
    np.testing.assert_allclose(found[1:3], expected, atol=0.02)


def test_a_daily_load_is_forecast_after_a_day() -> None:
    spec = env_spec(draw(CITY, 0))
    known, period = Statistics(spec), 40
    kept, terms = Kept(known, known.begin(1)), np.zeros((1, len(REWARD_TERMS)), np.float32)

    def frame(t: int) -> np.ndarray:  # type: ignore[type-arg]
        obs = np.zeros((1, spec.obs_size), np.float32)
        blocks, angle = split(obs[0], spec), 2.0 * np.pi * t / period
        blocks["global"][:2] = np.sin(angle), np.cos(angle)
        rate = np.exp(2.0 + 0.8 * np.sin(angle + 1.0))
        blocks["deployment"][:, 0] = 0.5
        blocks["deployment"][:, 5], blocks["deployment"][:, 4] = np.log(rate), (rate - 1.0) * 0.02
        return obs

    for t in range(2 * period):
        kept.take_in(frame(t), terms, np.array([t == 0]))
        assert (kept.shown[:, spec.obs_size :] == 0.0).all() == (t == 0)
    told = split(kept.shown[0], with_blocks(spec, known.blocks(spec)))
    for i, ahead in enumerate(AHEAD):
        rate = np.exp(split(frame(2 * period - 1 + ahead)[0], spec)["deployment"][0, 5]) - 1.0
        needed = 2.0 + np.log(0.02 + 0.02 * rate)
        np.testing.assert_allclose(told["deployment_context"][:, 2 + i], needed, atol=0.05)


def test_a_deployment_that_is_switched_off_keeps_what_was_known_of_its_load() -> None:
    watched = _watched(replace(draw(CITY, 0), horizon=100), 30)
    before, shown = {name: x.copy() for name, x in watched.memory.items()}, _features(watched)["deployment_context"]
    for _ in range(10):
        obs, *_ = watched.step(np.array([[0, 8, 8]], np.int32))
    known = watched.memory
    for name in ("serving", "times", "load", "load_range", "work", "utilisation"):
        np.testing.assert_array_equal(known[name][0, 0], before[name][0, 0])
        assert not np.array_equal(known[name][0, 1], before[name][0, 1]) or name == "load_range"
    # What would be needed, by the time of day, is still shown.
    now = split(obs[0], watched.spec)["deployment_context"]
    np.testing.assert_allclose(now[0, 1], shown[0, 4], atol=0.7)


def test_what_is_known_goes_on_over_episodes_and_first_frames_and_ends_of_episodes_teach_nothing() -> None:
    task = draw(replace(CITY, horizon=5), 0)
    watched = _watched(task, 5)
    for episode in (1, 2, 3):
        assert watched.memory["intervals"].tolist() == [5.0 * episode]
        before = {name: x.copy() for name, x in watched.memory.items()}
        watched.step(np.zeros((1, 3), np.int32))  # carries the reset
        assert all(np.array_equal(x, before[name]) for name, x in watched.memory.items())
        watched.reset_where(np.array([True]), np.array([episode], np.uint64))
        assert all(np.array_equal(x, before[name]) for name, x in watched.memory.items() if name != "clock")
        for _ in range(5):
            watched.step(np.full((1, 3), 2, np.int32))


def test_only_environments_that_begin_anew_are_shown_anew() -> None:
    env = BatchEnv([draw(CITY, 0), draw(CITY, 1)], [0, 1])
    known = Statistics(env.spec)
    watched = WithContext(env, known, known.begin(2))
    watched.reset(np.array([1, 2], np.uint64))
    for _ in range(4):
        obs, *_ = watched.step(np.full((2, 3), 2, np.int32))
    obs, memory = obs.copy(), {name: x.copy() for name, x in watched.memory.items()}
    again, _ = watched.reset_where(np.array([True, False]), np.array([5, 6], np.uint64))
    assert np.array_equal(again[1], obs[1]) and not np.array_equal(again[0], obs[0])
    assert all(np.array_equal(x[1], memory[name][1]) for name, x in watched.memory.items())


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_clusters_side_by_side_are_known_as_each_by_itself_and_features_are_finite(env_id: str) -> None:
    tasks = [draw(replace(CITY, env_id=env_id), seed) for seed in range(3)]
    rng = np.random.default_rng(0)

    def unrolled(which: list[int]) -> np.ndarray:  # type: ignore[type-arg]
        env = BatchEnv([tasks[k] for k in which], range(len(which)))
        known = Statistics(env.spec)
        watched = WithContext(env, known, known.begin(len(which)))
        frames = [watched.reset(np.array(which, np.uint64))[0].copy()]
        for action in actions:
            frames.append(watched.step(action[which])[0].copy())
        return np.stack(frames)

    spec = env_spec(tasks[0])
    high = spec.nvec[0] if spec.discrete else 2
    numbers = rng.integers(0, high, (12, 3, spec.action_size))
    actions = numbers.astype(np.int32) if spec.discrete else (numbers / 2.0).astype(np.float32)
    together = unrolled([0, 1, 2])
    assert together.shape[-1] == context.widened("statistics", spec).obs_size
    assert np.isfinite(together).all() and (np.abs(together) <= 10.0).all()
    for k in range(3):
        np.testing.assert_array_equal(unrolled([k])[:, 0], together[:, k])


def test_deployments_in_another_order_are_known_in_that_order() -> None:
    spec = env_spec(draw(replace(CITY, env_id="lwmecps-v4"), 0))
    known, order, rng = Statistics(spec), [2, 0, 1], np.random.default_rng(1)
    both = [Kept(known, known.begin(1)) for _ in range(2)]
    for t in range(9):
        obs = rng.uniform(0.1, 0.9, (1, spec.obs_size)).astype(np.float32)
        other = obs.copy()
        for name in ("deployment", "pair", "limits"):
            split(other[0], spec)[name][:] = split(obs[0], spec)[name][order]
        for kept, frame in zip(both, (obs, other), strict=True):
            kept.take_in(frame, np.full((1, 5), -0.3, np.float32), np.array([t == 0]))
    mine, others = (split(kept.shown[0], with_blocks(spec, known.blocks(spec))) for kept in both)
    np.testing.assert_allclose(others["deployment_context"], mine["deployment_context"][order], rtol=1e-6)
    np.testing.assert_allclose(others["pair_context"], mine["pair_context"][order], rtol=1e-6)
    np.testing.assert_allclose(others["node_context"], mine["node_context"], rtol=1e-6)
    np.testing.assert_allclose(others["global_context"], mine["global_context"], rtol=1e-6)


def test_what_is_known_is_a_copy_of_what_was_given() -> None:
    env = BatchEnv([draw(CITY, 0)] * 2, [0, 1])
    known = Statistics(env.spec)
    given = {name: np.broadcast_to(x, (2, *x.shape[1:])) for name, x in known.begin(1).items()}
    watched = WithContext(env, known, given)
    watched.reset(np.array([1, 2], np.uint64))
    watched.step(np.full((2, 3), 2, np.int32))
    assert watched.memory["intervals"].tolist() == [1.0, 1.0]
    assert all(np.array_equal(x[:1], known.begin(1)[name]) for name, x in given.items())
