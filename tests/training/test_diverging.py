"""Trainings whose weights are no finite numbers any more end at once, and say so."""

from dataclasses import replace

import pytest
import torch

from lwmecps_core.errors import Diverged
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import DQNConfig, MetaConfig, PPOConfig, SACConfig, TrainConfig, TransferConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import meta_train, train, transfer
from lwmecps_core.training.common import check_sound

PPO = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=2)
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8)
TRAIN = TrainConfig(total_episodes=16, episodes_per_batch=4)
ENORMOUS = 1e30


@pytest.mark.parametrize("algorithm", [PPO, DQNConfig(batch_size=8), SACConfig(batch_size=8)])
def test_a_training_that_diverges_ends_with_the_weight_and_the_step(algorithm) -> None:  # type: ignore[no-untyped-def]
    steps = train(CITY, replace(algorithm, learning_rate=ENORMOUS), TRAIN, LocalCollector(), seed=1)
    with pytest.raises(Diverged, match=r"diverged in step \d: (actor|critic)/\S+ is no longer finite"):
        list(steps)


def test_so_do_meta_training_and_transfer() -> None:
    cfg = MetaConfig(num_meta_epochs=4, adaptation_steps=1, meta_batch_size=2, episodes_per_step=1, outer_lr=ENORMOUS)
    with pytest.raises(Diverged, match="diverged in step"):
        list(meta_train(CITY, PPO, cfg, LocalCollector(), seed=1))
    *_, last = train(CITY, PPO, replace(TRAIN, total_episodes=4), LocalCollector(), seed=1)
    moved = TransferConfig(total_episodes=16, learning_rate=ENORMOUS)
    with pytest.raises(Diverged, match="diverged in step"):
        list(transfer(last.policy, (draw(CITY, 5),), moved, LocalCollector(), seed=1))


def test_so_does_a_belief_that_is_lost_in_the_last_step() -> None:
    believing = replace(PPO, context="belief", belief_lr=ENORMOUS)
    with pytest.raises(Diverged, match=r"diverged in step 1: belief/\S+ is no longer finite"):
        list(train(CITY, believing, replace(TRAIN, total_episodes=4), LocalCollector(), seed=1))
    cfg = MetaConfig(num_meta_epochs=1, adaptation_steps=1, meta_batch_size=2, episodes_per_step=1)
    with pytest.raises(Diverged, match=r"diverged in step 1: belief/"):
        list(meta_train(CITY, believing, cfg, LocalCollector(), seed=1))


def test_one_of_several_policies_may_be_lost_and_not_all() -> None:
    lost, sound = torch.full((1, 3), torch.nan), torch.ones(1, 3)
    check_sound({"actor": {"a": torch.cat([lost, sound]), "b": torch.zeros(2)}}, 0)
    with pytest.raises(Diverged, match="step 3: actor/b is no longer finite"):
        check_sound({"actor": {"a": torch.ones(2, 3), "b": torch.full((2,), torch.inf)}}, 2)
    # Each set has lost something, though no leaf is lost in all of them.
    with pytest.raises(Diverged, match="step 1: actor/a"):
        check_sound({"actor": {"a": torch.cat([lost, sound]), "b": torch.tensor([0.0, torch.nan])}}, 0)
