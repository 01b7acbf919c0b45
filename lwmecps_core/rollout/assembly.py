"""Putting the parts of rollouts together, each column once, in whatever order and however often they arrive."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lwmecps_core.batch import FIELDS, Array, RolloutBatch
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.messages import CollectionRequest, RolloutPart


class Assembly:
    """The rollouts of some requests while they arrive."""

    def __init__(self, requests: Sequence[CollectionRequest]) -> None:
        self._tasks: Mapping[str, list[_Columns]] = {r.id: [_Columns() for _ in r.tasks] for r in requests}

    def ids(self) -> list[str]:
        """Ids of all requests."""
        return list(self._tasks)

    def wants(self, request_id: str) -> bool:
        """Whether a part belongs here."""
        return request_id in self._tasks

    def add(self, part: RolloutPart) -> bool:
        """Take a part in; false when all its columns were there already. `InvalidInput` when it doesn't fit."""
        columns = self._tasks[part.request_id]
        if part.task >= len(columns):
            raise _unfit("task", f"{part.task} of {len(columns)}")
        return columns[part.task].add(part)

    def missing(self) -> list[str]:
        """Ids of the requests that are not complete."""
        return [id_ for id_, tasks in self._tasks.items() if not all(task.complete for task in tasks)]

    def result(self) -> list[RolloutBatch]:
        """One batch per task, in the order of the requests."""
        return [task.whole() for tasks in self._tasks.values() for task in tasks]


class _Columns:
    """One task's rollout: arrays of the full width, and which columns are filled."""

    def __init__(self) -> None:
        self._batch: RolloutBatch | None = None
        self._have = np.zeros(0, np.bool_)

    @property
    def complete(self) -> bool:
        return self._batch is not None and bool(self._have.all())

    def whole(self) -> RolloutBatch:
        assert self._batch is not None
        return self._batch

    def add(self, part: RolloutPart) -> bool:
        batch = part.batch
        assert batch is not None
        if self._batch is None:
            self._have = np.zeros(part.width, np.bool_)
            self._batch = _of_width(batch, part.width)
        start, stop = part.first_column, part.first_column + batch.width
        if len(self._have) != part.width or batch.length != self._batch.length:
            shape = [self._batch.length, self._batch.width]
            raise _unfit("width", f"[{batch.length}, {part.width}] where others are {shape}")
        if self._have[start:stop].all():
            return False
        _copy(batch, self._batch.columns(start, stop))
        self._have[start:stop] = True
        return True


def _of_width(batch: RolloutBatch, width: int) -> RolloutBatch:
    """Empty arrays like the batch's, for `width` environments."""

    def empty(a: Array) -> Array:
        return np.empty((a.shape[0], width, *a.shape[2:]), a.dtype)

    arrays: dict[str, Any] = {name: empty(getattr(batch, name)) for name in FIELDS}
    return replace(
        batch,
        **arrays,
        extras={k: empty(a) for k, a in batch.extras.items()},
        info={k: empty(a) for k, a in batch.info.items()},
        begun={k: np.empty((width, *a.shape[1:]), a.dtype) for k, a in batch.begun.items()},
        memory={k: np.empty((width, *a.shape[1:]), a.dtype) for k, a in batch.memory.items()},
    )


def _copy(source: RolloutBatch, target: RolloutBatch) -> None:
    pairs: list[tuple[Array, Array]] = [(getattr(source, name), getattr(target, name)) for name in FIELDS]
    for field in ("extras", "info", "begun", "memory"):
        mine, theirs = getattr(source, field), getattr(target, field)
        if mine.keys() != theirs.keys():
            raise _unfit(field, f"{sorted(mine)} where others have {sorted(theirs)}")
        pairs += [(mine[k], theirs[k]) for k in mine]
    for a, b in pairs:
        if a.shape != b.shape or a.dtype != b.dtype:
            raise _unfit("arrays", f"{a.dtype}{list(a.shape)} where others are {b.dtype}{list(b.shape)}")
        b[...] = a


def _unfit(field: str, reason: str) -> InvalidInput:
    return InvalidInput("rollout batch", [Violation(field, reason)])
