"""What learning on a cluster cost its users is told beside what came of it."""

from copy import deepcopy

import numpy as np
import pytest

from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import train
from lwmecps_core.training.progress import LoopState, Progress

TASKS = tuple(draw(TaskDistribution(nodes=2, deployments=2, horizon=8), i) for i in range(3))
PPO = PPOConfig(hidden_size=(8,), batch_size=16)
CFG = TrainConfig(total_episodes=8, episodes_per_batch=2, independent=True, evaluation_episodes=2)


def _trained(start: LoopState | None = None) -> list[Progress]:
    return [deepcopy(step) for step in train(TASKS, PPO, CFG, LocalCollector(), seed=1, start=start)]


def test_rows_of_independent_policies_say_what_their_episodes_earned_before_also_when_resumed() -> None:
    steps = _trained()
    earned = [row.support_reward_mean for row in steps[-1].rows]
    assert len({*earned}) == len(TASKS)
    assert np.mean([x or 0.0 for x in earned]) == pytest.approx(np.mean([s.metrics["total_reward"] for s in steps]))
    assert [row.support_reward_mean for row in _trained(steps[1].state)[-1].rows] == earned


def test_a_checkpoint_that_does_not_hold_it_leaves_it_open() -> None:
    older = _trained()[1].state
    del older.tensors["earned"]
    assert {row.support_reward_mean for row in _trained(older)[-1].rows} == {None}
