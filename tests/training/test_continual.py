"""Clusters one after another: what a turn is, what is kept of earlier ones, what is measured, and what is refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.validation import continual as toy
from lwmecps_core.algorithms import make
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.forgetting import matrix, measures
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, TransferConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import continual, transfer
from lwmecps_core.training.progress import LoopState, Progress
from lwmecps_core.training.sampling import seeds
from lwmecps_core.training.sources import resolve_source
from lwmecps_core.training.stream import Turn
from lwmecps_core.tree import flatten, global_norm, tree_map

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=6)
CLUSTERS = tuple(draw(CITY, seed) for seed in range(3))
PPO = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=2)
KNOWING = replace(PPO, context="statistics")
RECURRENT = replace(PPO, context="recurrent")
DQN = DQNConfig(hidden_size=(8, 8), updates_per_batch=3, memory_size=100)
CFG = ContinualConfig(episodes_per_cluster=8, evaluation_episodes=2, learning_rate=1e-2)
PLAIN = replace(CFG, replay_share=0.0)


def _policy(algorithm: AlgorithmConfig) -> PolicyData:
    spec = env_spec(CLUSTERS[0])
    params, extra = make(algorithm, spec).init(torch.Generator().manual_seed(0))
    return PolicyData(algorithm, spec, params, extra)


def _met(algorithm: AlgorithmConfig, cfg: ContinualConfig, collector: Any = None, **more: Any) -> list[Progress]:
    found = []
    for one in continual(_policy(algorithm), CLUSTERS, cfg, collector or LocalCollector(), seed=1, **more):
        tensors = {name: x.clone() for name, x in one.state.tensors.items()}  # it is the live state
        state = LoopState(one.state.step, tensors, json.loads(json.dumps(one.state.scalars)))
        found.append(replace(one, state=state))
    return found


class Watched:
    """A collector that notes what it was asked, and what was known of each task."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], bool, tuple[int, ...]]] = []
        self.intervals: list[list[float]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        self.asked.append(([task.name for task in tasks], plan.greedy, plan.seeds))
        self.intervals.append(snapshot.memory.get("context/intervals", torch.zeros(len(tasks), 1))[:, 0].tolist())
        return LocalCollector().collect(tasks, snapshot, plan)


@pytest.mark.parametrize("algorithm", [PPO, KNOWING, RECURRENT, DQN], ids=("ppo", "statistics", "recurrent", "dqn"))
@pytest.mark.parametrize("more", [{}, {"weight_penalty": 0.5, "keep_contexts": False}], ids=("replay", "pulled"))
def test_a_pause_after_any_step_changes_nothing(algorithm: AlgorithmConfig, more: dict[str, Any]) -> None:
    cfg = replace(CFG, **more)
    whole = _met(algorithm, cfg)
    assert len(whole) == 1 + 3 * 2
    for stopped in range(6):
        again = _met(algorithm, cfg, start=whole[stopped].state)
        assert len(again) == 6 - stopped
        for one, other in zip(whole[stopped + 1 :], again, strict=True):
            assert one.metrics == other.metrics and one.step == other.step
            assert [r.reward for r in one.rows] == [r.reward for r in other.rows]
            assert one.state.tensors.keys() == other.state.tensors.keys()
            assert all(torch.equal(x, other.state.tensors[name]) for name, x in one.state.tensors.items())


@pytest.mark.parametrize("algorithm", [PPO, DQN], ids=("ppo", "dqn"))
def test_without_replay_it_is_plain_training_of_one_cluster_after_another(algorithm: AlgorithmConfig) -> None:
    cfg = replace(PLAIN, tasks_per_batch=1, episodes_per_batch=4)
    policy, whole = _policy(algorithm), _met(algorithm, cfg)
    one_by_one = TransferConfig(total_episodes=8, episodes_per_batch=4, learning_rate=1e-2)
    for number, cluster in enumerate(CLUSTERS):
        own = seeds(1, f"cluster-{number}", 1)[0]
        *_, last = transfer(policy, (cluster,), one_by_one, LocalCollector(), seed=own)
        assert last.policy is not None
        policy, ours = last.policy, whole[2 * (number + 1)].policy
        assert ours is not None
        a, b = flatten(ours.params, ""), flatten(policy.params, "")
        assert all(torch.equal(x, b[name]) for name, x in a.items())


def test_a_turn_mixes_in_as_much_of_earlier_clusters_as_it_should() -> None:
    for share, width in ((0.0, 4), (0.25, 4), (0.5, 3), (0.9, 1)):
        turn = Turn(CLUSTERS, replace(CFG, replay_share=share, tasks_per_batch=width), seed=3)
        places = np.array([turn.places(step) for step in range(2000)])
        assert places.shape == (2000, width)
        assert (places != 2).mean() == pytest.approx(share, abs=0.03)
        if share:
            assert (places[places != 2] == 0).mean() == pytest.approx(0.5, abs=0.05)  # each as likely
        assert turn.places(7) == turn.places(7)
    assert Turn(CLUSTERS[:1], CFG, seed=3).places(0) == [0] * 4  # there is nothing before the first


def test_the_first_turn_knows_of_no_replay_and_the_others_say_how_much() -> None:
    watched = Watched()
    found = _met(PPO, CFG, watched)
    names = [names for names, greedy, _ in watched.asked if not greedy]
    assert names[:2] == [[CLUSTERS[0].name] * 4] * 2
    assert all(n.count(CLUSTERS[1].name) == n.count(CLUSTERS[0].name) == 2 for n in names[2:4])
    assert [p.metrics.get("replayed") for p in found] == [None, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]


def test_measurements_are_paired_and_without_chance_and_say_what_came_before() -> None:
    watched = Watched()
    found = _met(PPO, CFG, watched)
    every = [t.name for t in CLUSTERS]
    measured = [(names, seed) for names, greedy, seed in watched.asked if greedy]
    assert len(measured) == 4 and len(set(map(str, measured))) == 1 and measured[0][0] == every
    rows = [row for p in found for row in p.rows]
    assert [(r.inner_steps, r.task) for r in rows] == [(met, name) for met in range(4) for name in every]
    counts = {name: 0 for name in every}
    for names, greedy, _ in watched.asked[:-1]:
        for name in names if not greedy else ():
            counts[name] += CFG.episodes_per_batch
    assert [(r.env_steps, r.episode) for r in rows[-3:]] == [(6 * n, n + 1) for n in counts.values()]
    assert sum(counts.values()) == 3 * CFG.episodes_per_cluster
    assert all((r.support_reward_mean is None) is (r.env_steps == 0) for r in rows)
    _, r = matrix(rows)
    assert {n: found[-1].metrics[n] for n in measures(r, 3)} == measures(r, 3)
    assert not any(name in found[1].metrics for name in measures(r, 3))


def test_contexts_are_kept_for_each_cluster_and_found_again() -> None:
    watched = Watched()
    _met(KNOWING, CFG, watched)
    kept: dict[str, float] = dict.fromkeys((t.name for t in CLUSTERS), 0.0)
    for (names, greedy, _), known in zip(watched.asked, watched.intervals, strict=True):
        assert known == [kept[name] for name in names]
        kept |= {name: kept[name] + CITY.horizon * CFG.episodes_per_batch for name in set(names)} if not greedy else {}
    assert all(kept.values())
    forgetful = Watched()
    _met(KNOWING, replace(CFG, keep_contexts=False), forgetful)
    assert not any(any(known) for known in forgetful.intervals)


def test_without_steps_the_policy_stays_as_it_is_and_remembers() -> None:
    found = _met(KNOWING, replace(PLAIN, learning_rate=0.0))
    start, last = _policy(KNOWING), found[-1].policy
    assert last is not None
    assert float(global_norm(tree_map(torch.sub, last.params, start.params))) == 0.0
    _, r = matrix([row for p in found for row in p.rows])
    assert all(r[j + 1, j] == r[3, j] for j in range(3)) and (r[3] != r[0]).any()


def test_a_penalty_holds_weights_where_they_were() -> None:
    moved = []
    for weight in (0.0, 1.0, 1000.0):
        last = _met(PPO, replace(PLAIN, weight_penalty=weight))[-1].policy
        assert last is not None
        moved.append(float(global_norm(tree_map(torch.sub, last.params, _policy(PPO).params))))
    assert moved[0] > moved[1] > moved[2]


def test_two_clusters_that_contradict_each_other_are_forgotten_unless_they_come_again() -> None:
    plain, replay = (toy.met(toy.TOLD, cfg, seed=0) for cfg in (toy.PLAIN, toy.REPLAY))
    assert plain["learnt_reward"] > -0.5 and replay["learnt_reward"] > -0.5  # both learn each of them; the worst is −8
    assert plain["forgetting"] > 5.0
    assert replay["forgetting"] < 0.5


@pytest.mark.parametrize("tasks", [CLUSTERS[:2] + CLUSTERS[:1], (*CLUSTERS, replace(CLUSTERS[1], horizon=6))])
def test_two_clusters_of_one_name_are_refused(tasks: tuple[TaskSpec, ...]) -> None:
    with pytest.raises(InvalidInput, match="two of them are called 'mec-city-") as refused:
        next(continual(_policy(PPO), tasks, CFG, LocalCollector(), seed=1))
    assert "\n" not in str(refused.value)


def test_a_policy_that_does_not_fit_a_later_cluster_is_refused_at_once() -> None:
    other = replace(draw(replace(CITY, env_id="lwmecps-v4"), 9), name="other")
    with pytest.raises(InvalidInput, match="task other"):
        next(continual(_policy(PPO), (*CLUSTERS, other), CFG, LocalCollector(), seed=1))


def test_streams_are_bounded_and_need_to_be_drawn_first() -> None:
    with pytest.raises(InvalidInput, match="num_tasks: must be set"):
        resolve_source("continual", [CITY], 0, 0)
    with pytest.raises(InvalidInput, match="task_ids: a run of kind continual takes 100 at most, not 101"):
        resolve_source("continual", [*CLUSTERS[:1], CITY], 100, 0)
    assert len(resolve_source("continual", [*CLUSTERS[:1], CITY], 99, 0)) == 100  # type: ignore[arg-type]
