"""What adaptation may cost: tasks that are left as they were deployed, and what is kept at the end."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from lwmecps_core.algorithms import make
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AdaptConfig, EvaluateConfig, PPOConfig, TD3Config
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, evaluate
from lwmecps_core.training.guard import SETBACK, Guard
from lwmecps_core.training.sampling import seeds

PPO = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=2)
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8)
TASKS: tuple[TaskSpec, ...] = tuple(draw(CITY, seed) for seed in range(10))
CFG = AdaptConfig(adaptation_steps=3, inner_lr=0.3, episodes_per_step=2, evaluation_episodes=2)


def _steady() -> PolicyData:
    """A policy that asks for two replicas of everything: better than the placement on some tasks, worse on others."""
    spec = env_spec(TASKS[0])
    params, extra = make(PPO, spec).init(torch.Generator().manual_seed(0))
    params["actor"]["out.bias"] = torch.tensor([0.0, -2.0, -6.0])
    return PolicyData(PPO, spec, params, extra)


class Watched:
    """Remembers which tasks were held in support episodes, and what these earned."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[bool, ...], list[float]]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        batches = LocalCollector().collect(tasks, snapshot, plan)
        if not plan.greedy:
            self.seen.append((plan.held, _rewards(batches)))
        return batches


def _rewards(batches: list[RolloutBatch]) -> list[float]:
    return [float(b.reward.sum(0).mean()) for b in batches]


def _static(purpose: str, episodes: int) -> list[float]:
    return _rewards(run_baseline("static", TASKS, seeds(5, purpose, len(TASKS)), episodes))


def test_a_task_on_which_support_episodes_cost_too_much_is_left_alone_from_then_on() -> None:
    watched = Watched()
    *_, last = adapt(_steady(), TASKS, CFG, watched, seed=5)
    alone, alone_at_first = _static("support-1", CFG.episodes_per_step), _static("support-1", 1)
    (_, tried), *collections, (held_at_last, _) = watched.seen
    pairs = list(zip(alone_at_first, tried, strict=True))
    cost = [(a - r) / CFG.episodes_per_step for a, r in pairs]
    expected = [a - r > SETBACK * abs(a) for a, r in pairs]
    assert any(expected)
    for held, rewards in collections:
        assert list(held) == expected
        cost = [c if h else c + a - r for c, h, a, r in zip(cost, held, alone, rewards, strict=True)]
        expected = [h or c > SETBACK * abs(a) for h, c, a in zip(held, cost, alone, strict=True)]
    assert list(held_at_last) == expected
    assert sum(collections[0][0]) < sum(held_at_last) < len(TASKS)
    (static,) = evaluate(None, TASKS, EvaluateConfig(episodes=2, baseline="static"), watched, seed=5)
    for k, held in enumerate(held_at_last):
        if held:
            assert last.rows[k].reward == pytest.approx(static.rows[k].reward)


def test_at_the_end_a_task_keeps_what_earned_most_on_its_first_support_episodes() -> None:
    steps = list(adapt(_steady(), TASKS, CFG, LocalCollector(), seed=5))
    free = list(adapt(_steady(), TASKS, replace(CFG, keep_placement_if_worse=False), LocalCollector(), seed=5))
    assert "kept_placement" not in free[-1].metrics
    alone, guard = _static("support-1", CFG.episodes_per_step), Guard(**steps[-1].state.scalars["guard"])
    assert guard.of_placement == pytest.approx(alone)
    assert steps[-1].metrics["kept_placement"] == pytest.approx(sum(guard.held) / len(TASKS))
    reached = [row.reward for row in steps[-1].rows]
    unguarded = [row.reward for row in free[-1].rows]
    for k, held in enumerate(guard.held):
        if not held and guard.shares[k] == free[-1].state.scalars["guard"]["shares"][k]:
            assert reached[k] == pytest.approx(unguarded[k])


@pytest.mark.parametrize(("alone", "expected"), [(-9.0, False), (-7.0, False), (-5.0, True)])
def test_the_placement_is_kept_only_if_it_earns_more_than_both_policies(alone: float, expected: bool) -> None:
    guard = Guard.over(1, AdaptConfig())
    guard.of_placement, guard.of_start = [alone], [-8.0]
    assert guard.decide([-6.0]) == [False]
    assert guard.held == [expected]


def test_no_policy_results_for_a_single_task_that_is_left_alone() -> None:
    found = {}
    for k, task in enumerate(TASKS):
        *_, last = adapt(_steady(), (task,), CFG, LocalCollector(), seed=k)
        found[last.metrics["kept_placement"]] = last.policy is None
    assert found == {0.0: False, 1.0: True}


def test_a_pause_changes_nothing_where_all_steps_learn_from_the_first_collection() -> None:
    policy = replace(_steady(), metadata={"meta_method": "implicit_fomaml", "proximal": 2.0})
    states, metrics = [], []
    for progress in adapt(policy, TASKS, CFG, LocalCollector(), seed=5):
        states.append(copy.deepcopy(progress.state))
        metrics.append(progress.metrics)
    assert metrics[-1]["kept_placement"] > 0.0  # tasks that earned what they did before they were left alone
    for k, state in enumerate(states[:-1], 1):
        resumed = [p.metrics for p in adapt(policy, TASKS, CFG, LocalCollector(), seed=5, start=state)]
        assert resumed == metrics[k:]


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v3-continuous", "lwmecps-v4"])
def test_held_tasks_do_what_the_baseline_static_does(env_id: str) -> None:
    tasks = tuple(draw(replace(CITY, env_id=env_id), seed) for seed in range(3))
    algorithm = TD3Config(hidden_size=(8, 8)) if env_id.endswith("continuous") else PPO
    params, extra = make(algorithm, env_spec(tasks[0])).init(torch.Generator().manual_seed(0))
    plan = CollectionPlan(seeds=seeds(1, "any", len(tasks)), episodes=2, held=(True, False, True))
    found = LocalCollector(tasks_per_unroll=2).collect(tasks, PolicySnapshot(algorithm, params, extra, 0), plan)
    static = run_baseline("static", tasks, plan.seeds, 2)
    for k, same in enumerate(plan.held):
        lived = static[k].valid  # what follows the first episode is another one
        assert (found[k].reward[lived] == static[k].reward[lived]).all() == same
        assert (found[k].action[lived] == static[k].action[lived]).all() == same
