import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lwmecps_core.errors import InvalidInput, NotFound
from lwmecps_core.rollout.chunks import chunks, take_tasks
from lwmecps_core.rollout.messages import SnapshotRef
from lwmecps_core.rollout.policy_store import CachedPolicies, RedisPolicyStore, freeze, thaw
from tests.rollout.factory import plan, snapshot, tasks
from tests.rollout.memory import MemoryPolicyStore


@pytest.fixture(params=["memory", "redis"])
def make_store(request):
    if request.param == "memory":
        return MemoryPolicyStore
    client = request.getfixturevalue("redis_client")
    return lambda **kw: RedisPolicyStore(client, **kw)


@pytest.fixture
def run_id():
    return uuid.uuid4().hex


def assert_same(a, b):
    assert (a.algorithm, a.version, a.per_task) == (b.algorithm, b.version, b.per_task)
    for mine, theirs in ((a.params["actor"], b.params["actor"]), (a.extra, b.extra)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) and mine[k].dtype == theirs[k].dtype for k in mine)


def test_stored_snapshot_comes_back_equal(make_store, run_id):
    store, frozen = make_store(), freeze(snapshot(per_task=4))
    store.put(run_id, frozen)
    assert_same(store.get(run_id, frozen.ref), snapshot(per_task=4))
    store.delete(run_id)


def test_snapshot_does_not_change_when_its_tensors_do(make_store, run_id):
    store, live = make_store(), snapshot()
    frozen = freeze(live)
    store.put(run_id, frozen)
    live.params["actor"]["w"].zero_()
    assert_same(store.get(run_id, frozen.ref), snapshot())


def test_only_the_newest_snapshots_of_a_run_are_kept(make_store, run_id):
    store = make_store(keep=2)
    made = [freeze(snapshot(version=i)) for i in range(5)]
    for frozen in made:
        store.put(run_id, frozen)
    for frozen in made[:3]:
        with pytest.raises(NotFound, match="policy snapshot"):
            store.get(run_id, frozen.ref)
    assert [store.get(run_id, frozen.ref).version for frozen in made[3:]] == [3, 4]


def test_storing_again_makes_a_snapshot_the_newest(make_store, run_id):
    store = make_store(keep=2)
    a, b, c = (freeze(snapshot(version=i)) for i in range(3))
    for frozen in (a, b, a, c):
        store.put(run_id, frozen)
    assert store.get(run_id, a.ref).version == 0
    with pytest.raises(NotFound):
        store.get(run_id, b.ref)


def test_deleted_run_leaves_nothing(make_store, run_id):
    store, frozen = make_store(), freeze(snapshot())
    store.put(run_id, frozen)
    store.delete(run_id)
    with pytest.raises(NotFound):
        store.get(run_id, frozen.ref)


def test_redis_keeps_no_keys_of_a_deleted_run(redis_client, run_id):
    store = RedisPolicyStore(redis_client)
    store.put(run_id, freeze(snapshot()))
    assert redis_client.keys(f"*{run_id}*")
    assert all(redis_client.pttl(key) > 0 for key in redis_client.keys(f"*{run_id}*"))
    store.delete(run_id)
    assert not redis_client.keys(f"*{run_id}*")


def test_altered_bytes_are_not_loaded(redis_client, run_id):
    store, frozen = RedisPolicyStore(redis_client), freeze(snapshot())
    store.put(run_id, frozen)
    (key,) = redis_client.keys(f"*{run_id}*blob*")
    redis_client.set(key, freeze(snapshot(value=9.0)).data)
    with pytest.raises(InvalidInput, match="hash"):
        store.get(run_id, frozen.ref)
    store.delete(run_id)


def test_hash_names_content_version_and_nothing_else():
    assert freeze(snapshot()).ref == freeze(snapshot()).ref
    refs = {freeze(s).ref.hash for s in (snapshot(), snapshot(version=2), snapshot(value=1.0), snapshot(per_task=1))}
    assert len(refs) == 4


def test_hash_does_not_depend_on_the_process():
    code = (
        "from tests.rollout.factory import snapshot; from lwmecps_core.rollout.policy_store import freeze;"
        "print(freeze(snapshot()).ref.hash)"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert other.stdout.strip() == freeze(snapshot()).ref.hash


def test_what_is_no_snapshot_is_refused():
    for data in (b"", b"12345678", freeze(snapshot()).data[:-3]):
        with pytest.raises(InvalidInput, match="not a snapshot"):
            thaw(data)


def test_what_nobody_can_act_by_is_refused_by_the_name_of_its_tensor():
    spoilt = freeze(snapshot(value=float("nan"))).data
    with pytest.raises(InvalidInput, match="not a snapshot: params/actor/w holds NaN or infinite numbers"):
        thaw(spoilt)


def test_a_memory_may_hold_what_is_not_finite():
    one = replace(snapshot(), memory={"least": torch.tensor([float("inf")])})
    assert thaw(freeze(one).data).memory["least"].isinf().all()


def test_a_task_that_diverged_does_not_stop_the_others():
    one = snapshot(per_task=2)
    one.params["actor"]["w"][0] = float("nan")
    assert torch.equal(thaw(freeze(one).data).params["actor"]["w"][1], one.params["actor"]["w"][1])


def test_worker_loads_a_snapshot_once():
    class Counting(MemoryPolicyStore):
        loads = 0

        def get(self, run_id, ref):
            self.loads += 1
            return super().get(run_id, ref)

    store, a, b = Counting(), freeze(snapshot()), freeze(snapshot(version=2))
    for frozen in (a, b):
        store.put("run", frozen)
    cache = CachedPolicies(store, size=1)
    for frozen in (a, a, b, b, a):
        assert cache.get("run", frozen.ref).version == frozen.ref.version
    assert store.loads == 3
    with pytest.raises(NotFound):
        cache.get("run", SnapshotRef("0" * 64, 1))


def test_chunks_cover_all_tasks_with_their_seeds_and_weights():
    whole = snapshot(per_task=5)
    cut = list(chunks(tasks(5), plan(5), size=2))
    assert [start for start, _, _ in cut] == [0, 2, 4]
    assert [t.name for _, part, _ in cut for t in part] == [f"task-{i}" for i in range(5)]
    assert [seed for _, _, p in cut for seed in p.seeds] == list(plan(5).seeds)
    pieces = [take_tasks(whole, start, start + len(part)).params["actor"]["w"] for start, part, _ in cut]
    assert torch.equal(torch.cat(pieces), whole.params["actor"]["w"])
    assert take_tasks(snapshot(), 2, 4).params["actor"]["w"].shape == (2, 3)


def test_many_episodes_side_by_side_are_cut_so_that_several_workers_can_help():
    sizes = {n: [len(p) for _, p, _ in chunks(tasks(30), replace(plan(30), episodes=n))] for n in (1, 25, 64, 600)}
    assert sizes == {1: [20, 10], 25: [20, 10], 64: [8, 8, 8, 6], 600: [1] * 30}
