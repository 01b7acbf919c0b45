"""Training on tasks with bounds: how multipliers move, who is told of them, and that they are part of what resumes."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import ONE_SCALE
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.baselines.earning import episode_rewards
from lwmecps_core.baselines.hpa import Hpa, HpaSettings
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import split
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.objective import Constrained
from lwmecps_core.policy import from_bytes, to_bytes
from lwmecps_core.results import SIGNED
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import EvaluateConfig, LearntContextName, MetaConfig, PPOConfig, TrainConfig
from lwmecps_core.seeding import generator
from lwmecps_core.specs import PricesSpec, SloSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import evaluate, meta_train, train
from lwmecps_core.training.accounting import bill
from lwmecps_core.training.multipliers import Multipliers, told_by
from lwmecps_core.training.progress import LoopState
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.training.sources import check_source
from lwmecps_core.tree import expanded, expanded_extra
from tests.baselines.scripted import Scripted

BOUNDS = SloSpec(failed_share=0.02, window=4, allowed=0.1)
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=12, slo=BOUNDS, prices=PricesSpec(move=0.01))
PPO = PPOConfig(hidden_size=(8, 8), batch_size=32, n_epochs=1)
TRAINING = TrainConfig(total_episodes=16, episodes_per_batch=2, tasks_per_batch=2, bound_spread=2.0)
COLLECTOR = LocalCollector()


def _multipliers(tasks: list[TaskSpec]) -> list[tuple[float, float]]:
    slos = [task.objective.slo for task in tasks]
    return [(s.failed_share_multiplier, s.latency_p95_multiplier) for s in slos if s]


def _copied(state: LoopState) -> LoopState:
    tensors = {name: x.clone() for name, x in state.tensors.items()}
    return LoopState(state.step, tensors, json.loads(json.dumps(state.scalars)))


def _played(task: TaskSpec, replicas: int) -> Any:
    actions = np.full((task.horizon, len(task.deployments)), replicas, np.int32)
    return drive(BatchEnv([task], [0]), Scripted(actions), CollectionPlan(seeds=(1,), episodes=1, greedy=True))[0]


def test_a_multiplier_grows_while_windows_miss_and_falls_while_they_hold() -> None:
    cfg = Constrained(multiplier_kp=1.0, multiplier_ki=0.5, multiplier_kd=2.0)
    task, found = draw(CITY, 0), Multipliers(cfg, [BOUNDS], 1, seed=0)
    bad = found.learn([task], _played(task, 0))["multiplier_failed_share"]
    assert bad == pytest.approx(1.0 + 0.5 * 0.9 + 0.9)  # every window missed, 10 % may; nothing has grown yet
    good = found.learn([task], _played(task, 4))["multiplier_failed_share"]
    assert good == pytest.approx(max(0.0, 1.45 - 0.05 - 0.1))
    again = found.learn([task], _played(task, 0))["multiplier_failed_share"]
    assert again == pytest.approx(1.40 + 0.45 + 0.9 + 2.0)
    assert "multiplier_latency_p95" not in found.learn([task], _played(task, 0))


def test_tasks_are_told_spread_multipliers_and_bounds_in_training_and_the_found_ones_afterwards() -> None:
    tasks = [draw(CITY, seed) for seed in range(40)]
    found = Multipliers(Constrained(multiplier_spread=3.0, bound_spread=2.0), [BOUNDS], 1, seed=0)
    told = found.told(tasks, step=3)
    assert told == found.told(tasks, step=3) != found.told(tasks, step=4)
    values = np.array(_multipliers(told))[:, 0]
    bounds = np.array([t.objective.slo.failed_share for t in told if t.objective.slo])
    assert 1 / 3 <= values.min() < 0.6 and 1.8 < values.max() <= 3
    assert 0.01 <= bounds.min() < 0.013 and 0.03 < bounds.max() <= 0.04
    # CITY has no bound of latency, and nothing is told of what isn't there.
    assert _multipliers(told_by({"multipliers": {"failed_share": 7.0, "latency_p95": 0.5}}, tasks)) == [(7.0, 1.0)] * 40
    assert told_by({"multipliers": {"latency_p95": 0.5}}, tasks) == tasks
    assert set(found.found()["multipliers"]) == {"failed_share"}
    assert told_by({}, tasks) == tasks


def test_what_a_policy_sees_of_multipliers_is_what_its_task_says() -> None:
    task = told_by({"multipliers": {"failed_share": 3.0, "latency_p95": 9.0}}, [draw(CITY, 0)])[0]
    env = BatchEnv([task], [0])
    weights = np.exp(2.0 * split(env.reset([1])[0], env.spec)["objective"][0, :5]) - 0.01
    assert weights == pytest.approx([0.0, 0.25, 0.0, 0.75, 0.25 * 0.01 * 360 / 8], abs=1e-5)


def test_training_with_bounds_goes_on_after_any_step_with_the_same_bits() -> None:
    def run(start: LoopState | None) -> list[Any]:
        steps = train(CITY, PPO, TRAINING, COLLECTOR, seed=1, start=start)
        return [replace(p, state=_copied(p.state)) for p in steps]

    whole = run(None)
    assert len(whole) == 4
    assert {"cost_per_hour", "violation_share", "moves_per_hour", "multiplier_failed_share"} <= whole[-1].metrics.keys()
    for at in whole[:-1]:
        last = run(_copied(at.state))[-1]
        assert last.metrics == whole[-1].metrics
        assert all(torch.equal(x, whole[-1].state.tensors[name]) for name, x in last.state.tensors.items())
    assert any(name.startswith("multipliers/") for name in whole[-1].state.tensors)


@pytest.mark.parametrize("independent", [False, True])
def test_tasks_with_bounds_and_without_are_not_learnt_together(independent: bool) -> None:
    some = (draw(CITY, 0), replace(draw(replace(CITY, slo=None, prices=None), 1), name="free"))
    training = replace(TRAINING, bound_spread=1.0, independent=independent)
    loops = (train(some, PPO, training, COLLECTOR, seed=1), meta_train(some, PPO, MetaConfig(), COLLECTOR, seed=1))
    for loop in loops:
        with pytest.raises(InvalidInput, match=r"and free can't be learnt together: .* \(objective; bounds"):
            list(loop)
    with pytest.raises(InvalidInput, match="and free can't be learnt together"):
        check_source("train", some, 0)
    check_source("evaluate", some, 0)


def test_training_without_bounds_keeps_no_multipliers() -> None:
    free = replace(CITY, slo=None, prices=None)
    with pytest.raises(InvalidInput, match=r"bound_spread: is for tasks with bounds \(objective.slo\)"):
        list(train((draw(free, 0),), PPO, TRAINING, COLLECTOR, seed=1))
    *_, last = train(free, PPO, replace(TRAINING, bound_spread=1.0), COLLECTOR, seed=1)
    assert not any(name.startswith("multipliers/") for name in last.state.tensors)
    assert "cost_per_hour" not in last.metrics and last.policy is not None and last.policy.metadata == {}


def test_a_policy_is_measured_with_the_multipliers_that_its_training_found() -> None:
    *_, last = train(CITY, PPO, TRAINING, COLLECTOR, seed=1)
    assert last.policy is not None
    policy = from_bytes(to_bytes(last.policy), "file")
    tasks = (draw(CITY, 5), draw(CITY, 6))
    *_, measured = evaluate(policy, tasks, EvaluateConfig(episodes=2), COLLECTOR, seed=1)
    *_, by_hand = evaluate(
        replace(policy, metadata={}),
        tuple(told_by(policy.metadata, tasks)),
        EvaluateConfig(episodes=2),
        COLLECTOR,
        seed=1,
    )
    assert [r.reward for r in measured.rows] == [r.reward for r in by_hand.rows]
    row = measured.rows[0]
    assert row.cost_per_hour is not None and row.violation_share is not None and row.decision_us is not None


@pytest.mark.parametrize("context", ["none", "recurrent"])
def test_what_is_missed_on_a_task_counts_beside_the_costs_of_others(context: LearntContextName) -> None:
    tasks = [draw(CITY, seed) for seed in (0, 1)]
    cfg = replace(PPO, context=context)
    algo = algorithms.from_nothing(cfg, env_spec(tasks[0]))
    params, extra = algo.init(torch_generator(0, "weights"))
    plan = CollectionPlan(seeds=(1, 2), episodes=2)
    batches = COLLECTOR.collect(tasks, PolicySnapshot(cfg, params, extra, 0), plan)
    data, noise = stacked(batches), torch_generator(0, "noise")
    data["reward"][0] *= 100.0

    def deviations(data: dict[str, torch.Tensor]) -> torch.Tensor:
        found = algo.prepare(expanded(params, 2), expanded_extra(extra, 2), data, noise)["advantage"]
        return found.flatten(1).std(-1, unbiased=False)

    assert deviations(data).tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    beside = deviations(data | {ONE_SCALE: torch.ones(2)})
    assert beside[0] > 10 * beside[1] and beside.pow(2).mean() == pytest.approx(1.0, abs=1e-3)


def test_one_policy_for_each_task_has_a_multiplier_of_its_own() -> None:
    tasks = (draw(CITY, 0), draw(CITY, 1))
    found = Multipliers(Constrained(), [BOUNDS] * 2, 2, seed=0)
    found.learn(tasks, [*_played(tasks[0], 0), *_played(tasks[1], 4)])
    (first, _), (second, _) = _multipliers(found.told(tasks))
    assert first > 1.0 > second


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("turn", [1, -1])
def test_tasks_with_different_bounds_each_move_the_multiplier_of_their_own(independent: bool, turn: int) -> None:
    slow = replace(BOUNDS, failed_share=None, latency_p95_ms=1e-3, latency_p95_multiplier=5.0)
    tasks = (draw(CITY, 0), draw(replace(CITY, slo=slow), 1))[::turn]
    cfg = replace(TRAINING, tasks_per_batch=1 if independent else 2, independent=independent, bound_spread=1.0)
    first, *_ = train(tasks, PPO, replace(cfg, total_episodes=4), COLLECTOR, seed=0)
    # Every window misses the latency that nothing can keep to: as much more as all windows but those allowed.
    late = 5.0 + (cfg.multiplier_ki + cfg.multiplier_kp) * 0.9
    assert first.metrics["multiplier_latency_p95"] == pytest.approx(late)
    assert first.metrics["multiplier_failed_share"] != 1.0


def test_rules_are_chosen_by_what_an_operator_signs() -> None:
    tasks, settings = [draw(CITY, seed) for seed in range(6)], [HpaSettings(target=0.3)] * 6
    env = BatchEnv(tasks, np.arange(6))
    plan = CollectionPlan(seeds=tuple(range(6)), episodes=1, greedy=True)
    bills = [
        bill(b, t) for b, t in zip(drive(env, Hpa(scene(tasks, env.task_of), settings), plan)[0], tasks, strict=True)
    ]
    first = np.array([generator(seed).integers(0, 2**63, dtype=np.uint64) for seed in plan.seeds])
    worth = episode_rewards(Hpa, settings, tasks, env.task_of, first)
    missed, cost = np.array([b.violation_share for b in bills]), np.array([b.cost_per_hour for b in bills])
    assert 0 < (missed > 0.1).sum() < 6
    np.testing.assert_allclose(worth, -cost / 8 - 1000 * np.maximum(missed - 0.1, 0), rtol=1e-6)


@pytest.mark.parametrize("name", ["hpa_tuned", "rate_rule_adapted", "hpa"])
def test_a_rule_on_tasks_with_bounds_is_measured_as_a_policy_is(name: str) -> None:
    *_, found = evaluate(None, (draw(CITY, 1),), EvaluateConfig(episodes=2, baseline=name), COLLECTOR, seed=1)
    assert {"violation_share", "cost_per_hour", "moves_per_hour"} <= found.metrics.keys()
    assert all(getattr(found.rows[0], field) is not None for field in SIGNED)
