"""How a collection is cut into pieces of work: by its tasks and episodes, so that results don't depend on who works.

The size of the pieces is part of the result: the last bits of a matrix product depend on its size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.specs import TaskSpec

TASKS_PER_CHUNK = 20
EPISODES_PER_CHUNK = 512
"""A piece of more gains nothing from being one, and keeps other workers from helping."""


def chunks(
    tasks: Sequence[TaskSpec], plan: CollectionPlan, size: int = TASKS_PER_CHUNK
) -> Iterator[tuple[int, tuple[TaskSpec, ...], CollectionPlan]]:
    """(index of the first task, the tasks, their plan) of every piece: `size` tasks, but at least one and no more than
    have `EPISODES_PER_CHUNK` episodes side by side.
    """
    size = max(1, min(size, EPISODES_PER_CHUNK // max(1, plan.episodes)))
    for start in range(0, len(tasks), size):
        stop = start + size
        part = replace(plan, seeds=plan.seeds[start:stop], held=plan.held[start:stop])
        yield start, tuple(tasks[start:stop]), part


def take_tasks(snapshot: PolicySnapshot, start: int, stop: int) -> PolicySnapshot:
    """The part of a snapshot that tasks `start` to `stop` need: all weights unless they have a task axis."""
    if snapshot.memory:
        snapshot = replace(snapshot, memory={k: v[start:stop] for k, v in snapshot.memory.items()})
    if not snapshot.per_task:
        return snapshot
    return replace(
        snapshot,
        params={group: {k: v[start:stop] for k, v in members.items()} for group, members in snapshot.params.items()},
        extra={k: v[start:stop] for k, v in snapshot.extra.items()},
    )
