"""How every method is measured: rows per task, and what the episodes earned that it learnt from meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import torch

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskSpec
from lwmecps_core.training.common import evaluation_plan
from lwmecps_core.training.evaluation import rows
from lwmecps_core.tree import tree_map

FIGURES = tuple(f for f in fields(Row) if f.type is float)


@dataclass
class Watch:
    """A collector in this process that remembers what every task's learning episodes earned (not the greedy ones)."""

    rewards: dict[str, list[float]] = field(default_factory=dict)
    """Task → reward of every episode."""
    env_steps: int = 0
    """Of all tasks together."""

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        batches = LocalCollector().collect(tasks, snapshot, plan)
        if not plan.greedy:
            for task, batch in zip(tasks, batches, strict=True):
                self.rewards.setdefault(task.name, []).extend(batch.reward.sum(0).tolist())
                self.env_steps += int(batch.valid.sum())
        return batches


@dataclass(frozen=True)
class MeasuredRow:
    """A row, and the mean reward per episode that the task's cluster saw while the method learnt on it (if it did)."""

    row: Row
    support_reward: float | None = None


def entries(found: Sequence[Row], method: str, watch: Watch | None = None) -> list[MeasuredRow]:
    """Rows under the method's name, each with the mean over all episodes of its task so far, or what it says itself."""
    made = []
    for row in found:
        seen = watch.rewards.get(row.task, []) if watch else []
        named = Row(**{**vars(row), "method": method})
        made.append(MeasuredRow(named, sum(seen) / len(seen) if seen else row.support_reward_mean))
    return made


def mean_row(rows: Sequence[Row]) -> Row:
    """One row out of several of the same task: the mean of every figure."""
    means = {f.name: sum(getattr(row, f.name) for row in rows) / len(rows) for f in FIGURES}
    return replace(rows[0], **means)


def measured(
    policies: Sequence[PolicyData],
    tasks: Sequence[TaskSpec],
    episodes: int,
    seed: int,
    *,
    inner_steps: int = 0,
    env_steps: int = 0,
    wall_s: float = 0.0,
) -> list[Row]:
    """Rows of one policy for each task, side by side on the episodes that every other method meets."""
    first = policies[0]
    params = tree_map(lambda *sets: torch.stack(sets), *(p.params for p in policies))
    extra = {name: torch.stack([p.extra[name] for p in policies]) for name in first.extra}
    snapshot = PolicySnapshot(first.algorithm, params, extra, 0, per_task=True)
    batches = LocalCollector().collect(tasks, snapshot, evaluation_plan(tasks, episodes, seed))
    return rows(batches, [t.name for t in tasks], "", inner_steps, env_steps, wall_s)
