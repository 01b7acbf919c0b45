"""What a policy remembers: what it is shown, how long it lasts, and that it travels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.chunks import take_tasks
from lwmecps_core.rollout.codec import decode_part, encode_batch
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.messages import Origin
from lwmecps_core.rollout.policy_actor import PolicyActor
from lwmecps_core.rollout.policy_store import freeze, thaw
from lwmecps_core.rollout.unroll import LocalCollector, unroll
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from protos.lwmecps.rollout.v1 import rollout_pb2
from tests.rollout.remembering import Lagging, Remembering

PPO = PPOConfig(hidden_size=(8, 8))
PLAN = CollectionPlan(seeds=(5, 6, 7), episodes=2)


@pytest.fixture(autouse=True)
def remembering(monkeypatch):
    monkeypatch.setitem(algorithms.REGISTRY, "ppo", Remembering)


def _tasks(env_id="lwmecps-v3", horizon=10):
    city = TaskDistribution(nodes=3, deployments=2, max_replicas=4, horizon=horizon, env_id=env_id)
    return [draw(city, seed) for seed in range(3)]


def _snapshot(tasks, **kw):
    params, extra = algorithms.make(PPO, env_spec(tasks[0])).init(torch.Generator().manual_seed(1))
    return PolicySnapshot(PPO, params, extra, 1, **kw)


def _remembered(batches, columns=slice(None)):
    return {
        name: torch.stack([torch.as_tensor(b.memory[name][columns]) for b in batches]) for name in batches[0].memory
    }


def test_an_actor_is_shown_the_reward_and_action_of_the_interval_before():
    tasks = _tasks()
    for batch in unroll(tasks, _snapshot(tasks), PLAN):
        terms = sum(batch.info[key] for key in REWARD_TERMS)
        np.testing.assert_allclose(batch.extras["terms"][1:], terms[:-1], rtol=1e-5)
        np.testing.assert_array_equal(batch.extras["before"][1:], batch.action[:-1].sum(-1))
        assert not batch.extras["terms"][0].any() and not batch.extras["before"][0].any()
        np.testing.assert_array_equal(batch.extras["first"], [[1, 1]] + [[0, 0]] * 9)


@pytest.mark.parametrize("env_id", ["lwmecps-v2", "lwmecps-v3"])
def test_memory_lasts_over_the_episodes_of_a_task_and_a_reset_is_told(env_id):
    tasks = _tasks(env_id, horizon=4)
    for batch in unroll(tasks, _snapshot(tasks), replace(PLAN, length=15)):
        over = batch.terminated | batch.truncated
        assert over[:-2].any()
        np.testing.assert_array_equal(batch.extras["count"], np.arange(15)[:, None] * [[1, 1]])
        # An episode's end at t is followed by the interval that only carries the reset, and then by a first one.
        np.testing.assert_array_equal(batch.extras["first"][2:].astype(bool), over[:-2])
        np.testing.assert_array_equal(~batch.valid[1:], over[:-1])
        first = batch.extras["first"].astype(bool)
        assert not batch.extras["terms"][first].any() and not batch.extras["before"][first].any()


@pytest.mark.parametrize("per_task", [False, True])
def test_a_collection_begins_with_the_memory_of_its_snapshot_and_returns_the_last(per_task):
    tasks = _tasks()
    snapshot = _snapshot(tasks)
    if per_task:
        params = {g: {n: x.expand(3, *x.shape) for n, x in names.items()} for g, names in snapshot.params.items()}
        snapshot = replace(snapshot, params=params, per_task=True)
    once = LocalCollector(2).collect(tasks, snapshot, PLAN)
    assert all((b.memory["count"] == 10).all() and b.memory["shown"].shape == (2, 2) for b in once)
    again = LocalCollector(2).collect(tasks, replace(snapshot, memory=_remembered(once)), PLAN)
    assert all((b.extras["count"][0] == 10).all() and (b.memory["count"] == 20).all() for b in again)
    for before, after in zip(once, again, strict=True):
        np.testing.assert_allclose(after.memory["shown"], 2 * before.memory["shown"], rtol=1e-5)
    alike = replace(snapshot, memory=_remembered(once, slice(0, 1)))
    shared = LocalCollector(2).collect(tasks, alike, PLAN)
    begun = [batch.memory["shown"] - batch2.memory["shown"] for batch, batch2 in zip(shared, once, strict=True)]
    for difference, batch in zip(begun, once, strict=True):  # both episodes began with what the first one knew
        np.testing.assert_allclose(difference, batch.memory["shown"][[0, 0]], rtol=1e-4, atol=1e-4)


def test_tasks_that_are_left_alone_are_remembered_like_others():
    tasks = _tasks()
    held = unroll(tasks, _snapshot(tasks), replace(PLAN, held=(True, False, True)))
    assert (held[0].memory["count"] == 10).all()
    assert (held[0].action == held[0].action[0]).all() and not (held[1].action == held[1].action[0]).all()
    np.testing.assert_array_equal(held[0].extras["before"][1:], held[0].action[:-1].sum(-1))


def test_memory_is_part_of_a_snapshots_bytes_and_its_name():
    tasks = _tasks()
    batches = unroll(tasks, _snapshot(tasks), PLAN)
    empty, full = _snapshot(tasks), replace(_snapshot(tasks), memory=_remembered(batches))
    back = thaw(freeze(full).data)
    assert back.memory.keys() == full.memory.keys()
    assert all(torch.equal(back.memory[name], x) for name, x in full.memory.items())
    assert freeze(empty).ref != freeze(full).ref and not thaw(freeze(empty).data).memory
    assert take_tasks(full, 1, 3).memory["shown"].shape == (2, 2, 2)


def test_memory_travels_through_a_queue_bit_for_bit(bench):
    tasks = _tasks()
    here = LocalCollector(2).collect(tasks, _snapshot(tasks), PLAN)
    with bench.working(2, unroll=unroll):
        there = bench.collector().collect(tasks, _snapshot(tasks), PLAN)
        again = bench.collector().collect(tasks, replace(_snapshot(tasks), memory=_remembered(there)), PLAN)
    for a, b in zip(here, there, strict=True):
        assert {k: v.tobytes() for k, v in a.memory.items()} == {k: v.tobytes() for k, v in b.memory.items()}
    assert all((b.begun["count"] == 10).all() and (b.memory["count"] == 20).all() for b in again)


def test_split_entries_carry_the_memory_of_their_own_columns():
    tasks = _tasks(horizon=200)
    known = {"count": torch.zeros(3, 20), "shown": torch.randn(3, 20, 2)}
    (batch, *_) = unroll(tasks, _snapshot(tasks, memory=known), replace(PLAN, episodes=20))
    entries = encode_batch("r", 0, batch, Origin("w", 1, 0))
    assert len(entries) > 1
    for part in map(decode_part, entries):
        columns = slice(part.first_column, part.first_column + part.batch.width)
        np.testing.assert_array_equal(part.batch.memory["shown"], batch.memory["shown"][columns])
        np.testing.assert_array_equal(part.batch.begun["shown"], batch.begun["shown"][columns])


def test_memory_of_another_width_is_refused():
    tasks = _tasks()
    (entry,) = encode_batch("r", 0, unroll(tasks, _snapshot(tasks), PLAN)[0], Origin("w", 1, 0))
    message = rollout_pb2.RolloutBatch.FromString(entry)
    message.memory.pop()
    with pytest.raises(InvalidInput, match="memory: 1 tensors for the names"):
        decode_part(message.SerializeToString())
    message = rollout_pb2.RolloutBatch.FromString(entry)
    message.memory[0].shape[0], message.memory[0].data = 1, message.memory[0].data[:4]
    with pytest.raises(InvalidInput, match=r"memory: count must be \[2, …\], not \[1\]"):
        decode_part(message.SerializeToString())


def test_memory_of_what_was_seen_outlives_the_environments_buffers(monkeypatch):
    monkeypatch.setitem(algorithms.REGISTRY, "ppo", Lagging)
    tasks = _tasks()
    for batch in unroll(tasks, _snapshot(tasks), PLAN):
        assert np.isneginf(batch.extras["before"][0]).all()
        np.testing.assert_allclose(batch.extras["before"][1:], batch.obs[:-2].sum(-1), rtol=1e-5)
        np.testing.assert_array_equal(batch.memory["frame"], batch.obs[-2])


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"count": torch.zeros(3, 2)}, r"memory\[shown\]: is \[\] where the policy keeps"),
        ({"count": torch.zeros(3, 2), "shown": torch.zeros(3, 4, 2)}, r"memory\[shown\]: is \[3, 4, 2\]"),
        ({"count": torch.zeros(3, 2), "shown": torch.zeros(3, 2, 2), "h": torch.zeros(3, 2)}, r"memory\[h\]: is"),
    ],
)
def test_a_snapshots_memory_that_does_not_fit_is_refused_by_name(memory, message):
    tasks = _tasks()
    with pytest.raises(InvalidInput, match=message):
        unroll(tasks, _snapshot(tasks, memory=memory), PLAN)


def test_environments_that_go_on_are_not_told_that_an_episode_begins():
    tasks = _tasks()[:1]
    env = BatchEnv(tasks, [0, 0])
    actor = PolicyActor(_snapshot(tasks), env.spec, 1)
    plan = CollectionPlan(seeds=(5,), episodes=2, length=3)
    _, memory = drive(env, actor, plan)
    (more,), _ = drive(env, actor, plan, memory=memory, over=np.array([True, False]))
    np.testing.assert_array_equal(more.extras["first"], [[0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(more.valid, [[0, 1], [1, 1], [1, 1]])
    np.testing.assert_array_equal(more.extras["count"], [[3, 3], [4, 4], [5, 5]])
