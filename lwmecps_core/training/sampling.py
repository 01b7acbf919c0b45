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


def some_tasks(source: TaskSource, count: int, seed: int, step: int, times: int = 1) -> list[TaskSpec]:
    """The tasks of one training step: new draws of a distribution, or a random choice of given tasks.

    Each stays for `times` steps in a row; where that is more than one, they take turns in being replaced (`renewed`).
    """
    rounds = [(step + place % times) // times for place in range(count)]
    numbers = {r: drawn(source, count, seed, r) for r in set(rounds)}
    return [numbered(source, numbers[r][place]) for place, r in enumerate(rounds)]


def drawn(source: TaskSource, count: int, seed: int, turn: int) -> tuple[int, ...]:
    """What a round of `count` tasks is drawn by: seeds of a distribution, or indices of given tasks."""
    if isinstance(source, TaskDistribution):
        return seeds(seed, f"tasks-{turn}", count)
    return tuple(_choice(len(source), count, seed, turn))


def numbered(source: TaskSource, number: int) -> TaskSpec:
    """The task that `drawn` names."""
    return draw(source, number) if isinstance(source, TaskDistribution) else source[number]


def renewed(count: int, step: int, times: int) -> list[bool]:
    """Which of the tasks of a training step were no part of the one before."""
    return [step == 0 or (step + place) % times == 0 for place in range(count)]


def _choice(size: int, count: int, seed: int, step: int) -> list[int]:
    rng = np.random.default_rng(seeds(seed, f"tasks-{step}", 1)[0])
    chosen: list[int] = rng.choice(size, count, replace=count > size).tolist()
    return chosen


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
