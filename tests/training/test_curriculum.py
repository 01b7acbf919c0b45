"""Training with a curriculum: what is learnt from, scores, that a pause changes nothing, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.algorithms.ppo import PPO
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    AlgorithmConfig,
    DQNConfig,
    FOMAMLConfig,
    MetaConfig,
    PPOConfig,
    SACConfig,
    TrainConfig,
)
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import meta_train, train
from lwmecps_core.training.progress import Progress
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.scores import REGRETS, regret, value_loss

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=6)
GIVEN = tuple(draw(CITY, seed) for seed in range(8))
KNOWING = PPOConfig(context="statistics", hidden_size=(4, 4))
TRAINING = TrainConfig(
    total_episodes=10 * 6, episodes_per_batch=2, tasks_per_batch=3, collections_per_task=2, curriculum="replay"
)
ALWAYS_FRESH = replace(TRAINING, replay_share=0.0)


class Watched:
    """A collector that notes which tasks it was given, and what was known of each."""

    def __init__(self) -> None:
        self.tasks: list[list[str]] = []
        self.intervals: list[list[float]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        self.tasks.append([task.name for task in tasks])
        known = snapshot.memory.get("context/intervals", torch.zeros(len(tasks), plan.episodes))
        self.intervals.append(known[:, 0].tolist())
        return LocalCollector().collect(tasks, snapshot, plan)


def _trained(source: Any, algorithm: AlgorithmConfig, cfg: TrainConfig, **more: Any) -> list[Progress]:
    found = []
    for progress in train(source, algorithm, cfg, LocalCollector(), seed=1, **more):
        tensors = {name: x.clone() for name, x in progress.state.tensors.items()}  # it is the live state
        found.append(replace(progress, state=replace(progress.state, tensors=tensors)))
    return found


@pytest.mark.parametrize("source", [CITY, GIVEN], ids=("drawn", "given"))
def test_a_curriculum_that_never_replays_is_uniform_sampling(source: Any) -> None:
    uniform = _trained(source, KNOWING, replace(TRAINING, curriculum="uniform"))
    fresh = _trained(source, KNOWING, ALWAYS_FRESH)
    for a, b in zip(uniform, fresh, strict=True):
        assert not any(name.startswith("curriculum") for name in a.state.tensors)
        assert all(torch.equal(x, b.state.tensors[name]) for name, x in a.state.tensors.items())
        assert b.metrics.items() >= a.metrics.items() and b.metrics["curriculum_replayed"] == 0.0


@pytest.mark.parametrize("algorithm", [KNOWING, SACConfig(hidden_size=(4, 4), memory_size=64, updates_per_batch=2)])
@pytest.mark.parametrize("score", ["value_loss", "quick_regret", "regret"])
@pytest.mark.parametrize(
    "settings", [{}, {"curriculum": "mutate"}, {"curriculum": "mutate", "learn_from_fresh": False}]
)
def test_a_pause_changes_nothing(algorithm: AlgorithmConfig, score: str, settings: dict[str, Any]) -> None:
    cfg = replace(TRAINING, curriculum_score=score, **settings)  # type: ignore[arg-type]
    source = replace(CITY, env_id="lwmecps-v3-continuous") if algorithm.name == "sac" else CITY
    whole = _trained(source, algorithm, cfg)
    for stopped in (0, 3, 8):
        again = _trained(source, algorithm, cfg, start=whole[stopped].state)
        assert len(again) == 9 - stopped
        for one, other in zip(whole[stopped + 1 :], again, strict=True):
            assert one.metrics == other.metrics
            assert one.state.tensors.keys() == other.state.tensors.keys()
            assert all(torch.equal(x, other.state.tensors[name]) for name, x in one.state.tensors.items())
    assert any(p.metrics["curriculum_replayed"] > 0 for p in whole)


META = MetaConfig(
    learner=FOMAMLConfig(),
    meta_batch_size=3,
    adaptation_steps=2,
    episodes_per_step=2,
    num_meta_epochs=9,
    warmup_epochs=4,
    curriculum="mutate",
)


def _meta_trained(cfg: MetaConfig, start: Any = None) -> list[Progress]:
    found = []
    for progress in meta_train(CITY, PPOConfig(hidden_size=(4, 4)), cfg, LocalCollector(), seed=1, start=start):
        tensors = {name: x.clone() for name, x in progress.state.tensors.items()}
        found.append(replace(progress, state=replace(progress.state, tensors=tensors)))
    return found


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("score", ["value_loss", "quick_regret"])
def test_meta_training_has_it_through_the_warm_up_and_after_and_a_pause_changes_nothing(
    score: Any, fresh: bool
) -> None:
    cfg = replace(META, curriculum_score=score, learn_from_fresh=fresh)
    whole = _meta_trained(cfg)
    for stopped in (1, 3, 4, 7):
        again = _meta_trained(cfg, whole[stopped].state)
        assert len(again) == 8 - stopped
        for one, other in zip(whole[stopped + 1 :], again, strict=True):
            assert one.metrics == pytest.approx(other.metrics, rel=0, abs=0, nan_ok=True)
            assert one.state.tensors.keys() == other.state.tensors.keys()
            assert all(torch.equal(x, other.state.tensors[name]) for name, x in one.state.tensors.items())
    assert any(p.metrics["curriculum_replayed"] > 0 for p in whole[5:])


def test_meta_training_that_never_replays_is_uniform_too() -> None:
    uniform = _meta_trained(replace(META, curriculum="uniform"))
    fresh = _meta_trained(replace(META, curriculum="replay", replay_share=0.0))
    for a, b in zip(uniform, fresh, strict=True):
        assert all(torch.equal(x, b.state.tensors[name]) for name, x in a.state.tensors.items())


def test_what_is_replayed_begins_with_nothing_known_and_what_stays_goes_on() -> None:
    watched = Watched()
    for _ in train(CITY, KNOWING, replace(TRAINING, curriculum="mutate"), watched, seed=1):
        pass
    assert len({name for step in watched.tasks for name in step}) < len(watched.tasks) * 3 / 2 - 1  # some came again
    assert any("." in name for step in watched.tasks for name in step)
    for before, now, known in zip(watched.tasks, watched.tasks[1:], watched.intervals[1:], strict=False):
        assert known == [6.0 if a == b else 0.0 for a, b in zip(before, now, strict=True)]


def test_the_robust_form_learns_nothing_from_tasks_that_it_meets() -> None:
    robust = _trained(CITY, KNOWING, replace(TRAINING, learn_from_fresh=False))
    start, _ = algorithms.make(KNOWING, env_spec(draw(CITY, 0))).init(torch_generator(1, "weights"))
    name = next(iter(start["critic"]))
    moved = [p for p in robust if p.policy and not torch.equal(p.policy.params["critic"][name], start["critic"][name])]
    first = next(i for i, p in enumerate(robust) if p.metrics["curriculum_replayed"] > 0)
    assert first > 0 and len(moved) == len(robust) - first
    assert "critic_loss" not in robust[0].metrics and "critic_loss" in robust[first].metrics


def test_the_robust_form_learns_from_fewer_tasks_than_places() -> None:
    robust = _trained(GIVEN[:2], KNOWING, replace(TRAINING, learn_from_fresh=False))
    assert sum("critic_loss" in step.metrics for step in robust) > len(robust) / 2
    assert len(robust[-1].state.tensors["curriculum/known"]) == 2


def test_what_a_policy_lacks_is_told_by_the_very_episode_that_it_had() -> None:
    """Who follows the oracle's plans lacks nothing; who leaves all as it is, what the oracle earns more."""
    tasks, seeds = GIVEN[:3], (5, 6, 7)
    planned, left = run_baseline("oracle", tasks, seeds, 2), run_baseline("static", tasks, seeds, 2)
    own = [replace(b, seed=seed) for b, seed in zip(planned, seeds, strict=True)]
    np.testing.assert_allclose(regret(tasks, own, REGRETS["regret"]), 0.0, atol=1e-4)
    static = [replace(b, seed=seed) for b, seed in zip(left, seeds, strict=True)]
    found = regret(tasks, static, REGRETS["regret"])
    more = [float((p.reward - s.reward)[:, 0].sum()) for p, s in zip(planned, left, strict=True)]
    np.testing.assert_allclose(found, more, atol=1e-4)
    quick = regret(tasks, static, REGRETS["quick_regret"])
    assert (quick <= found + 1e-9).all() and (quick > 0).any()


def test_a_collected_batch_says_by_which_seed_its_episodes_can_be_had_again() -> None:
    algo = algorithms.make(KNOWING, env_spec(GIVEN[0]))
    params, extra = algo.init(torch_generator(1, "weights"))
    shot = PolicySnapshot(KNOWING, params, extra, 0)
    held = CollectionPlan(seeds=(5, 6), episodes=2, held=(True, True))
    batches = LocalCollector().collect(GIVEN[:2], shot, held)
    again = run_baseline("static", GIVEN[:2], (5, 6), 2)
    assert [b.seed for b in batches] == [5, 6]
    assert all(np.array_equal(a.reward, b.reward) for a, b in zip(batches, again, strict=True))


def test_a_value_loss_is_the_critics_own_on_each_task() -> None:
    algo = algorithms.make(KNOWING, env_spec(GIVEN[0]))
    params, extra = algo.init(torch_generator(1, "weights"))
    shot = PolicySnapshot(KNOWING, params, extra, 0)
    batches = LocalCollector().collect(GIVEN[:3], shot, CollectionPlan(seeds=(1, 2, 3), episodes=2))
    found = value_loss(algo, shot, batches, torch_generator(1, "noise"))
    for score, batch in zip(found, batches, strict=True):
        one = algo.prepare(params, extra, {k: x[0] for k, x in stacked([batch]).items()}, torch_generator(1, "noise"))
        assert score == pytest.approx(float(algo.losses(params, extra, one)["critic"]), rel=1e-5)


def test_without_a_critic_there_is_no_value_loss() -> None:
    class Actor(PPO):
        def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, torch.Tensor]:
            return {"actor": self.actor_loss(params, batch)}

    algo = Actor(PPOConfig(hidden_size=(4, 4)), env_spec(GIVEN[0]))
    shot = PolicySnapshot(algo.cfg, *algo.init(torch_generator(1, "weights")), 0)
    batches = LocalCollector().collect(GIVEN[:1], shot, CollectionPlan(seeds=(1,), episodes=1))
    with pytest.raises(InvalidInput, match="training: curriculum_score: value_loss"):
        value_loss(algo, shot, batches, torch_generator(1, "noise"))


@pytest.mark.parametrize(
    ("source", "algorithm", "settings", "field"),
    [
        (GIVEN, KNOWING, {"curriculum": "mutate"}, "training: curriculum: mutate"),
        (GIVEN[:1], PPOConfig(), {"independent": True, "collections_per_task": 1}, "training: curriculum: is of one"),
        (CITY, KNOWING, {"learn_from_fresh": False, "replay_share": 0.0}, "training: replay_share"),
        (CITY, KNOWING, {"replay_size": 2}, "training: replay_size"),
        (CITY, PPOConfig(n_steps=3), {"curriculum_score": "regret"}, "training: curriculum_score: .*n_steps"),
        (
            replace(CITY, env_id="lwmecps-v1"),
            DQNConfig(),
            {"curriculum_score": "quick_regret"},
            "curriculum_score: .*v1",
        ),
    ],
)
def test_what_can_not_work_is_refused_by_name(
    source: Any, algorithm: AlgorithmConfig, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        _trained(source, algorithm, replace(TRAINING, **settings))
