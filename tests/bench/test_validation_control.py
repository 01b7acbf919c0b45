"""The validation on Gymnasium's tasks: what its collector hands to a learner, and the form of its results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.validation import control, results
from bench.validation.gym_collector import GymCollector, GymTask, greedy, own_units, returns
from lwmecps_core import algorithms
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, SACConfig
from lwmecps_core.seeding import generator
from lwmecps_core.tree import leaves

CARTPOLE, PENDULUM = GymTask("CartPole-v1"), GymTask("Pendulum-v1")
PPO = PPOConfig(hidden_size=(8, 8), network="mlp", n_steps=40)
SAC = SACConfig(hidden_size=(8, 8), network="mlp", batch_size=16, updates_per_batch=2)
PLAN = CollectionPlan(seeds=(7,), episodes=3, length=40)


def _policy(task: GymTask, cfg: AlgorithmConfig) -> PolicySnapshot:
    params, extra = algorithms.make(cfg, task.spec()).init(torch.Generator().manual_seed(0))
    return PolicySnapshot(cfg, params, extra, 5)


def test_frames_are_those_of_the_environment_under_the_stored_actions() -> None:
    (batch,) = GymCollector(CARTPOLE, 0).collect((CARTPOLE,), _policy(CARTPOLE, PPO), PLAN)
    env = CARTPOLE.make(3)
    obs, _ = env.reset(seed=int(generator(7).integers(2**31)))
    assert batch.obs.shape == (41, 3, 4) and batch.action.shape == (40, 3, 1) and batch.mask.shape == (41, 3, 2)
    for t in range(40):
        np.testing.assert_array_equal(batch.obs[t], obs)
        obs, reward, terminated, _, _ = env.step(batch.action[t, :, 0])
        np.testing.assert_array_equal(batch.reward[t], reward * batch.valid[t])
        np.testing.assert_array_equal(batch.terminated[t], terminated)
    np.testing.assert_array_equal(batch.obs[40], obs)
    assert batch.policy_version == 5


def test_only_the_step_after_an_episode_carries_a_reset() -> None:
    (batch,) = GymCollector(CARTPOLE, 0).collect((CARTPOLE,), _policy(CARTPOLE, PPO), PLAN)
    assert batch.terminated.any() and not batch.truncated.any()
    np.testing.assert_array_equal(batch.valid[1:], ~batch.terminated[:-1])
    fallen = np.argwhere(batch.terminated[:-1])
    for t, b in fallen:
        assert abs(batch.obs[t + 1, b, 2]) > 0.2 and np.abs(batch.obs[t + 2, b]).max() <= 0.05
        assert batch.reward[t + 1, b] == 0.0


def test_pendulum_is_truncated_after_its_200_steps_and_never_terminated() -> None:
    plan = replace(PLAN, length=203)
    (batch,) = GymCollector(PENDULUM, 0).collect((PENDULUM,), _policy(PENDULUM, SAC), plan)
    assert batch.truncated[199].all() and batch.truncated.sum() == 3 and not batch.terminated.any()
    assert not batch.valid[200].any() and batch.valid[201].all()


def test_a_collection_goes_on_where_the_last_one_ended() -> None:
    collector, policy = GymCollector(PENDULUM, 7), _policy(PENDULUM, SAC)
    (first,) = collector.collect((PENDULUM,), policy, replace(PLAN, length=0))
    (second,) = collector.collect((PENDULUM,), policy, replace(PLAN, length=0, seeds=(8,)))
    assert first.length == second.length == 7 and collector.taken == 42
    np.testing.assert_array_equal(first.obs[7], second.obs[0])


def test_the_first_collection_is_random_if_asked_and_rewards_are_scaled() -> None:
    plain, scaled = (
        GymCollector(PENDULUM, 5, warm_up=50, reward_scale=scale).collect(
            (PENDULUM,), _policy(PENDULUM, SAC), replace(PLAN, length=0)
        )[0]
        for scale in (1.0, 0.5)
    )
    assert plain.length == 50 and plain.action.min() < 0.1 and plain.action.max() > 0.9
    np.testing.assert_allclose(scaled.reward, 0.5 * plain.reward)


def test_observations_are_divided_by_their_units() -> None:
    plain, divided = (
        GymCollector(CARTPOLE, 0, units=units).collect((CARTPOLE,), _policy(CARTPOLE, PPO), replace(PLAN, length=1))[0]
        for units in ((), (2.0, 1.0, 0.1, 1.0))
    )
    np.testing.assert_allclose(divided.obs[0] * np.array([2.0, 1.0, 0.1, 1.0]), plain.obs[0], rtol=1e-6)


def test_box_actions_are_scaled_to_the_range_and_cut_there() -> None:
    action = np.array([[0.0], [0.5], [1.0], [1.5]], np.float32)
    np.testing.assert_allclose(own_units(PENDULUM.make(1), action), [[-2.0], [0.0], [2.0], [2.0]])


def test_returns_are_those_of_one_episode_each() -> None:
    found = returns(CARTPOLE, lambda obs: np.zeros(len(obs), np.int64), 4, 0)
    assert ((found >= 8) & (found <= 11)).all()  # always to the left
    assert (returns(PENDULUM, greedy(PENDULUM, _policy(PENDULUM, SAC)), 2, 0) < -300).all()


@pytest.mark.parametrize(
    "ours",
    [
        control.Ours(replace(PPO, n_steps=16), envs=4, steps=16),
        control.Ours(DQNConfig(hidden_size=(8, 8), network="mlp", updates_per_batch=2), envs=4, steps=16, warm_up=16),
    ],
)
def test_training_updates_the_weights_and_keeps_to_its_budget(
    ours: control.Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[PolicySnapshot] = []

    def watched(task: GymTask, snapshot: PolicySnapshot, units: tuple[float, ...]) -> object:
        ends.append(snapshot)
        return greedy(task, snapshot, units)

    monkeypatch.setattr(control, "greedy", watched)
    case = replace(control.CASES[0], ours=ours, budget=128)
    assert 100 <= control.train_ours(case, 0).steps <= 128
    assert control.train_ours(replace(case, budget=64), 0).steps <= 64
    longer, shorter = (leaves(snapshot.params) for snapshot in ends)
    assert all((a != b).any() for a, b in zip(longer, shorter, strict=True))


def test_results_hold_both_sides_and_their_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "train_ours", lambda case, seed: control.Trained(400.0 + seed, 100, 1.0, 1.0))
    monkeypatch.setattr(control, "train_theirs", lambda case, seed: control.Trained(300.0 + seed, 100, 4.0, 2.0))
    monkeypatch.setattr(results, "version", lambda name: "1")
    rows = control.run(control.CASES[:1], (0, 1, 2), tmp_path / "out.json")
    stored = json.loads((tmp_path / "out.json").read_text())
    assert stored["rows"] == json.loads(json.dumps(rows)) and set(stored["versions"]) == {"python", *control.PACKAGES}
    (row,) = rows
    assert (row["name"], row["budget"], row["seeds"]) == ("PPO CartPole-v1", 100_000, [0, 1, 2])
    assert (row["ours"]["mean"], row["stable_baselines3"]["mean"]) == (401.0, 301.0)
    assert row["ours"]["ci95"] == pytest.approx(4.303 / 3**0.5, abs=0.01)
    assert row["difference"]["low"] == pytest.approx(97.73, abs=0.01) and row["not_lower"]
    assert (row["speed_ratio"], row["cpu_ratio"], row["fast_enough"]) == (4.0, 2.0, True)
    assert row["settings"]["ours"]["algorithm"]["name"] == "ppo"


def test_returns_that_are_all_equal_have_an_interval_too() -> None:
    assert control.difference([500.0, 500.0], [500.0, 500.0]) == (0.0, 0.0)
    low, high = control.difference([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    assert low < -10 < high < 0


def test_stable_baselines3_trains_by_the_same_cases() -> None:
    pytest.importorskip("stable_baselines3")
    trained = control.train_theirs(replace(control.CASES[0], budget=256), 0)
    assert trained.steps == 256 and trained.mean_return > 0
