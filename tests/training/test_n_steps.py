"""Rollouts of `n_steps` intervals in place of whole episodes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core.algorithms import networks, ppo
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import train

HORIZON, DISCOUNT = 6, 0.9
TASK = draw(TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=HORIZON), 0)
ALGORITHM = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=1, gae_lambda=1.0, discount_factor=DISCOUNT)


class _Watching:
    """A collector that keeps what it gave."""

    def __init__(self) -> None:
        self.given: list[RolloutBatch] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        batches = LocalCollector().collect(tasks, snapshot, plan)
        if not plan.greedy:
            self.given += batches
        return batches


@pytest.mark.parametrize(("n_steps", "length"), [(0, HORIZON), (4, 4), (9, 9)])
def test_training_collects_rollouts_of_n_steps_and_counts_them(n_steps: int, length: int) -> None:
    watching = _Watching()
    cfg = TrainConfig(total_episodes=4, episodes_per_batch=2, evaluation_episodes=1)
    *_, last = train((TASK,), replace(ALGORITHM, n_steps=n_steps), cfg, watching, seed=1)
    assert [b.reward.shape for b in watching.given] == [(length, 2)] * 2
    assert all(b.obs.shape[0] == length + 1 for b in watching.given)
    assert last.rows[0].env_steps == 4 * length


def test_a_rollout_cut_short_is_the_beginning_of_the_episode_with_the_frame_after_it() -> None:
    first = []
    for n_steps in (0, 4):
        watching = _Watching()
        cfg = TrainConfig(total_episodes=2, episodes_per_batch=2)
        list(train((TASK,), replace(ALGORITHM, n_steps=n_steps), cfg, watching, seed=1))
        first.append(watching.given[0])
    episode, part = first
    np.testing.assert_array_equal(part.obs, episode.obs[:5])
    np.testing.assert_array_equal(part.reward, episode.reward[:4])
    assert episode.truncated[-1].all() and not (part.truncated | part.terminated).any()


@pytest.mark.parametrize("n_steps", [4, 9])
def test_returns_bootstrap_from_the_frame_after_a_cut_and_after_a_truncated_episode(
    n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With λ = 1 a value's target is the discounted rewards up to there, and the value of the frame there."""
    monkeypatch.setattr(ppo, "linear_residual", lambda obs, missed, valid: torch.zeros_like(obs[..., 0]))
    spec = env_spec(TASK)
    algo = ppo.PPO(ALGORITHM, spec)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    plan = CollectionPlan(seeds=(3,), episodes=2, length=n_steps)
    collected = LocalCollector().collect((TASK,), PolicySnapshot(ALGORITHM, params, extra, 0), plan)
    data = {name: x[0] for name, x in stacked(collected).items()}
    found = algo.prepare(params, extra, data, torch.Generator())["target"].reshape(n_steps, 2)
    value = networks.set_value(params["critic"], spec, data["obs"].flatten(0, 1)).reshape(n_steps + 1, 2)
    for b in range(2):
        for t in range(n_steps):
            if data["valid"][t, b]:
                end = next((u for u in range(t, n_steps) if data["truncated"][u, b]), n_steps - 1)
                rewards = sum(DISCOUNT ** (u - t) * data["reward"][u, b] for u in range(t, end + 1))
                expected = rewards + DISCOUNT ** (end + 1 - t) * value[end + 1, b]
                torch.testing.assert_close(found[t, b], expected, rtol=1e-5, atol=1e-5)
