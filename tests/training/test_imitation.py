"""Policies that watch the autoscaler before they act: whom they are shown, what they learn of it, and what resumes."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Params
from lwmecps_core.baselines.earning import told_rewards
from lwmecps_core.baselines.hpa import Hpa
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.actor import SHOWN
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import PricesSpec, SloSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import train
from lwmecps_core.training.imitation import SETTINGS, Demonstrator, best_settings
from lwmecps_core.training.progress import LoopState
from lwmecps_core.training.sampling import torch_generator

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=24)
PPO = PPOConfig(hidden_size=(16, 16), batch_size=48, n_epochs=4, learning_rate=0.01)
TRAINING = TrainConfig(total_episodes=8, episodes_per_batch=2, tasks_per_batch=4, imitation_episodes=16)
PLAN = CollectionPlan(seeds=(5, 6, 7), episodes=2)
COLLECTOR = LocalCollector()


def begun(cfg: AlgorithmConfig, task: TaskSpec) -> PolicySnapshot:
    """A policy without training."""
    params, extra = algorithms.from_nothing(cfg, env_spec(task)).init(torch_generator(0, "weights"))
    return PolicySnapshot(cfg, params, extra, 0)


def shown(tasks: list[TaskSpec]) -> list[RolloutBatch]:
    """What the autoscaler does by itself, with the best settings of each task."""
    env = BatchEnv(tasks, np.repeat(np.arange(len(tasks)), PLAN.episodes))
    settings = [s for s in best_settings(tasks, PLAN) for _ in range(PLAN.episodes)]
    return drive(env, Hpa(scene(tasks, env.task_of), settings), replace(PLAN, greedy=True))[0]


@pytest.mark.parametrize("env_id", ["lwmecps-v1", "lwmecps-v3", "lwmecps-v4", "lwmecps-v3-continuous"])
@pytest.mark.parametrize("context", ["none", "statistics", "recurrent"])
def test_what_is_shown_is_the_autoscaler_and_the_policy_remembers_it(env_id: Any, context: Any) -> None:
    tasks = [draw(replace(CITY, env_id=env_id), seed) for seed in range(3)]
    cfg = replace(PPO, context=context, n_steps=24)
    found = Demonstrator(tasks_per_unroll=2).collect(tasks, begun(cfg, tasks[0]), PLAN)
    for own, batch in zip(shown(tasks), found, strict=True):
        np.testing.assert_array_equal(batch.action, own.action)
        np.testing.assert_array_equal(batch.reward, own.reward)
        assert "log_prob" not in batch.extras
        assert not any(name.startswith(SHOWN) for name in [*batch.begun, *batch.memory])
    assert bool(found[0].memory) == (context != "none")
    if context == "recurrent":
        assert any(np.abs(x).max() > 0 for x in found[0].memory.values())


def test_the_best_settings_are_those_that_earn_most_by_the_multipliers_of_the_task() -> None:
    slo = SloSpec(failed_share=0.02, window=4, allowed=0.1)
    slos = [replace(slo, failed_share_multiplier=m) for m in (0.01, 100.0)]
    cheap, dear = (replace(CITY, slo=own, prices=PricesSpec()) for own in slos)
    tasks = [draw(some, seed) for some in (cheap, dear) for seed in range(4)]
    plan = CollectionPlan(seeds=tuple(range(8)), episodes=12)
    best = best_settings(tasks, plan)
    # In other episodes, too, hardly anything earns more than what was chosen.
    seeds, task_of = np.arange(8 * 20, dtype=np.uint64), np.repeat(np.arange(8), 20)
    earned = {s: told_rewards(Hpa, [s] * 160, tasks, task_of, seeds).reshape(8, 20).mean(1) for s in SETTINGS}
    most, least = np.max(list(earned.values()), 0), np.min(list(earned.values()), 0)
    own = np.array([earned[s][k] for k, s in enumerate(best)])
    assert np.all(own > most - 0.1 * (most - least))
    assert np.mean([s.target for s in best[4:]]) < np.mean([s.target for s in best[:4]])


def test_a_policy_learns_to_do_as_it_is_shown() -> None:
    tasks = [draw(CITY, 1000 + seed) for seed in range(8)]
    untrained = begun(PPO, tasks[0])
    batches = Demonstrator().collect(tasks, untrained, CollectionPlan(seeds=tuple(range(8)), episodes=1))
    data = {
        "obs": torch.from_numpy(np.concatenate([b.obs[:-1, 0] for b in batches])),
        "mask": torch.from_numpy(np.concatenate([b.mask[:-1, 0] for b in batches])),
        "action": torch.from_numpy(np.concatenate([b.action[:, 0] for b in batches])),
        "weight": torch.ones(8 * CITY.horizon),
        "advantage": torch.zeros(8 * CITY.horizon),
        "target": torch.zeros(8 * CITY.horizon),
    }
    algo = algorithms.make(PPO, env_spec(tasks[0]))

    def likelihood(params: Params) -> float:
        """Log-probability of what the autoscaler does on clusters that are not learnt from."""
        return -float(algo.losses(params, {}, data)["actor"])

    cfg = replace(TRAINING, imitation_episodes=320, tasks_per_batch=8)
    steps = [p.policy.params for p in train(CITY, PPO, cfg, COLLECTOR, seed=1) if p.policy]
    assert likelihood(steps[19]) > -0.5 > -2.0 > likelihood(untrained.params)


def test_a_training_that_begins_with_imitation_goes_on_after_any_step_with_the_same_bits() -> None:
    bounded = replace(CITY, slo=SloSpec(failed_share=0.02, window=4), prices=PricesSpec())
    cfg = replace(PPO, context="recurrent", n_steps=24)

    def run(start: LoopState | None) -> list[Any]:
        steps = train(bounded, cfg, TRAINING, COLLECTOR, seed=1, start=start)
        return [(p, {name: x.clone() for name, x in p.state.tensors.items()}) for p in steps]

    whole = run(None)
    assert [p.step for p, _ in whole] == [1, 2, 3] and whole[0][0].total == 3
    # Multipliers are the policy's own: they move once it acts.
    assert ["multiplier_failed_share" in p.metrics for p, _ in whole] == [False, False, True]
    for p, tensors in whole[:-1]:
        again = LoopState(p.step, {k: x.clone() for k, x in tensors.items()}, json.loads(json.dumps(p.state.scalars)))
        (last, kept) = run(again)[-1]
        assert last.metrics == whole[-1][0].metrics
        assert all(torch.equal(x, whole[-1][1][name]) for name, x in kept.items())


def test_rates_and_bonuses_go_down_over_the_policys_own_steps() -> None:
    cfg = replace(TRAINING, schedule="linear", schedule_share=1.0, entropy_share=0.0, total_episodes=16)
    plain = [p.policy.params for p in train(CITY, PPO, cfg, COLLECTOR, seed=1) if p.policy]
    fixed = replace(cfg, schedule="constant", entropy_share=1.0)
    without = [p.policy.params for p in train(CITY, PPO, fixed, COLLECTOR, seed=1) if p.policy]
    for step in range(3):  # two of imitation, and the first of its own, which takes all of the rate and the bonus
        torch.testing.assert_close(plain[step], without[step], rtol=0, atol=0)
    assert not torch.equal(plain[3]["actor"]["out.bias"], without[3]["actor"]["out.bias"])


@pytest.mark.parametrize(
    ("algorithm", "cfg", "env_id", "reason"),
    [
        (DQNConfig(), TRAINING, "lwmecps-v3", "is of PPO's policies; dqn learns by values"),
        (PPO, replace(TRAINING, curriculum="replay"), "lwmecps-v3", "has no scores, by which a curriculum chooses"),
        (PPO, replace(TRAINING, independent=True), "lwmecps-v3", "is of one policy for changing tasks"),
        (PPO, TRAINING, "lwmecps-v2", "needs an autoscaler, and lwmecps-v2 scales no replicas"),
    ],
)
def test_what_can_not_be_shown_is_refused(algorithm: Any, cfg: TrainConfig, env_id: Any, reason: str) -> None:
    tasks = (draw(replace(CITY, env_id=env_id), 0),)
    with pytest.raises(InvalidInput, match=f"imitation_episodes: {reason}"):
        list(train(tasks, algorithm, cfg, COLLECTOR, seed=1))
