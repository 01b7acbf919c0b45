"""Tasks, and environments over them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lwmecps_core.envs import placement
from lwmecps_core.envs.batched import PlacementVectorEnv
from lwmecps_core.envs.knowing import Knowing, VectorKnowing
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.seeding import whole_seed
from lwmecps_core.specs import ALL_ENV_IDS, TaskDistribution, TaskSpec
from lwmecps_core.tasks import files
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.progress import TaskSource
from lwmecps_core.training.sources import resolve_source

OneTask = str | Path | TaskSpec | TaskDistribution
"""A task or a way to draw tasks: itself, its file, or the id of an environment, which stands for its default task."""
Tasks = OneTask | Sequence[OneTask]


def load_task(source: OneTask, seed: int | None = None) -> Any:
    """The task, or the way to draw tasks, in a file; with a seed, the task that is drawn by it.

    `source` may also be the id of an environment, for its default task, or a task. Raises `InvalidInput` with the file,
    the path inside it and the reason for every problem.

    >>> import lwmecps_core
    >>> task = lwmecps_core.load_task("examples/city.yaml", seed=1)
    >>> len(task.cluster.nodes), len(task.deployments)
    (4, 4)
    """
    item = _item(source)
    return item if seed is None or isinstance(item, TaskSpec) else draw(item, whole_seed(seed))


def make_env(
    task: OneTask = "lwmecps-v3",
    *,
    env_id: str = "",
    seed: int = 0,
    context: str = "",
    render_mode: str | None = None,
    backend: Any = None,
) -> Any:
    """A Gymnasium environment over one task: an action, one control interval, a reward.

    A distribution gives its task of `seed`. `env_id` is another version than the task's own; `context` shows what that
    context (`statistics`) has found out about the cluster beside what the environment shows. `backend` is a
    `ClusterBackend` of the task, without one the simulator.

    >>> import lwmecps_core
    >>> env = lwmecps_core.make_env("examples/city.yaml", seed=1)
    >>> obs, info = env.reset(seed=0)
    >>> sorted(obs)
    ['deployment', 'global', 'limits', 'objective']
    """
    chosen = load_task(task, seed)
    env = placement.make_env(known_env(env_id or chosen.env_id), chosen, backend, render_mode)
    return Knowing(env, context) if context else env


def make_vec(
    tasks: Tasks = "lwmecps-v3",
    num_envs: int = 1,
    *,
    env_id: str = "",
    seed: int = 0,
    context: str = "",
    num_threads: int = 1,
) -> Any:
    """A Gymnasium vector environment: `num_envs` simulated clusters, stepped by one compiled call.

    Environment i solves task i modulo the number of tasks; a distribution gives as many tasks as there are
    environments, drawn with seeds from `seed`. All must be of one size. See `make_env` for the rest.

    >>> import lwmecps_core
    >>> envs = lwmecps_core.make_vec("examples/city.yaml", 8)
    >>> obs, info = envs.reset(seed=0)
    >>> obs["deployment"].shape
    (8, 4, 11)
    """
    if not isinstance(num_envs, int) or num_envs < 1:
        reason = f"must be a whole number from 1 on, not {num_envs!r}"
        raise InvalidInput("environment", [Violation("num_envs", reason)])
    items = _items(tasks)
    many = any(isinstance(item, TaskDistribution) for item in items)
    drawn = resolve_source("", items, num_envs if many else 0, whole_seed(seed))
    chosen = list(drawn) if isinstance(drawn, tuple) else []
    envs = PlacementVectorEnv(num_envs, chosen, known_env(env_id or chosen[0].env_id), num_threads)
    return VectorKnowing(envs, context) if context else envs


def known_env(env_id: str) -> str:
    """An environment's id; raises `InvalidInput` for another text."""
    name = env_id.replace("/", "-", 1)
    if name not in ALL_ENV_IDS:
        raise InvalidInput("environment", [Violation("env_id", f"{env_id!r} is none of {', '.join(ALL_ENV_IDS)}")])
    return name


def source_of(kind: str, tasks: Tasks, num_tasks: int, task_seed: int) -> TaskSource:
    """What a run of a kind works on; see `resolve_source`."""
    if not isinstance(num_tasks, int) or num_tasks < 0:
        raise InvalidInput(kind, [Violation("num_tasks", f"must be a whole number from 0 on, not {num_tasks!r}")])
    return resolve_source(kind, _items(tasks), num_tasks, whole_seed(task_seed))


def _items(tasks: Tasks) -> list[TaskSpec | TaskDistribution]:
    several = not isinstance(tasks, OneTask)
    return list(_each(tasks)) if several else [_item(tasks)]  # type: ignore[arg-type]


def _each(tasks: Any) -> Iterator[TaskSpec | TaskDistribution]:
    try:
        items = list(tasks)
    except TypeError:
        raise InvalidInput("tasks", [Violation(".", f"must be tasks, not {type(tasks).__name__}")]) from None
    yield from map(_item, items)


def _item(source: OneTask) -> TaskSpec | TaskDistribution:
    if isinstance(source, TaskSpec | TaskDistribution):
        return source
    if not isinstance(source, str | Path):
        reason = f"must be a task, a distribution, a file or the id of an environment, not {type(source).__name__}"
        raise InvalidInput("task", [Violation(".", reason)])
    if str(source).replace("/", "-", 1) in ALL_ENV_IDS:
        return placement.default_task(known_env(str(source)))
    return files.load_task(Path(source))
