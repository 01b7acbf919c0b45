"""Messages of the rollout path ↔ bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from math import prod
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from lwmecps_core.batch import Array, RolloutBatch
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.messages import CollectionRequest, Origin, RolloutPart, SnapshotRef
from lwmecps_core.rollout.spec_codec import task_from_proto, task_to_proto
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.specs import TaskSpec
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.rollout.v1 import rollout_pb2 as pb
from protos.lwmecps.task.v1 import task_pb2

M = TypeVar("M", bound=Message)

MAX_ENTRY_BYTES = 256 * 1024
_HEAD_BYTES = 4096  # room for names, ids and lengths in an entry

_encode_task = lru_cache(maxsize=512)(task_to_proto)


@lru_cache(maxsize=512)
def _decode_task(data: bytes) -> TaskSpec:
    return task_from_proto(task_pb2.TaskSpec.FromString(data))


def make_request(
    run_id: str,
    tasks: Sequence[TaskSpec],
    snapshot: SnapshotRef,
    first_task: int,
    plan: CollectionPlan,
    reply_stream: str,
    traceparent: str = "",
) -> tuple[CollectionRequest, bytes]:
    """A request and its bytes; equal arguments give an equal id, in any process and any trace."""
    message = pb.CollectionRequest(
        run_id=run_id,
        tasks=[_encode_task(task) for task in tasks],
        snapshot=pb.SnapshotReference(hash=snapshot.hash, version=snapshot.version),
        first_task=first_task,
        plan=pb.CollectionPlan(
            seeds=plan.seeds, episodes=plan.episodes, length=plan.length, greedy=plan.greedy, held=plan.held
        ),
        reply_stream=reply_stream,
    )
    message.request_id = blake2b(message.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    message.traceparent = traceparent
    request = CollectionRequest(
        message.request_id, run_id, tuple(tasks), snapshot, first_task, plan, reply_stream, traceparent
    )
    return request, message.SerializeToString()


def decode_request(data: bytes) -> CollectionRequest:
    """Read `make_request`'s bytes; raises `InvalidInput` when they are no such message."""
    message = _parse(pb.CollectionRequest(), data, "collection request")
    plan = message.plan
    if not (message.request_id and message.reply_stream and message.tasks):
        raise _invalid("collection request", "tasks", "request_id, reply_stream and tasks are required")
    tasks = len(message.tasks)
    if len(plan.seeds) != tasks or len(plan.held) not in (0, tasks) or plan.episodes < 1:
        raise _invalid("collection request", "plan", "needs a seed (and `held`) for each task, and an episode")
    return CollectionRequest(
        id=message.request_id,
        run_id=message.run_id,
        tasks=tuple(_decode_task(task.SerializeToString(deterministic=True)) for task in message.tasks),
        snapshot=SnapshotRef(message.snapshot.hash, message.snapshot.version),
        first_task=message.first_task,
        plan=CollectionPlan(
            seeds=tuple(plan.seeds),
            episodes=plan.episodes,
            length=plan.length,
            greedy=plan.greedy,
            held=tuple(plan.held),
        ),
        reply_stream=message.reply_stream,
        traceparent=message.traceparent,
    )


def encode_failure(request_id: str, origin: Origin, error: str) -> bytes:
    """The entry that tells a learner that its request was given up."""
    return _head(request_id, origin, error=error[:2000]).SerializeToString()


def encode_batch(request_id: str, task: int, batch: RolloutBatch, origin: Origin) -> list[bytes]:
    """Entries for the `task`-th rollout of a request, split along B to stay under 256 KiB (one column at least).

    `origin.sequence` is the first entry's; the next ones count on.
    """
    step = max(1, (MAX_ENTRY_BYTES - _HEAD_BYTES) // max(1, column_bytes(batch)))
    return [
        _encode_columns(request_id, task, batch, start, step, replace(origin, sequence=origin.sequence + i))
        for i, start in enumerate(range(0, batch.width, step))
    ]


def column_bytes(batch: RolloutBatch) -> int:
    """Size of one environment's transitions in an entry."""
    numbers = [batch.obs, batch.action, batch.reward, *batch.extras.values(), *batch.info.values()]
    bits = batch.mask.size + 3 * batch.reward.size
    kept = sum(a.nbytes for a in (*batch.begun.values(), *batch.memory.values()))
    return (sum(a.nbytes for a in numbers) + bits // 8 + kept) // batch.width + 8


def decode_part(data: bytes) -> RolloutPart:
    """Read one entry; raises `InvalidInput` when it is no such message or its shapes don't fit together."""
    m = _parse(pb.RolloutBatch(), data, "rollout batch")
    origin = Origin(m.worker, m.epoch, m.sequence)
    if m.error:
        return RolloutPart(m.request_id, origin, error=m.error)
    reward = tensor_from_proto(m.reward, "rollout batch: reward")
    if reward.ndim != 2:
        raise _invalid("rollout batch", "reward", f"expected [T, B], not {list(reward.shape)}")
    t, b = reward.shape
    obs, action = tensor_from_proto(m.obs, "rollout batch: obs"), tensor_from_proto(m.action, "rollout batch: action")
    for name, array, lead in (("obs", obs, (t + 1, b)), ("action", action, (t, b))):
        if array.ndim != 3 or array.shape[:2] != lead:
            raise _invalid("rollout batch", name, f"expected [{lead[0]}, {b}, …], not {list(array.shape)}")
    if not 0 < m.first_column + b <= m.width:
        raise _invalid("rollout batch", "first_column", f"{b} columns from {m.first_column} on exceed {m.width}")
    batch = RolloutBatch(
        obs=obs,
        mask=_unpack(m.mask_bits, (t + 1, b, m.mask_size), "mask_bits"),
        action=action,
        reward=reward,
        terminated=_unpack(m.terminated_bits, (t, b), "terminated_bits"),
        truncated=_unpack(m.truncated_bits, (t, b), "truncated_bits"),
        valid=_unpack(m.valid_bits, (t, b), "valid_bits"),
        extras=dict(_unstack(m.extra_names, m.extras, (t, b), "extras")),
        info=dict(_unstack(m.info_names, m.info, (t, b), "info")),
        begun=_memory("begun", m.begun_names, m.begun, b),
        memory=_memory("memory", m.memory_names, m.memory, b),
        policy_version=m.policy_version,
        seed=m.seed,
    )
    return RolloutPart(m.request_id, origin, m.task, m.first_column, m.width, batch)


def _head(request_id: str, origin: Origin, error: str = "") -> pb.RolloutBatch:
    return pb.RolloutBatch(
        request_id=request_id, worker=origin.worker, epoch=origin.epoch, sequence=origin.sequence, error=error
    )


def _encode_columns(request_id: str, task: int, batch: RolloutBatch, start: int, step: int, origin: Origin) -> bytes:
    part = batch if step >= batch.width else batch.columns(start, start + step)
    m = _head(request_id, origin)
    m.task, m.policy_version, m.seed = task, batch.policy_version, batch.seed
    m.first_column, m.width, m.mask_size = start, batch.width, batch.mask.shape[2]
    m.obs.CopyFrom(tensor_to_proto(part.obs))
    m.action.CopyFrom(tensor_to_proto(part.action))
    m.reward.CopyFrom(tensor_to_proto(part.reward))
    m.mask_bits, m.terminated_bits = _pack(part.mask), _pack(part.terminated)
    m.truncated_bits, m.valid_bits = _pack(part.truncated), _pack(part.valid)
    for names, tensor, arrays in ((m.extra_names, m.extras, part.extras), (m.info_names, m.info, part.info)):
        if arrays:
            names.extend(arrays)
            tensor.CopyFrom(tensor_to_proto(_stack(arrays)))
    for names, tensors, kept in ((m.begun_names, m.begun, part.begun), (m.memory_names, m.memory, part.memory)):
        names.extend(kept)
        tensors.extend(tensor_to_proto(array) for array in kept.values())
    return m.SerializeToString()


def _memory(field: str, names: Sequence[str], tensors: Sequence[tensor_pb2.Tensor], width: int) -> dict[str, Array]:
    if not len(names) == len(set(names)) == len(tensors):
        raise _invalid("rollout batch", field, f"{len(tensors)} tensors for the names {list(names)}")
    found: dict[str, Array] = {}
    for name, tensor in zip(names, tensors, strict=True):
        array = tensor_from_proto(tensor, f"rollout batch: {field} {name}")
        if array.shape[:1] != (width,):
            raise _invalid("rollout batch", field, f"{name} must be [{width}, …], not {list(array.shape)}")
        found[name] = array
    return found


def _stack(arrays: Mapping[str, Array]) -> Array:
    return np.stack([np.asarray(a, np.float32) for a in arrays.values()])


def _unstack(
    names: Sequence[str], tensor: tensor_pb2.Tensor, shape: tuple[int, ...], field: str
) -> Iterator[tuple[str, Array]]:
    if names:
        stacked = tensor_from_proto(tensor, f"rollout batch: {field}")
        if stacked.shape != (len(names), *shape):
            raise _invalid("rollout batch", field, f"expected {[len(names), *shape]}, not {list(stacked.shape)}")
        yield from zip(names, stacked, strict=True)


def _pack(array: Array) -> bytes:
    return np.packbits(array.astype(np.bool_, copy=False)).tobytes()


def _unpack(data: bytes, shape: tuple[int, ...], field: str) -> Array:
    count = prod(shape)
    if len(data) != -(-count // 8):
        raise _invalid("rollout batch", field, f"{len(data)} bytes, but {list(shape)} bits need {-(-count // 8)}")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).view(np.bool_).reshape(shape)


def _parse(message: M, data: bytes, source: str) -> M:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise _invalid(source, "payload", f"not a message of this kind: {error}") from None
    return message


def _invalid(source: str, field: str, reason: str) -> InvalidInput:
    return InvalidInput(source, [Violation(field, reason)])
