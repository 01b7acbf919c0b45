"""The compiled loop over environments: action → interval → observation, one call per batch."""

from functools import cache
from pathlib import Path
from typing import Any

from numba import prange

from lwmecps_core.compiling import KeptLoop, kept
from lwmecps_core.envs.actions import act
from lwmecps_core.envs.observation import V2, observe
from lwmecps_core.sim.kernel import run_interval
from lwmecps_core.sim.simulator import sources_digest

_HERE = Path(__file__)
_SOURCES = tuple(str(_HERE.with_name(name)) for name in (_HERE.name, "actions.py", "observation.py"))


@cache
def step_loop(parallel: bool) -> KeptLoop:
    """`step(version, params, state, work, task_of, action, obs, reward, terminated, truncated, info)`, in place."""
    digest = sources_digest(*_SOURCES)

    def step(
        version: int,
        p: Any,
        s: Any,
        w: Any,
        task_of: Any,
        action: Any,
        obs: Any,
        reward: Any,
        terminated: Any,
        truncated: Any,
        info: Any,
    ) -> int:
        size, workers = len(task_of), w.active.shape[0]
        for worker in prange(workers):
            first = worker * size // workers
            for b in range(first, (worker + 1) * size // workers):
                k = task_of[b]
                env = s.envs[b]
                env.t += 1
                act(version, p, s, k, b, action[b])
                reward[b] = run_interval(p, s, w, k, b, worker, info)
                observe(version, p, s, k, b, obs, b - 1 if b > first and task_of[b - 1] == k else -1)
                terminated[b] = version == V2 and env.pod >= p.tasks[k].pods
                truncated[b] = env.t >= p.tasks[k].horizon and not terminated[b]
        return digest

    return kept(step, parallel=parallel)


@cache
def observe_loop() -> KeptLoop:
    """`observe_where(version, params, state, task_of, which, obs)`: write observations where `which` `[B]` is true."""
    digest = sources_digest(*_SOURCES)

    def observe_where(version: int, p: Any, s: Any, task_of: Any, which: Any, obs: Any) -> int:
        for b in range(len(task_of)):
            if which[b]:
                observe(version, p, s, task_of[b], b, obs, -1)
        return digest

    return kept(observe_where)
