"""Policies that learn what to remember, on tasks: recorded, unrolled again, trained, adapted, stored."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.replay import stacked
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import parse
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.policy import PolicyData, from_bytes, to_bytes
from lwmecps_core.rollout.codec import decode_part, encode_batch
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.messages import Origin
from lwmecps_core.rollout.spec_codec import algorithm_from_proto
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
from lwmecps_core.specs import ALL_ENV_IDS, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import adapt, evaluate, meta_train, train, transfer
from lwmecps_core.training.progress import LoopState
from lwmecps_core.tree import expanded
from protos.lwmecps.common.v1 import settings_pb2

CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=6)
PPO = PPOConfig(context="recurrent", hidden_size=(8, 6), entropy_coef=0.0, batch_size=24)
PLAN = CollectionPlan(seeds=(1, 2), episodes=3, length=16)  # 6 intervals, a reset, 6, a reset, 2
LOCAL = LocalCollector()
SLOTS = ("ntm", "dnc")


def _tasks(env_id: str = "lwmecps-v3") -> tuple[TaskSpec, ...]:
    return tuple(draw(replace(CITY, env_id=env_id), seed) for seed in range(2))


def _snapshot(cfg: PPOConfig, tasks: tuple[TaskSpec, ...]) -> PolicySnapshot:
    """A policy whose actions depend on what it remembers more than those of a fresh one do."""
    gen = torch.Generator().manual_seed(1)
    params, extra = algorithms.make(cfg, env_spec(tasks[0])).init(gen)
    params["actor"]["out.weight"].normal_(std=0.3, generator=gen)
    return PolicySnapshot(cfg, params, extra, 0)


def _remembering(snapshot: PolicySnapshot, batches: list[RolloutBatch]) -> PolicySnapshot:
    memory = {name: torch.stack([torch.as_tensor(b.memory[name]) for b in batches]) for name in batches[0].memory}
    return replace(snapshot, memory=memory)


def _off(snapshot: PolicySnapshot, tasks: tuple[TaskSpec, ...], batches: list[RolloutBatch]) -> float:
    """How far the actor's loss is from that of a policy that is as likely to act as the one that acted did."""
    algo = algorithms.make(snapshot.algorithm, env_spec(tasks[0]))
    params = expanded(snapshot.params, 2)
    batch = algo.prepare(params, {}, stacked(batches), torch.Generator())
    weighed = torch.randn(batch["weight"].shape, generator=torch.Generator().manual_seed(0))
    loss = algo.losses(params, {}, batch | {"advantage": weighed})["actor"]
    expected = -(weighed * batch["weight"]).sum((-2, -1)) / batch["weight"].sum((-2, -1))
    return float((loss - expected).abs().max())


@pytest.mark.parametrize("cell", ["gru", *SLOTS])
@pytest.mark.parametrize("network", ["set", "mlp"])
@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_a_recorded_rollout_is_unrolled_as_it_was_acted_with_and_without_memory_before(
    env_id: str, network: str, cell: str
) -> None:
    tasks, cfg = _tasks(env_id), replace(PPO, network=network, cell=cell)
    empty = _snapshot(cfg, tasks)  # type: ignore[arg-type]
    first = LOCAL.collect(tasks, empty, PLAN)
    assert not first[0].begun["state"].any() and first[0].memory["state"].any()
    assert _off(empty, tasks, first) < 1e-5
    known = _remembering(empty, first)
    again = LOCAL.collect(tasks, known, PLAN)
    assert all(np.array_equal(b.begun["state"], a.memory["state"]) for a, b in zip(first, again, strict=True))
    assert _off(known, tasks, again) < 1e-5
    forgotten = [replace(b, begun={"state": np.zeros_like(b.begun["state"])}) for b in again]
    assert _off(known, tasks, forgotten) > 1e-4


def test_a_flag_one_interval_off_is_noticed() -> None:
    tasks = _tasks()
    snapshot = _snapshot(PPO, tasks)
    batches = LOCAL.collect(tasks, snapshot, PLAN)
    flags = batches[0].extras["first"]
    np.testing.assert_array_equal(np.flatnonzero(flags[:, 0]), [0, 7, 14])
    late = [replace(b, extras={**b.extras, "first": np.roll(flags, 1, 0)}) for b in batches]
    assert _off(snapshot, tasks, late) > 1e-4


def test_what_was_remembered_at_first_survives_the_wire() -> None:
    tasks = _tasks()
    empty = _snapshot(PPO, tasks)
    (batch, _) = LOCAL.collect(tasks, _remembering(empty, LOCAL.collect(tasks, empty, PLAN)), PLAN)
    (entry,) = encode_batch("r", 0, batch, Origin("w", 1, 0))
    back = decode_part(entry).batch
    assert back is not None and back.begun["state"].tobytes() == batch.begun["state"].tobytes()
    assert back.columns(1, 3).begun["state"].shape == (2, 2, 6)


def test_a_new_task_begins_with_nothing_remembered() -> None:
    tasks = _tasks()
    snapshot = _snapshot(PPO, tasks)
    policy = PolicyData(PPO, env_spec(tasks[0]), snapshot.params, {})

    def measured(some: tuple[TaskSpec, ...]) -> list[float]:
        (result,) = evaluate(policy, some, EvaluateConfig(episodes=2), LOCAL, seed=2)
        return [row.reward for row in result.rows]

    once, again, turned = measured(tasks), measured(tasks), measured(tasks[::-1])
    assert once == again
    greedy = replace(PLAN, greedy=True)
    alone = LOCAL.collect(tasks[:1], snapshot, replace(greedy, seeds=(1,)))[0]
    after = LOCAL.collect(tasks[::-1], snapshot, replace(greedy, seeds=(7, 1)))[1]
    np.testing.assert_array_equal(alone.action, after.action)
    assert len(turned) == 2
    kept = LOCAL.collect(tasks, _remembering(snapshot, LOCAL.collect(tasks, snapshot, greedy)), greedy)[0]
    assert not np.array_equal(kept.memory["state"], alone.memory["state"]), "memory of the task goes on if it is given"


@pytest.mark.parametrize("cell", ["gru", *SLOTS])
def test_it_is_trained_stored_adapted_and_meta_trained(cell: str) -> None:
    cfg = replace(PPO, n_steps=13, cell=cell)  # type: ignore[arg-type]
    *_, last = train(CITY, cfg, TrainConfig(total_episodes=8, episodes_per_batch=2), LOCAL, seed=1)
    assert last.policy is not None
    again = from_bytes(to_bytes(last.policy), "file")
    assert again.algorithm == last.policy.algorithm
    large = draw(replace(CITY, nodes=3, deployments=5), 0)
    for task in (draw(CITY, 7), large):
        (result,) = evaluate(again, (task,), EvaluateConfig(episodes=2), LOCAL, seed=2)
        assert np.isfinite(result.rows[0].reward)
    steps = AdaptConfig(adaptation_steps=2, episodes_per_step=2, evaluation_episodes=2, keep_placement_if_worse=False)
    *_, adapted = adapt(again, (draw(CITY, 7),), steps, LOCAL, seed=3)
    assert adapted.policy is not None
    moved = [
        name
        for name, x in adapted.policy.params["actor"].items()
        if not torch.equal(x, again.params["actor"][name]) and name.startswith("gru")
    ]
    assert adapted.policy is not None and (moved or adapted.metrics["kept_start"] == 1.0)


@pytest.mark.parametrize("cell", SLOTS)
def test_a_run_with_slots_that_was_paused_ends_with_the_same_bits(cell: str) -> None:
    cfg = replace(PPO, n_steps=12, cell=cell, memory_slots=4, memory_width=3, memory_reads=2)  # type: ignore[arg-type]
    training = TrainConfig(total_episodes=12, episodes_per_batch=2, tasks_per_batch=2)

    def states(start: LoopState | None) -> list[LoopState]:
        steps = (p.state for p in train(CITY, cfg, training, LOCAL, seed=1, start=start))
        return [replace(x, tensors={n: leaf.clone() for n, leaf in x.tensors.items()}) for x in steps]  # live ones

    whole = states(None)
    again = states(whole[0])
    assert len(whole) == 3 and len(again) == 2
    for one, other in zip(whole[1:], again, strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(x, other.tensors[name]) for name, x in one.tensors.items())
    moved = {n for n, x in whole[0].tensors.items() if not torch.equal(x, whole[-1].tensors[n])}
    assert any("actor/gru_reads" in n for n in moved) and any("actor/interface" in n for n in moved)


@pytest.mark.parametrize("cell", SLOTS)
def test_slots_that_never_were_are_answered_with_numbers(cell: str) -> None:
    tasks, cfg = _tasks(), replace(PPO, cell=cell)  # type: ignore[arg-type]
    snapshot = _snapshot(cfg, tasks)
    algo = algorithms.make(cfg, env_spec(tasks[0]))
    size = algo.memory(1)["state"].shape[1:]
    for odd in (float("inf"), -float("inf"), 1e30, -5.0, 7.0):
        batches = LOCAL.collect(tasks, replace(snapshot, memory={"state": torch.full((2, 1, *size), odd)}), PLAN)
        assert all(np.isfinite(b.memory["state"]).all() and np.isfinite(b.action).all() for b in batches)


@pytest.mark.parametrize(("cell", "method"), [("gru", m) for m in META_LEARNERS] + [(c, "maml") for c in SLOTS])
def test_every_meta_learner_wraps_it(cell: str, method: str) -> None:
    cfg = MetaConfig(
        learner=META_LEARNERS[method](),
        num_meta_epochs=2,
        warmup_epochs=1,
        adaptation_steps=2,
        meta_batch_size=2,
        episodes_per_step=2,
    )
    algorithm = replace(PPO, cell=cell, memory_slots=4, memory_width=3)  # type: ignore[arg-type]
    *_, last = meta_train(CITY, algorithm, cfg, LOCAL, seed=3)
    assert last.policy is not None
    assert all(x.isfinite().all() for net in last.policy.params.values() for x in net.values())


def test_transfer_freezes_what_is_remembered_with_the_first_layer_and_refuses_to_hide_domains() -> None:
    tasks = _tasks()
    policy = PolicyData(PPO, env_spec(tasks[0]), _snapshot(PPO, tasks).params, {})
    cfg = TransferConfig(method="feature_extraction", total_episodes=2, episodes_per_batch=2)
    *_, last = transfer(policy, tasks, cfg, LOCAL, seed=1)
    assert last.policy is not None
    moved = {n for n, x in last.policy.params["actor"].items() if not torch.equal(x, policy.params["actor"][n])}
    assert moved == {"out.weight", "out.bias", "direct.weight", "direct.bias"}
    with pytest.raises(InvalidInput, match="method: domain_adaptation"):
        list(transfer(policy, tasks, replace(cfg, method="domain_adaptation"), LOCAL, seed=1, origin=tasks))


@pytest.mark.parametrize("cell", [*SLOTS, "lstm"])
@pytest.mark.parametrize("context", ["none", "statistics", "privileged", "belief"])
def test_cells_are_refused_where_they_are_not_what_remembers(cell: str, context: str) -> None:
    with pytest.raises(InvalidInput, match=f"cell: {cell} is what context: recurrent remembers in"):
        parse(PPOConfig, {"cell": cell, "context": context}, "settings")


@pytest.mark.parametrize("cell", SLOTS)
def test_slots_are_set_by_contract_and_within_bounds(cell: str) -> None:
    message = settings_pb2.AlgorithmConfig()
    ppo = message.ppo
    ppo.context, ppo.memory_slots, ppo.memory_reads = settings_pb2.CONTEXT_RECURRENT, 9, 2
    ppo.cell = settings_pb2.Cell.Value(f"CELL_{cell.upper()}")
    found = algorithm_from_proto(message)
    assert found == PPOConfig(context="recurrent", cell=cell, memory_slots=9, memory_reads=2)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="memory_slots"):
        parse(PPOConfig, {"cell": cell, "context": "recurrent", "memory_slots": 65}, "settings")
