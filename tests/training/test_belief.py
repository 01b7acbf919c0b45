"""Beliefs that are learnt beside a policy: by every way of training that learns, none that adapts, and over pauses."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.belief_ppo import GROUP
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.policy import from_bytes, to_bytes
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    META_LEARNERS,
    AdaptConfig,
    EvaluateConfig,
    MetaConfig,
    PPOConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, evaluate, meta_train, train, transfer
from lwmecps_core.training import belief as learning
from lwmecps_core.training.progress import Progress
from lwmecps_core.training.sampling import torch_generator
from lwmecps_core.tree import expanded

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=6)
GIVEN = tuple(draw(CITY, seed) for seed in range(3))
BELIEVING = PPOConfig(
    context="belief", hidden_size=(6, 4), belief_size=2, belief_updates=2, belief_batch_size=4, belief_memory_size=9
)
TRAINING = TrainConfig(total_episodes=24, episodes_per_batch=2, tasks_per_batch=2, collections_per_task=2)
META = MetaConfig(num_meta_epochs=3, warmup_epochs=1, adaptation_steps=1, meta_batch_size=2, episodes_per_step=2)
LOCAL = LocalCollector()


def _kept(steps: Iterator[Progress]) -> list[Progress]:
    found = []
    for progress in steps:
        tensors = {name: x.clone() for name, x in progress.state.tensors.items()}  # it is the live state
        found.append(replace(progress, state=replace(progress.state, tensors=tensors)))
    return found


def _trained(algorithm: PPOConfig = BELIEVING, cfg: TrainConfig = TRAINING, **more: Any) -> list[Progress]:
    return _kept(train(GIVEN if cfg.independent else CITY, algorithm, cfg, LOCAL, seed=1, **more))


def _meta_trained(algorithm: PPOConfig = BELIEVING, cfg: MetaConfig = META, **more: Any) -> list[Progress]:
    return _kept(meta_train(CITY, algorithm, cfg, LOCAL, seed=1, **more))


@pytest.mark.parametrize(
    ("algorithm", "cfg"),
    [
        (BELIEVING, TRAINING),
        (replace(BELIEVING, belief_told=1.0, ignore_blocks=("objective",)), TRAINING),
        (BELIEVING, replace(TRAINING, curriculum="replay", learn_from_fresh=False)),
        (BELIEVING, TrainConfig(total_episodes=6, episodes_per_batch=1, independent=True)),
    ],
    ids=("plain", "told", "robust", "independent"),
)
def test_a_pause_changes_nothing(algorithm: PPOConfig, cfg: TrainConfig) -> None:
    whole = _trained(algorithm, cfg)
    again = _trained(algorithm, cfg, start=whole[2].state)
    assert len(again) == len(whole) - 3
    assert whole[-1].state.tensors.keys() == again[-1].state.tensors.keys()
    for name, tensor in whole[-1].state.tensors.items():
        assert np.array_equal(tensor.numpy(), again[-1].state.tensors[name].numpy()), name


@pytest.mark.parametrize("stopped", [0, 1])
def test_meta_training_learns_it_through_the_warm_up_and_after_and_a_pause_changes_nothing(stopped: int) -> None:
    whole = _meta_trained()
    again = _meta_trained(start=whole[stopped].state)
    for name, tensor in whole[-1].state.tensors.items():
        assert np.array_equal(tensor.numpy(), again[-1].state.tensors[name].numpy()), name
    policies = [p.policy for p in whole if p.policy is not None]
    for before, after in pairwise(policies):
        assert not torch.equal(before.params[GROUP]["belief_mean.weight"], after.params[GROUP]["belief_mean.weight"])


@pytest.mark.parametrize("method", META_LEARNERS)
def test_every_meta_learner_wraps_it(method: str) -> None:
    *_, last = _meta_trained(cfg=replace(META, learner=META_LEARNERS[method]()))
    assert last.policy is not None and "belief_loss" in last.metrics
    assert all(x.isfinite().all() for net in last.policy.params.values() for x in net.values())
    assert GROUP not in last.policy.learnt, "no inner step moves it"


def test_what_is_believed_goes_on_over_the_rollouts_of_a_task_and_the_newest_are_kept() -> None:
    steps = _trained()
    assert [len(step.state.tensors["belief/memory/weight"][0]) for step in steps] == [4, 8, 9, 9, 9, 9]
    begun = steps[-1].state.tensors["belief/memory/state"][0, -4:]
    assert sorted(bool(x.any()) for x in begun) == [False, False, True, True], "one of two tasks was there before"


def test_it_alone_learns_by_its_own_optimiser_and_what_it_was_told() -> None:
    """The policy's first update is what it is without the belief's, bit for bit."""
    slow = replace(BELIEVING, belief_lr=1e-9)
    one, other = _trained()[0].policy, _trained(slow)[0].policy
    assert one is not None and other is not None
    for group in ("actor", "critic"):
        assert all(torch.equal(x, other.params[group][name]) for name, x in one.params[group].items())
    assert not torch.equal(one.params[GROUP]["belief_mean.weight"], other.params[GROUP]["belief_mean.weight"])


def test_each_rollout_is_told_the_service_times_of_its_own_cluster() -> None:
    told = replace(BELIEVING, belief_told=1.0)
    kept = _trained(told, replace(TRAINING, total_episodes=4))[0].state.tensors["belief/memory/service"][0]
    tasks: list[Any] = []

    class Watched(LocalCollector):
        def collect(self, some: Any, snapshot: Any, plan: Any) -> Any:
            tasks.extend(some)
            return super().collect(some, snapshot, plan)

    next(train(CITY, told, replace(TRAINING, total_episodes=4), Watched(), seed=1))
    expected = np.repeat([[np.log(busy_ms(d) / 225.0) for d in task.deployments] for task in tasks], 2, axis=0)
    np.testing.assert_allclose(kept.numpy(), expected, rtol=1e-5)


def test_it_is_stored_measured_and_adapted_with_its_belief_as_it_was() -> None:
    policy = _trained()[-1].policy
    assert policy is not None
    again = from_bytes(to_bytes(policy), "file")
    assert again.algorithm == policy.algorithm and again.params.keys() == {"actor", "critic", GROUP}
    large = draw(replace(CITY, nodes=3, deployments=5), 0)
    (result,) = evaluate(again, (large,), EvaluateConfig(episodes=2, episodes_before=(0, 1)), LOCAL, seed=2)
    assert [row.episode for row in result.rows] == [1, 2] and all(np.isfinite(row.reward) for row in result.rows)
    steps = AdaptConfig(
        adaptation_steps=1, episodes_per_step=2, evaluation_episodes=1, inner_lr=0.1,
        keep_placement_if_worse=False, keep_start_if_worse=False,
    )  # fmt: skip
    *_, adapted = adapt(again, (draw(CITY, 7),), steps, LOCAL, seed=3)
    assert adapted.policy is not None
    moved = {
        group
        for group, net in adapted.policy.params.items()
        if any(not torch.equal(x, again.params[group][name]) for name, x in net.items())
    }
    assert moved == {"actor"}


def test_transfer_goes_on_with_it_and_refuses_to_hide_domains() -> None:
    policy = _trained()[-1].policy
    assert policy is not None
    cfg = TransferConfig(total_episodes=2, episodes_per_batch=2)
    *_, last = transfer(policy, GIVEN[:1], cfg, LOCAL, seed=1)
    assert last.policy is not None and "belief_loss" in last.metrics
    with pytest.raises(InvalidInput, match=r"method: domain_adaptation .*belief"):
        list(transfer(policy, GIVEN, replace(cfg, method="domain_adaptation"), LOCAL, seed=1, origin=GIVEN))


def test_the_same_rollouts_explain_themselves_better_after_some_updates() -> None:
    cfg = replace(BELIEVING, belief_updates=100, belief_lr=1e-2)
    policy = _trained()[-1].policy
    assert policy is not None
    algo: Any = algorithms.make(cfg, env_spec(GIVEN[0]))
    params = expanded(policy.params, 1)
    learner = learning.made(algo, cfg, params, 1)
    assert learner is not None
    plan = CollectionPlan(seeds=(1, 2, 3), episodes=3)
    batches = LOCAL.collect(GIVEN, PolicySnapshot(cfg, policy.params, {}, 0), plan)
    live = {group: {name: x.clone() for name, x in net.items()} for group, net in params.items()}
    first = learner.learn(live, batches, GIVEN, 0)
    second = learner.learn(live, batches, GIVEN, 1)
    assert second["belief_loss"] < first["belief_loss"]
    known = learning.sample(learner._memory.fields, cfg, algo, torch_generator(0, "x"))
    before = algo.belief_losses(params[GROUP], known)[0]
    assert float(algo.belief_losses(live[GROUP], known)[0]) < float(before)


def test_other_contexts_learn_none() -> None:
    for context in ("none", "statistics", "recurrent"):
        *_, last = train(CITY, replace(BELIEVING, context=context), TRAINING, LOCAL, seed=1)
        assert not any("belief" in name for name in [*last.metrics, *last.state.tensors])
