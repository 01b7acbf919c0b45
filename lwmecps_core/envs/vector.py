"""Many simulated environments at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.envs.actions import action_masks, discrete_nvec, env_spec, to_discrete
from lwmecps_core.envs.observation import version_of
from lwmecps_core.envs.stepping import observe_loop, step_loop
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.simulator import as_seeds, begin_loop
from lwmecps_core.sim.state import State, make_params, make_state, make_work
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_MOST_THREADS = int(getattr(numba.config, "NUMBA_NUM_THREADS"))  # noqa: B009 - numba makes its settings at run time


class BatchEnv:
    """B simulated environments stepped by one compiled call; environment b solves `tasks[task_of[b]]`.

    An episode is a pure function of (task, seed, actions), whatever else is in the batch. There is no autoreset:
    stepping on after the end is harmless and means nothing. The arrays that `reset` and `step` return are buffers which
    the next call overwrites: copy what must last. With `num_threads` > 1, step from one Python thread at a time.

    Raises `InvalidInput` when the tasks do not share one `EnvSpec`, or when a task index or an action's shape is wrong.
    """

    def __init__(self, tasks: Sequence[TaskSpec], task_of: ArrayLike, num_threads: int = 1) -> None:
        self.tasks = tuple(tasks)
        self.task_of = np.asarray(task_of, np.int64).reshape(-1)
        self._check()
        self.spec = env_spec(self.tasks[0])
        self.size = len(self.task_of)
        self.params = make_params(self.tasks)
        self.state: State = make_state(self.params, self.size)
        self._threads = max(1, min(num_threads, _MOST_THREADS))
        self._work = make_work(self.params, self._threads)
        self._version = version_of(self.spec.env_id)
        self._nvec = discrete_nvec(self.tasks[0])
        self._masks, self._first_mask = _stack_masks(self.tasks, self.spec.discrete)
        self._mask = np.ascontiguousarray(self._masks[self._first_mask[self.task_of]])
        self._obs = np.zeros((self.size, self.spec.obs_size), np.float32)
        self._reward = np.zeros(self.size, np.float32)
        self._terminated = np.zeros(self.size, np.bool_)
        self._truncated = np.zeros(self.size, np.bool_)
        self._info = np.zeros((len(INFO_KEYS), self.size), np.float32)
        self._info_rows: Mapping[str, Floats] = {key: self._info[i] for i, key in enumerate(INFO_KEYS)}

    def reset(self, seeds: ArrayLike) -> tuple[Floats, Bools]:
        """Begin all episodes: seeds uint64 `[B]` → obs `[B, O]`, mask `[B, M]`."""
        return self.reset_where(np.ones(self.size, np.bool_), seeds)

    def reset_where(self, which: Bools, seeds: ArrayLike) -> tuple[Floats, Bools]:
        """Begin new episodes where `which` `[B]` is true, and leave the others as they are."""
        seeds = as_seeds(seeds, self.size)
        begin_loop()(self.params, self.state, self._work, self.task_of, seeds, which, self._info)
        observe_loop()(self._version, self.params, self.state, self.task_of, which, self._obs)
        return self._obs, self._update_mask()

    def step(self, action: NDArray[Any]) -> tuple[Floats, Bools, Floats, Bools, Bools, dict[str, Floats]]:
        """One control interval: action `[B, A]` → obs, mask, reward, terminated, truncated, info (`[B, …]` each)."""
        if action.shape != (self.size, self.spec.action_size):
            reason = f"shape must be {(self.size, self.spec.action_size)}, not {action.shape}"
            raise InvalidInput("step", [Violation("action", reason)])
        discrete = action if self.spec.discrete else to_discrete(action, self._nvec)
        if self._threads > 1:
            numba.set_num_threads(self._threads)
        step_loop(self._threads > 1)(
            self._version,
            self.params,
            self.state,
            self._work,
            self.task_of,
            np.require(discrete, np.int32, ["C", "W"]),  # for a read-only array numba would compile once more
            self._obs,
            self._reward,
            self._terminated,
            self._truncated,
            self._info,
        )
        mask = self._update_mask()
        return self._obs, mask, self._reward, self._terminated, self._truncated, dict(self._info_rows)

    def info(self) -> dict[str, Floats]:
        """The quantities of the last interval, also after a reset: `[B]` each."""
        return dict(self._info_rows)

    def kept_info(self) -> dict[str, Floats]:
        """The same, the caller's to keep."""
        return dict(zip(INFO_KEYS, self._info.copy(), strict=True))

    @property
    def mask(self) -> Bools:
        """Allowed choices `[B, M]` now."""
        return self._mask

    def _update_mask(self) -> Bools:
        if self._version == 2 and self.spec.discrete:
            self._mask = self._masks[self._first_mask[self.task_of] + self.state.envs["pod"]]
        return self._mask

    def _check(self) -> None:
        if not self.tasks or not len(self.task_of):
            raise InvalidInput("environment", [Violation("tasks", "at least one task and one environment are needed")])
        if self.task_of.min() < 0 or self.task_of.max() >= len(self.tasks):
            raise InvalidInput("environment", [Violation("task_of", f"must be in [0, {len(self.tasks)})")])
        first, nodes = env_spec(self.tasks[0]), len(self.tasks[0].cluster.nodes)
        for i, task in enumerate(self.tasks):
            if env_spec(task) != first or len(task.cluster.nodes) != nodes:
                reason = "all tasks of one batch must have the same environment, sizes, replica range and horizon"
                raise InvalidInput("environment", [Violation(f"tasks[{i}]", reason)])


def warm_up() -> None:
    """Compile what environments need, or load it: the first time after an installation this takes some 10 s."""
    env = BatchEnv([draw(TaskDistribution(nodes=1, deployments=1), 0)], [0])
    env.reset([0])
    env.step(np.zeros((1, env.spec.action_size), np.int32))


def _stack_masks(tasks: Sequence[TaskSpec], discrete: bool) -> tuple[Bools, NDArray[np.int64]]:
    """All tasks' masks `[sum P, M]` and each task's first row; M is 0 when actions are continuous."""
    masks = [action_masks(task) for task in tasks]
    first = np.cumsum([0] + [len(m) for m in masks[:-1]])
    stacked = np.concatenate(masks)
    return (stacked if discrete else stacked[:, :0]), first.astype(np.int64)
