"""Where the loops' randomness comes from: tasks and seeds as pure functions of (seed, purpose, step)."""

import zlib

import numpy as np
import torch

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.progress import TaskSource


def seeds(seed: int, purpose: str, count: int) -> tuple[int, ...]:
    """`count` independent seeds below 2**63 for one purpose."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(count, np.uint64)
    return tuple(int(word >> np.uint64(1)) for word in words)


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """A generator for initial weights or minibatches."""
    return torch.Generator().manual_seed(seeds(seed, purpose, 1)[0])


def some_tasks(source: TaskSource, count: int, seed: int, step: int) -> list[TaskSpec]:
    """The tasks of one training step: new draws of a distribution, or a random choice of given tasks."""
    if isinstance(source, TaskDistribution):
        return [draw(source, s) for s in seeds(seed, f"tasks-{step}", count)]
    rng = np.random.default_rng(seeds(seed, f"tasks-{step}", 1)[0])
    chosen = rng.choice(len(source), count, replace=count > len(source))
    return [source[i] for i in chosen]


def total_episodes(given: int | None, source: TaskSource, default: int) -> int:
    """How long a run trains: as it says itself, else the most that any of its tasks asks for, else `default`.

    The most, because policies that are trained side by side, one for each task, are trained equally long.
    """
    asked = () if isinstance(source, TaskDistribution) else [task.episodes for task in source if task.episodes]
    return given or max(asked, default=default)


def given_tasks(source: TaskSource, purpose: str) -> list[TaskSpec]:
    """Tasks as they were given; raises `InvalidInput` for a distribution, which is no set of tasks."""
    if isinstance(source, TaskDistribution):
        raise InvalidInput(purpose, [Violation("tasks", "needs concrete tasks, not a distribution")])
    return list(source)
