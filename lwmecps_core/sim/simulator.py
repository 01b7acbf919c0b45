"""Many simulated clusters at once: placements in, one control interval at a time."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.compiling import KeptLoop, kept
from lwmecps_core.sim import fetching, formulas, kernel, records, scheduling, serving, state, windows
from lwmecps_core.sim.kernel import begin_episode, run_interval
from lwmecps_core.sim.state import make_params, make_state, make_work
from lwmecps_core.specs import TaskSpec


def sources_digest(*files: str) -> int:
    """A number that changes with the source of the model or of `files`.

    Numba caches by the file of the outermost function only; the digest, being part of that function's closure, makes
    the cache notice changes in what it calls.
    """
    sources = [
        str(module.__file__) for module in (fetching, formulas, kernel, records, scheduling, serving, state, windows)
    ] + list(files)
    return crc32(b"".join(Path(source).read_bytes() for source in sources))


@cache
def begin_loop() -> KeptLoop:
    """`begin(params, state, work, task_of, seeds, which, info)`: begin episodes where `which` `[B]` is true."""
    digest = sources_digest(__file__)

    def begin(p: Any, s: Any, w: Any, task_of: Any, seeds: Any, which: Any, info: Any) -> int:
        for b in range(len(task_of)):
            if which[b]:
                begin_episode(p, s, w, task_of[b], b, 0, seeds[b], info)
        return digest

    return kept(begin)


@cache
def advance_loop() -> KeptLoop:
    """`advance(params, state, work, task_of, placement, reward, info)`: one interval with the desired replicas."""
    digest = sources_digest(__file__)

    def advance(p: Any, s: Any, w: Any, task_of: Any, placement: Any, reward: Any, info: Any) -> int:
        for b in range(len(task_of)):
            for d in range(placement.shape[1]):
                for n in range(placement.shape[2]):
                    s.pools[b, d, n].desired = placement[b, d, n]
            s.envs[b].t += 1
            reward[b] = run_interval(p, s, w, task_of[b], b, 0, info)
        return digest

    return kept(advance)


def as_seeds(seeds: ArrayLike, size: int) -> NDArray[np.uint64]:
    """Seeds as uint64 `[size]`; one seed stands for all."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(seeds).astype(np.uint64), (size,)))


class Simulator:
    """B simulated clusters, cluster b that of `tasks[task_of[b]]` (equal numbers of nodes and deployments).

    `state`, `work` and `info` `[len(INFO_KEYS), B]` are overwritten by every call.
    """

    def __init__(self, tasks: Sequence[TaskSpec], task_of: ArrayLike) -> None:
        self.task_of = np.asarray(task_of, np.int64).reshape(-1)
        self.params = make_params(tasks)
        self.state = make_state(self.params, len(self.task_of))
        self.info = np.zeros((len(INFO_KEYS), len(self.task_of)), np.float32)
        self.work = make_work(self.params, 1)

    def begin(self, seeds: ArrayLike) -> None:
        """Begin an episode in every cluster: seeds `[B]`."""
        size = len(self.task_of)
        begin_loop()(
            self.params, self.state, self.work, self.task_of, as_seeds(seeds, size), np.ones(size, np.bool_), self.info
        )

    def advance(self, placement: NDArray[np.int32]) -> NDArray[np.float32]:
        """One interval with the desired replicas `[B, D, N]` (within limits: `limit_placement`); the rewards `[B]`."""
        reward = np.zeros(len(self.task_of), np.float32)
        placement = np.require(placement, np.int32, ["C", "W"])  # for a read-only array numba would compile once more
        advance_loop()(self.params, self.state, self.work, self.task_of, placement, reward, self.info)
        return reward


def limit_placement(
    placement: NDArray[np.int32],
    limit: NDArray[np.int32],
    max_replicas: NDArray[np.int64],
    kept: NDArray[np.int32] | int = 0,
) -> NDArray[np.int32]:
    """What of the desired replicas `[D, N]` may be: at least `kept` and at most `limit` per node, `max_replicas` `[D]`
    over nodes, what is more than kept in node order.
    """
    most = (max_replicas - np.sum(np.broadcast_to(kept, limit.shape), axis=1))[:, None]
    more: NDArray[np.int32] = np.minimum(np.clip(placement - kept, 0, limit - kept).cumsum(axis=1), most).astype(
        np.int32
    )
    more[:, 1:] -= more[:, :-1].copy()
    return more + np.int32(kept) if isinstance(kept, int) else more + kept
