"""Tasks that stay for several collections: who stays, what is remembered of them, and that a pause changes nothing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import train
from lwmecps_core.training.sampling import renewed, seeds, some_tasks

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=5)
KNOWING = PPOConfig(context="statistics", hidden_size=(4, 4))
TRAINING = TrainConfig(total_episodes=6 * 6, episodes_per_batch=2, tasks_per_batch=3, collections_per_task=2)


class Watched:
    """A collector that notes what it was asked for."""

    def __init__(self) -> None:
        self.tasks: list[list[str]] = []
        self.intervals: list[list[float]] = []

    def collect(self, tasks: list[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        self.tasks.append([task.name for task in tasks])
        known = snapshot.memory.get("context/intervals", torch.zeros(len(tasks), plan.episodes))
        self.intervals.append(known[:, 0].tolist())
        return LocalCollector().collect(tasks, snapshot, plan)


@pytest.mark.parametrize("source", [CITY, tuple(draw(CITY, seed) for seed in range(9))], ids=("drawn", "given"))
@pytest.mark.parametrize("times", [1, 2, 3])
def test_tasks_stay_as_often_as_asked_and_take_turns(
    source: TaskDistribution | tuple[TaskSpec, ...], times: int
) -> None:
    steps = [some_tasks(source, 3, 1, step, times) for step in range(12)]
    for step, (before, now) in enumerate(pairwise(steps), start=1):
        for place, new in enumerate(renewed(3, step, times)):
            assert new or now[place] == before[place]
        assert 3 // times <= sum(renewed(3, step, times)) <= -(-3 // times)
    if source is CITY:
        assert len({task.name for step in steps for task in step}) == pytest.approx(36 / times, abs=3)
    assert steps[4] == some_tasks(source, 3, 1, 4, times)


def test_tasks_of_a_batch_that_all_change_at_once_are_drawn_together() -> None:
    given = tuple(draw(CITY, seed) for seed in range(9))
    for step in range(20):
        assert len({task.name for task in some_tasks(given, 9, 1, step)}) == 9
    assert some_tasks(CITY, 3, 1, 5) == [draw(CITY, seed) for seed in seeds(1, "tasks-5", 3)]


def test_what_is_remembered_goes_on_with_the_tasks_that_stay() -> None:
    watched = Watched()
    for _ in train(CITY, KNOWING, TRAINING, watched, seed=1):
        pass
    assert watched.intervals[0] == [0.0] * 3
    for step in range(1, 6):
        new = renewed(3, step, 2)
        assert watched.intervals[step] == [0.0 if fresh else 5.0 for fresh in new]
        assert [a == b for a, b in zip(watched.tasks[step], watched.tasks[step - 1], strict=True)] == [
            not x for x in new
        ]


def test_policies_that_keep_their_tasks_refuse_to_be_told_for_how_long() -> None:
    cfg = TrainConfig(independent=True, collections_per_task=2)
    with pytest.raises(InvalidInput, match="collections_per_task"):
        next(train((draw(CITY, 1),), KNOWING, cfg, LocalCollector(), seed=1))


def test_without_it_nothing_is_kept() -> None:
    watched = Watched()
    for progress in train(CITY, KNOWING, replace(TRAINING, collections_per_task=1), watched, seed=1):
        assert not any(name.startswith("remembered") for name in progress.state.tensors)
    assert watched.intervals == [[0.0] * 3] * 6


@pytest.mark.parametrize(
    "algorithm", [KNOWING, replace(KNOWING, context="recurrent", n_steps=10), PPOConfig(hidden_size=(4, 4))]
)
def test_a_pause_changes_nothing(algorithm: PPOConfig) -> None:
    whole = []
    for progress in train(CITY, algorithm, TRAINING, LocalCollector(), seed=1):
        kept = {name: x.clone() for name, x in progress.state.tensors.items()}  # it is the live state
        whole.append(replace(progress.state, tensors=kept))
    again = list(train(CITY, algorithm, TRAINING, LocalCollector(), seed=1, start=whole[2]))
    assert len(again) == 3
    for name, tensor in whole[-1].tensors.items():
        assert np.array_equal(tensor.numpy(), again[-1].state.tensors[name].numpy())
