"""Where learners put the policy snapshots that workers act by: immutable, versioned, named by their content."""

import json
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import redis

from lwmecps_core import tensor_file
from lwmecps_core.algorithms.base import LEARNER
from lwmecps_core.config import dump, parse
from lwmecps_core.errors import Conflict, InvalidInput, NotFound, Violation
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.rollout.messages import SnapshotRef
from lwmecps_core.rollout.redis_queue import broker_errors
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.tensor_file import check_finite
from lwmecps_core.tree import flatten, prefixed, under, unflatten

KEEP = 4
"""How many of a run's newest snapshots a store keeps."""
TTL_S = 24 * 3600.0
"""How long a run's snapshots stay after its last one."""


@dataclass(frozen=True)
class FrozenSnapshot:
    """A snapshot's bytes and its name, which is their hash."""

    ref: SnapshotRef
    data: bytes


class PolicyStore(Protocol):
    """Snapshots of runs. What `get` returns never changes; only the newest `KEEP` of a run are there."""

    def put(self, run_id: str, snapshot: FrozenSnapshot) -> None:
        """Store a snapshot as the run's newest; storing the same one again only makes it the newest."""

    def get(self, run_id: str, ref: SnapshotRef) -> PolicySnapshot:
        """Raises `NotFound` for a snapshot that was never there or has made room for newer ones."""

    def delete(self, run_id: str) -> None:
        """Remove all of a run's snapshots."""


def freeze(snapshot: PolicySnapshot) -> FrozenSnapshot:
    """What of a snapshot acts, as a safetensors file; equal snapshots give equal bytes, in any process."""
    acting = {name: x for name, x in snapshot.extra.items() if not name.startswith(LEARNER)}
    tensors = prefixed(acting, "extra/") | flatten(snapshot.params, "params")
    tensors |= prefixed(snapshot.memory, "memory/")
    header = {"algorithm": dump(snapshot.algorithm), "version": snapshot.version, "per_task": snapshot.per_task}
    # One entry: of several the order would vary, and the bytes' hash is the snapshot's name.
    data = tensor_file.write(tensors, {"snapshot": json.dumps(header, sort_keys=True)})
    return FrozenSnapshot(SnapshotRef(sha256(data).hexdigest(), snapshot.version), data)


def thaw(data: bytes) -> PolicySnapshot:
    """Read the bytes that `freeze` made; raises `InvalidInput` when it is not such a file, or when its weights are not
    all finite: nobody can act by them, and the run shall hear of it. Where each task has weights of its own they may
    be anything: a task that diverged doesn't stop the others, and goes back to its start. So may memory: the least of
    nothing is infinite.
    """
    source = "policy snapshot"
    with tensor_file.reading(source, "weights", "snapshot"):
        tensors, texts = tensor_file.read(data)
        header = json.loads(texts["snapshot"])
        if not header["per_task"]:
            check_finite({name: x for name, x in tensors.items() if not name.startswith("memory/")})
        algorithm = parse(AlgorithmConfig, header["algorithm"], source)
        params, extra = unflatten(tensors, "params"), under(tensors, "extra/")
        memory = under(tensors, "memory/")
        return PolicySnapshot(algorithm, params, extra, header["version"], header["per_task"], memory)


_PUT = """
local newest = tonumber(redis.call('HGET', KEYS[3], 'token') or '0')
if newest > tonumber(ARGV[6]) then return newest end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
local order = tonumber(redis.call('HINCRBY', KEYS[3], 'puts', 1))
redis.call('ZADD', KEYS[2], order, ARGV[2])
local old = redis.call('ZRANGE', KEYS[2], 0, -(tonumber(ARGV[4]) + 1))
for _, hash in ipairs(old) do
  redis.call('DEL', ARGV[5] .. hash)
  redis.call('ZREM', KEYS[2], hash)
end
redis.call('HSET', KEYS[3], 'token', ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 0
"""


class RedisPolicyStore:
    """`PolicyStore` in Redis: a key for each snapshot, their order, and how many there were, under which token.

    `put` under a fencing `token` lower than one that stored a snapshot of the run before raises `Conflict`.
    """

    def __init__(self, client: "redis.Redis", keep: int = KEEP, ttl_s: float = TTL_S, token: int = 0) -> None:
        self._redis: Any = client
        self._keep, self._ttl_ms, self._token = keep, int(ttl_s * 1000), token
        self._put = client.register_script(_PUT)

    def put(self, run_id: str, snapshot: FrozenSnapshot) -> None:
        """Store a snapshot as the newest."""
        blob, ref = _key(run_id, "blob:"), snapshot.ref
        with broker_errors("policy snapshots"):
            newest = self._put(
                keys=[blob + ref.hash, _key(run_id, "order"), _key(run_id, "puts")],
                args=[snapshot.data, ref.hash, self._ttl_ms, self._keep, blob, self._token],
            )
        if newest:
            raise Conflict(f"run {run_id}: fencing token {self._token} is stale, the newest is {newest}")

    def get(self, run_id: str, ref: SnapshotRef) -> PolicySnapshot:
        """The snapshot that `ref` names; `InvalidInput` when its bytes were altered."""
        with broker_errors("policy snapshots"):
            data = self._redis.get(_key(run_id, "blob:") + ref.hash)
        if data is None:
            raise NotFound("policy snapshot", ref.hash)
        if sha256(data).hexdigest() != ref.hash:
            raise InvalidInput("policy snapshot", [Violation("hash", f"the bytes stored as {ref.hash} are others")])
        return thaw(data)

    def delete(self, run_id: str) -> None:
        """Remove a run's snapshots."""
        with broker_errors("policy snapshots"):
            hashes = self._redis.zrange(_key(run_id, "order"), 0, -1)
            blobs = [_key(run_id, "blob:") + hash_.decode() for hash_ in hashes]
            self._redis.delete(*blobs, _key(run_id, "order"), _key(run_id, "puts"))


class CachedPolicies:
    """The snapshots that a worker used last, each loaded once."""

    def __init__(self, store: PolicyStore, size: int = KEEP) -> None:
        self._store, self._size = store, size
        self._kept: OrderedDict[str, PolicySnapshot] = OrderedDict()

    def get(self, run_id: str, ref: SnapshotRef) -> PolicySnapshot:
        """As `PolicyStore.get`."""
        if ref.hash not in self._kept:
            self._kept[ref.hash] = self._store.get(run_id, ref)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(ref.hash)
        return self._kept[ref.hash]


def _key(run_id: str, name: str) -> str:
    return f"lwmecps:policy:{{{run_id}}}:{name}"
