"""What adaptation may cost: tasks that are left as they were deployed, and what is kept at the end."""

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
from lwmecps_core.run_config import AdaptConfig, EvaluateConfig, PPOConfig
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
    """Remembers what the start's episode without chance earned, and which tasks were held in support episodes and what
    these earned.
    """

    def __init__(self) -> None:
        self.probed: list[float] = []
        self.seen: list[tuple[tuple[bool, ...], list[float]]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        batches = LocalCollector().collect(tasks, snapshot, plan)
        if not plan.greedy:
            self.seen.append((plan.held, _rewards(batches)))
        elif plan.episodes == 1:
            self.probed = _rewards(batches)
        return batches


def _rewards(batches: list[RolloutBatch]) -> list[float]:
    return [float(b.reward.sum(0).mean()) for b in batches]


def _static(purpose: str, episodes: int) -> list[float]:
    return _rewards(run_baseline("static", TASKS, seeds(5, purpose, len(TASKS)), episodes))


def test_a_task_on_which_trying_out_costs_too_much_rests_from_then_on() -> None:
    watched = Watched()
    *_, last = adapt(_steady(), TASKS, CFG, watched, seed=5)
    alone, alone_at_first = _static("support-1", CFG.episodes_per_step), _static("support-1", 1)
    *collections, (resting_at_last, _) = watched.seen
    gains = [r - a for r, a in zip(watched.probed, alone_at_first, strict=True)]
    cost = [-gain / CFG.episodes_per_step for gain in gains]
    held = [-gain > SETBACK * abs(a) for gain, a in zip(gains, alone_at_first, strict=True)]
    expected = list(held)
    for resting, rewards in collections:
        assert list(resting) == expected
        cost = [c if h else c + a - r for c, h, a, r in zip(cost, resting, alone, rewards, strict=True)]
        expected = [h or c > SETBACK * abs(a) for h, c, a in zip(resting, cost, alone, strict=True)]
    assert list(resting_at_last) == expected
    assert sum(held) < sum(expected) < len(TASKS)
    # Where trying out was too dear, the start's episode without chance has decided.
    (static,) = evaluate(None, TASKS, EvaluateConfig(episodes=2, baseline="static"), watched, seed=5)
    (start,) = evaluate(_steady(), TASKS, EvaluateConfig(episodes=2), watched, seed=5)
    kept = [
        (static if gain <= 0.0 or h else start).rows[k].reward
        for k, (gain, h) in enumerate(zip(gains, held, strict=True))
    ]
    decided = [k for k in range(len(TASKS)) if expected[k]]
    assert [last.rows[k].reward for k in decided] == pytest.approx([kept[k] for k in decided])
    assert {gains[k] > 0.0 for k in decided} == {True, False}


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


@pytest.mark.parametrize(
    ("alone", "gain", "expected"),
    [(-9.0, -1.0, "adapted"), (-7.0, -1.0, "adapted"), (-5.0, -1.0, "left alone"), (-5.0, 1.0, "start")],
)
def test_the_placement_is_kept_only_if_it_earns_more_than_both_policies(
    alone: float, gain: float, expected: str
) -> None:
    guard = Guard.over(1, AdaptConfig())
    guard.of_placement, guard.of_start, guard.gain_of_start = [alone], [-8.0], [gain]
    (back,) = guard.decide([-6.0])
    assert back == (expected != "adapted") and guard.held == [expected == "left alone"]
