"""Policies that act on what environments show: the same actions as collectors', whatever form observations have."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import lwmecps_core
from lwmecps_core.errors import InvalidInput, NotFound
from lwmecps_core.face.outcome import RunOutcome
from lwmecps_core.face.policies import ActingPolicy, load_policy
from lwmecps_core.policy import PolicyData, to_bytes
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

CITY = TaskDistribution(nodes=3, deployments=2, horizon=12)


def _task(env_id: str = "lwmecps-v3") -> TaskSpec:
    return draw(TaskDistribution(nodes=3, deployments=2, horizon=12, env_id=env_id), 4)  # type: ignore[arg-type]


def _policy(context: str = "none", env_id: str = "lwmecps-v3") -> ActingPolicy:
    cfg = {"name": "ppo", "context": context}
    done = lwmecps_core.train(_task(env_id), cfg, total_episodes=4, seed=2)
    assert done.policy is not None
    return done.policy


def _collected(policy: ActingPolicy, task: TaskSpec, episodes: int = 3) -> Any:
    data = policy.data
    snapshot = PolicySnapshot(data.algorithm, data.params, data.extra, 0)
    plan = CollectionPlan(seeds=(7,), episodes=episodes, greedy=True)
    return LocalCollector().collect([task], snapshot, plan)[0]


@pytest.mark.parametrize("context", ["none", "statistics", "recurrent", "belief"])
def test_a_batch_is_acted_on_as_collectors_act(context: str) -> None:
    policy, task = _policy(context), _task()
    batch = _collected(policy, task)
    envs = lwmecps_core.make_vec(task, 3)
    obs, info = envs.reset(seed=[int(s) for s in episode_seeds(7, 3)])
    for t in range(task.horizon):
        action = policy.act(obs, info)
        np.testing.assert_array_equal(action, batch.action[t])
        obs, _, _, _, info = envs.step(action)


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v4", "lwmecps-v3-continuous"])
def test_one_observation_gives_an_action_of_the_environments_own_form(env_id: str) -> None:
    task = _task(env_id)
    algorithm = "td3" if env_id.endswith("continuous") else "ppo"
    policy = lwmecps_core.train(task, algorithm, total_episodes=4, batch_size=16).policy
    assert policy is not None
    env = lwmecps_core.make_env(task)
    obs, info = env.reset(seed=3)
    for _ in range(4):
        action = policy.act(obs, info)
        assert env.action_space.contains(action), action
        obs, _, _, _, info = env.step(action)


def test_a_dict_and_the_flat_array_of_it_give_one_action() -> None:
    policy, (obs, info) = _policy(), lwmecps_core.make_env(_task()).reset(seed=1)
    flat = np.concatenate([obs[name].reshape(-1) for name, _ in policy.spec.blocks])
    first = policy.act(obs, info)
    policy.reset()
    np.testing.assert_array_equal(first, policy.act(flat, info))


def test_what_is_remembered_is_forgotten_by_a_reset_and_kept_over_episodes() -> None:
    policy, env = _policy("statistics"), lwmecps_core.make_env(_task())
    obs, info = env.reset(seed=1)
    fresh = policy.act(obs, info)
    known = {name: x.copy() for name, x in policy.memory.items()}
    for _ in range(5):
        obs, _, _, _, info = env.step(policy.act(obs, info))
    obs, info = env.reset(seed=1)
    policy.act(obs, info, first=True)
    assert any((policy.memory[name] != known[name]).any() for name in known), "a new episode forgets nothing"
    policy.reset()
    assert policy.memory == {}
    np.testing.assert_array_equal(policy.act(obs, info), fresh)
    assert all((policy.memory[name] == known[name]).all() for name in known)


def test_a_policy_that_remembers_asks_for_the_info() -> None:
    policy, (obs, _) = _policy("statistics"), lwmecps_core.make_env(_task()).reset(seed=1)
    policy.act(obs)
    with pytest.raises(InvalidInput, match=r"info: lacks reward_latency.*the policy remembers"):
        policy.act(obs)


def test_a_policy_acts_on_clusters_of_another_size() -> None:
    larger = lwmecps_core.make_env(draw(TaskDistribution(nodes=5, deployments=5), 1))
    obs, info = larger.reset(seed=0)
    policy = _policy()
    with pytest.raises(InvalidInput, match=r"obs\[deployment\]: has the shape \[5, 11\].*on\(env\)"):
        policy.act(obs, info)
    assert larger.action_space.contains(policy.on(larger).act(obs, info))
    assert policy.on(larger.task).spec == policy.on(larger).spec


def test_actions_are_drawn_with_a_seed() -> None:
    policy, (obs, info) = _policy(), lwmecps_core.make_vec(_task(), 64).reset(seed=1)
    drawn = []
    for seed in (1, 1, 2):
        policy.reset()
        drawn.append(policy.act(obs, info, seed=seed))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()


def test_a_policy_is_loaded_from_its_file_its_bytes_and_itself(trained: RunOutcome, tmp_path: Path) -> None:
    assert trained.policy is not None
    file = trained.policy.save(tmp_path / "new" / "mine.safetensors")
    obs, info = lwmecps_core.make_env("lwmecps-v3").reset(seed=0)
    loaded = [load_policy(x) for x in (file, str(file), file.read_bytes(), trained.policy.data)]
    actions = [policy.act(obs, info).tolist() for policy in loaded]
    assert actions == [actions[0]] * 4
    assert load_policy(file).name == "mine"


def test_an_id_is_fetched_by_whoever_serves_ids(trained: RunOutcome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained.policy is not None
    data: PolicyData = trained.policy.data
    asked = []

    class Point:
        @staticmethod
        def load() -> Any:
            return lambda policy_id, registry: asked.append((policy_id, registry)) or to_bytes(data)

    monkeypatch.setattr(
        "lwmecps_core.face.policies.entry_points", lambda group: [Point] * (group == "lwmecps.policies")
    )
    assert load_policy("policy-1", registry="10.0.0.1:50051").name == "policy-1"
    assert asked == [("policy-1", "10.0.0.1:50051")]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("missing.safetensors", NotFound, "policy file not found: missing.safetensors"),
        (7, InvalidInput, "policy: .*must be a file, an id, bytes or a policy, not int"),
        (b"nonsense", InvalidInput, "not a policy file"),
    ],
)
def test_what_is_no_policy_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_policy(given)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (3, "obs: must be"),
        ("text", "obs: must be numbers, not str"),
        ({"q": 1}, r"obs\[global\]: is missing"),
        (None, "obs"),
    ],
)
def test_an_observation_that_does_not_fit_is_named(obs: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _policy().act(obs)


def test_more_or_fewer_environments_want_a_reset() -> None:
    policy, envs = _policy(), gymnasium.make_vec("lwmecps/v3", 4, tasks=[_task()])
    obs, info = envs.reset(seed=1)
    policy.act(obs, info)
    with pytest.raises(InvalidInput, match=r"2 environments after 4: reset\(\)"):
        policy.act({name: x[:2] for name, x in obs.items()})
