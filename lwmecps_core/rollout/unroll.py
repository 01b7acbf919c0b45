"""Rollouts as a pure function of (tasks, policy snapshot, plan)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lwmecps_core import context
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.context.base import PREFIX
from lwmecps_core.context.privileged import Privileged
from lwmecps_core.envs.scene import scene
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.actor import Actor, LeftAlone, PartlyLeftAlone, Watching, without_shown
from lwmecps_core.rollout.chunks import TASKS_PER_CHUNK, chunks, take_tasks
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.play import Environments
from lwmecps_core.rollout.policy_actor import PolicyActor
from lwmecps_core.rollout.remembered import WithContext, begun
from lwmecps_core.specs import TaskSpec


def unroll(tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
    """Run `plan.episodes` episodes of every task side by side in the simulator: one batch `[T, episodes]` per task."""
    return rollouts(BatchEnv(tasks, np.repeat(np.arange(len(tasks)), plan.episodes)), tasks, snapshot, plan)


def rollouts(
    env: Environments,
    tasks: Sequence[TaskSpec],
    snapshot: PolicySnapshot,
    plan: CollectionPlan,
    shown: Actor | None = None,
) -> list[RolloutBatch]:
    """What the snapshot does in `env`, which has `plan.episodes` environments of each task: one batch per task.

    Where somebody is `shown`, what that actor does, and what the snapshot remembers of it.
    """
    k, e = len(tasks), plan.episodes
    actor: Actor = PolicyActor(snapshot, env.spec, k)
    if any(plan.held):
        left_alone = LeftAlone(scene(tasks, np.repeat(np.arange(k), e)))
        actor = PartlyLeftAlone(actor, left_alone, np.repeat(np.array(plan.held), e))
    actor = Watching(actor, shown) if shown else actor
    known = _with_context(env, tasks, snapshot, e)
    batches, memory = drive(known or env, actor, plan)
    memory = without_shown(memory)
    if known is not None:
        memory = {**memory, **{PREFIX + name: x for name, x in known.memory.items()}}
    return [
        replace(
            batch,
            policy_version=snapshot.version,
            memory={name: x[i * e : (i + 1) * e] for name, x in memory.items()},
            begun=without_shown(batch.begun),
        )
        for i, batch in enumerate(batches)
    ]


def _with_context(
    env: Environments, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, each: int
) -> WithContext | None:
    """The `each` environments of every task as the policy sees them, if it has a context."""
    kept, size = context.make(snapshot.algorithm.context, env.spec), len(tasks) * each
    if kept is None:
        return None
    fresh = kept.told(tasks, each) if isinstance(kept, Privileged) else kept.begin(size)
    given = {name.removeprefix(PREFIX): x for name, x in snapshot.memory.items() if name.startswith(PREFIX)}
    return WithContext(env, kept, begun(fresh, given, len(tasks), size))


@dataclass(frozen=True)
class LocalCollector:
    """A collector in this process: no queue, no other process.

    It unrolls as many tasks at a time as workers do: the last bits of a matrix product depend on its size.
    """

    tasks_per_unroll: int = TASKS_PER_CHUNK

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        return [
            batch
            for start, part, part_plan in chunks(tasks, plan, self.tasks_per_unroll)
            for batch in unroll(part, take_tasks(snapshot, start, start + len(part)), part_plan)
        ]
