"""Trainings whose weights are no finite numbers any more end at once, and say so."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lwmecps_core.errors import Diverged
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import DQNConfig, MetaConfig, PPOConfig, SACConfig, TrainConfig, TransferConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import meta_train, train, transfer
from lwmecps_core.training.common import check_sound
from lwmecps_core.training.loop import Descent

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


def test_of_policies_side_by_side_the_first_that_is_lost_is_named_with_its_task() -> None:
    lost, sound = torch.full((1, 3), torch.nan), torch.ones(1, 3)
    check_sound({"actor": {"a": torch.ones(2, 3)}}, 0, ["t1", "t2"])
    one = {"actor": {"a": torch.ones(3, 3), "b": torch.cat([sound, lost, lost])}}
    with pytest.raises(Diverged, match=r"in step 3 on task t2 and 1 more: actor/b is no longer finite"):
        check_sound(one, 2, ["t1", "t2", "t3"])


def test_independent_training_ends_where_one_of_its_policies_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(self: Descent, *args: Any, **more: Any) -> dict[str, float]:
        found = learn(self, *args, **more)
        for leaf in self._outer.params["actor"].values():
            leaf.data[1] = torch.nan
        return found

    learn = Descent._learn
    monkeypatch.setattr(Descent, "_learn", spoilt)
    tasks = (draw(CITY, 5), draw(CITY, 6))
    with pytest.raises(Diverged, match=f"in step 1 on task {tasks[1].name}: actor/"):
        list(train(tasks, PPO, replace(TRAIN, independent=True), LocalCollector(), seed=1))


def test_one_policy_is_lost_by_whichever_weight_is_no_number() -> None:
    check_sound({"actor": {"a": torch.ones(1, 3), "b": torch.zeros(1)}}, 0)
    with pytest.raises(Diverged, match="in step 3: actor/b is no longer finite"):
        check_sound({"actor": {"a": torch.ones(1, 3), "b": torch.full((1,), torch.inf)}}, 2)
