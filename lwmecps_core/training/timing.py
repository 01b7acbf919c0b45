"""How long a method thinks: the time between what a cluster shows and what is done there, for one cluster."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core import baselines
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.policy import PolicyData
from lwmecps_core.results import Row
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.drive import drive
from lwmecps_core.rollout.play import Bools, Floats, Seeds
from lwmecps_core.rollout.unroll import rollouts
from lwmecps_core.specs import TaskSpec

DECISIONS = 64
PLANNERS = ("oracle",)
"""What thinks before it acts: its decisions are looked up."""


class Stopwatch:
    """An environment that notes how long it waits for each action, in seconds."""

    def __init__(self, env: BatchEnv) -> None:
        self._env, self.spec = env, env.spec
        self.waited: list[float] = []
        self._shown = 0.0

    def reset(self, seeds: Seeds) -> tuple[Floats, Bools]:
        """See `BatchEnv.reset`."""
        return self.reset_where(np.ones(self._env.size, np.bool_), seeds)

    def reset_where(self, which: Bools, seeds: Seeds) -> tuple[Floats, Bools]:
        """See `BatchEnv.reset_where`."""
        found = self._env.reset_where(which, seeds)
        self._shown = time.perf_counter()
        return found

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """See `BatchEnv.step`."""
        self.waited.append(time.perf_counter() - self._shown)
        found = self._env.step(action)
        self._shown = time.perf_counter()
        return found


def timed(rows: Sequence[Row], tasks: Sequence[TaskSpec], method: PolicyData | str) -> list[Row]:
    """The rows of a policy or a baseline with its time for a decision on the first task, where tasks have prices or
    bounds: there people ask for it.
    """
    if method in PLANNERS or not any(t.prices or t.objective.slo for t in tasks):
        return list(rows)
    env, plan = (
        Stopwatch(BatchEnv(tasks[:1], [0])),
        CollectionPlan(seeds=(0,), episodes=1, greedy=True, length=DECISIONS),
    )
    if isinstance(method, PolicyData):
        rollouts(env, tasks[:1], PolicySnapshot(method.algorithm, method.params, method.extra, 0), plan)
    else:
        drive(env, baselines.make(method, tasks[:1], [0]), plan)
    us = 1e6 * np.array(env.waited)
    return [replace(r, decision_us=float(us.mean()), decision_us_steady=float(np.median(us[1:]))) for r in rows]
