"""The compiled loop over environments: action → interval → observation, one call per batch."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import numpy as np
from numba import njit, prange

from lwmecps_core.envs.actions import act
from lwmecps_core.envs.observation import V2, observe
from lwmecps_core.sim import formulas, kernel, state
from lwmecps_core.sim.kernel import episode_start, run_interval, schedule

Step = Callable[..., object]


@cache
def sources_digest() -> int:
    """A number that changes with the source of any compiled function.

    Numba caches by the file of the outermost function only; the digest, being part of that function's closure, makes
    the cache notice changes in the others.
    """
    here = Path(__file__)
    files = [here, here.with_name("actions.py"), here.with_name("observation.py")]
    files += [Path(str(module.__file__)) for module in (formulas, kernel, state)]
    return crc32(b"".join(f.read_bytes() for f in files))


@cache
def step_function(parallel: bool) -> Step:
    """`step(version, params, state, work, task_of, action, obs, reward, terminated, truncated, info)`, in place."""
    digest = sources_digest()

    def step(
        version: int, p: Any, s: Any, w: Any, task_of: Any, action: Any,
        obs: Any, reward: Any, terminated: Any, truncated: Any, info: Any,
    ) -> int:  # fmt: skip
        size, workers = len(task_of), w.active.shape[0]
        for worker in prange(workers):
            for b in range(worker * size // workers, (worker + 1) * size // workers):
                k = task_of[b]
                env = s.envs[b]
                env.t += 1
                act(version, p, s, k, b, action[b])
                reward[b] = run_interval(p, s, w, k, b, worker, info)
                observe(version, p, s, k, b, obs[b])
                terminated[b] = version == V2 and env.pod >= p.tasks[k].pods
                truncated[b] = env.t >= p.tasks[k].horizon and not terminated[b]
        return digest

    compiled: Any = njit(cache=True, nogil=True, parallel=parallel, error_model="numpy")(step)
    return cast(Step, compiled)


@cache
def reset_function() -> Step:
    """`reset(version, params, state, work, task_of, seeds, which, obs, info)`: begin episodes where `which` is true.

    The initial replicas run at their homes, ready, and one interval passes, so that there is something to observe.
    """
    digest = sources_digest()

    def reset(version: int, p: Any, s: Any, w: Any, task_of: Any, seeds: Any, which: Any, obs: Any, info: Any) -> int:
        n_deps, n_nodes = s.ring.shape[1:3]
        for b in range(len(task_of)):
            if not which[b]:
                continue
            k = task_of[b]
            env = s.envs[b]
            env.seed, env.t, env.pod = seeds[b], 0, 0
            env.start = episode_start(p, k, seeds[b])
            env.pod_node = p.deployments[k, p.pods[k, 0]].home
            s.ring[b] = 0
            for d in range(n_deps):
                home = p.deployments[k, d].home
                for n in range(n_nodes):
                    pool = s.pools[b, d, n]
                    pool.desired = p.initial[k, d] if n == home else 0
                    pool.ready, pool.starting, pool.backlog, pool.backlog_ram = 0, 0, 0.0, 0.0
            schedule(p, s, k, b)
            s.ring[b] = 0
            for d in range(n_deps):
                for n in range(n_nodes):
                    pool = s.pools[b, d, n]
                    pool.ready += pool.starting
                    pool.starting = 0
            run_interval(p, s, w, k, b, 0, info)
            observe(version, p, s, k, b, obs[b])
        return digest

    compiled: Any = njit(cache=True, nogil=True, error_model="numpy")(reset)
    return cast(Step, compiled)


def as_seeds(seeds: Any, size: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Seeds as uint64 `[B]`."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(seeds).astype(np.uint64), (size,)))
