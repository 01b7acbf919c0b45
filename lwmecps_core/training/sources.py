"""What a run learns from: given tasks, a distribution, or tasks drawn from it; and what is refused."""

from collections.abc import Sequence

from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.kinds import KINDS
from lwmecps_core.specs import TaskDistribution, TaskSpec, unlike
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.progress import TaskSource
from lwmecps_core.training.sampling import seeds


def check_source(kind: str, items: Sequence[TaskSpec | TaskDistribution], num_tasks: int) -> None:
    """Raise `InvalidInput` when a run of this kind can't work on these tasks.

    The kind is empty for tasks that a run names beside those it works on.
    """
    distributions = sum(isinstance(item, TaskDistribution) for item in items)
    reason = ""
    if not items:
        raise InvalidInput("run", [Violation("task_ids", "at least one task is needed")])
    if distributions and not num_tasks and kind and KINDS[kind].one_by_one:
        reason = f"must be set when a run of kind {kind} names a task distribution"
    elif distributions and not num_tasks and len(items) > 1:
        reason = "must be set when a run names a task distribution beside other tasks"
    elif num_tasks and not distributions:
        reason = "must be 0 when a run names no task distribution"
    if reason:
        raise InvalidInput("run", [Violation("num_tasks", reason)])
    most, count = KINDS[kind].most_tasks if kind else 0, len(items) - distributions + num_tasks
    if most and count > most:
        raise InvalidInput("run", [Violation("task_ids", f"a run of kind {kind} takes {most} at most, not {count}")])
    specs = {spec.env_id for spec in items}
    if len(specs) > 1:
        raise InvalidInput("run", [Violation("task_ids", f"tasks of one environment are needed, not {sorted(specs)}")])
    if kind and not KINDS[kind].one_by_one:
        check_together(items)


def check_together(items: Sequence[TaskSpec | TaskDistribution]) -> None:
    """Raise `InvalidInput` unless all tasks show the same quantities, as those that one policy learns from must."""
    shown = [env_spec(draw(item, 0) if isinstance(item, TaskDistribution) else item) for item in items]
    for i, other in enumerate(shown):
        if differ := unlike(shown[0], other):
            first, this = (getattr(items[k], "name", "") or f"tasks[{k}]" for k in (0, i))
            reason = f"{first} and {this} can't be learnt together: they show {differ}, and all need them, or none"
            raise InvalidInput("run", [Violation("task_ids", reason)])


def resolve_source(
    kind: str, items: Sequence[TaskSpec | TaskDistribution], num_tasks: int, task_seed: int
) -> TaskSource:
    """What a loop learns from: the tasks themselves, a distribution, or `num_tasks` tasks drawn from each in turn."""
    check_source(kind, items, num_tasks)
    given = tuple(item for item in items if isinstance(item, TaskSpec))
    distributions = [item for item in items if isinstance(item, TaskDistribution)]
    if not distributions:
        return given
    if not num_tasks:
        return distributions[0]
    drawn = enumerate(seeds(task_seed, "tasks", num_tasks))
    return given + tuple(draw(distributions[i % len(distributions)], seed) for i, seed in drawn)
