"""One session: B simulated environments of one task behind next-step autoreset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.errors import InvalidInput, Violation, WrongState
from lwmecps_core.seeding import generator
from lwmecps_core.specs import TaskSpec

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """What B environments show: obs `[B, O]`, mask `[B, M]`, reward, terminated, truncated `[B]` (None after a reset).

    The arrays are buffers that the session's next call overwrites.
    """

    obs: Floats
    mask: Bools
    info: Mapping[str, Floats]
    reward: Floats | None = None
    terminated: Bools | None = None
    truncated: Bools | None = None


@dataclass(frozen=True)
class ClusterView:
    """What one environment's cluster shows (see `ClusterState` in `cluster.proto`): arrays `[D, N]`, `[N]` or `[D]`."""

    task: TaskSpec
    time_s: float
    desired: NDArray[np.int32]
    ready: NDArray[np.int32]
    cpu_utilisation: Floats
    ram_utilisation: Floats
    request_rate_rps: Floats
    latency_ms: Floats


class SimulatedSession:
    """B environments; an environment whose episode ended only begins a new one in the next step.

    A session with seed s meets the very episodes that a collection of B episodes with seed s meets. Methods that need
    running episodes raise `WrongState` before the first `reset`.
    """

    def __init__(self, task: TaskSpec, size: int, seed: int) -> None:
        # Imported here: a service without sessions needs neither numba nor SciPy.
        from lwmecps_core.envs.vector import BatchEnv

        self.task = task
        self.env = BatchEnv([task], np.zeros(size, np.int64))
        self.spec, self.size = self.env.spec, size
        self._rng = generator(seed)
        self._running = False
        self._over = np.zeros(size, np.bool_)
        self._any_over = False

    def close(self) -> None:
        """Nothing outside this process waits to be released."""

    def reset(self, seed: int | None) -> Frame:
        """Begin a new episode in every environment, from `seed` or going on with the session's randomness."""
        if seed is not None:
            self._rng = generator(seed)
        obs, mask = self.env.reset(self._seeds())
        self._running, self._any_over = True, False
        self._over[:] = False
        return Frame(obs, mask, self.env.info())

    def step(self, action: NDArray[Any]) -> Frame:
        """One control interval everywhere: action `[B, A]`, already checked."""
        self.require_running()
        obs, mask, reward, terminated, truncated, info = self.env.step(action)
        if self._any_over:
            over = self._over
            obs, mask = self.env.reset_where(over, self._seeds())
            reward[over], terminated[over], truncated[over] = 0.0, False, False
        np.logical_or(terminated, truncated, out=self._over)
        self._any_over = bool(self._over.any())
        return Frame(obs, mask, info, reward, terminated, truncated)

    def view(self, index: int) -> ClusterView:
        """What the cluster of environment `index` shows now."""
        self._check_index(index)
        state, nodes = self.env.state, self.task.cluster.nodes
        pools, node_states = state.pools[index], state.nodes[index]
        share = np.asarray(self.task.workload.share, np.float64)
        return ClusterView(
            task=self.task,
            time_s=float(state.envs["t"][index]) * self.task.interval_s,
            desired=pools["desired"].astype(np.int32),
            ready=pools["ready"].astype(np.int32),
            cpu_utilisation=np.clip(node_states["cpu_used"], 0.0, 1.0).astype(np.float32),
            ram_utilisation=(node_states["ram_requested"] / [n.ram_mib for n in nodes]).astype(np.float32),
            request_rate_rps=(node_states["rate"][:, None] * share).T.astype(np.float32),
            latency_ms=state.deployments["latency_ms"][index].astype(np.float32),
        )

    def place(self, index: int, replicas: NDArray[Any]) -> ClusterView:
        """Set the desired replicas `[D, N]` of environment `index`; the next step acts from there.

        Raises `InvalidInput` where more is asked for than a node or a deployment can ever hold.
        """
        self._check_index(index)
        check_placement(self.task, replicas, self.env.params.limit[0])
        self.env.state.pools["desired"][index] = replicas
        return self.view(index)

    def require_running(self) -> None:
        """Raises `WrongState` unless the episodes have begun."""
        if not self._running:
            raise WrongState("the session has no running episode: reset it first")

    def _check_index(self, index: int) -> None:
        self.require_running()
        if index >= self.size:
            _refuse("env_index", f"must be below the session's number of environments, {self.size}, not {index}")

    def _seeds(self) -> NDArray[np.uint64]:
        return self._rng.integers(0, 2**63, self.size, dtype=np.uint64)


def check_placement(task: TaskSpec, replicas: NDArray[Any], limit: NDArray[Any]) -> None:
    """Raise `InvalidInput` unless `replicas` `[D, N]` are within `limit` and sum to no more than max_replicas."""
    if replicas.dtype.kind != "i":
        _refuse("placement.replicas.dtype", f"must be integers, not {replicas.dtype}")
    if replicas.shape != limit.shape:
        _refuse("placement.replicas", f"shape must be {list(limit.shape)}, not {list(replicas.shape)}")
    if (replicas < 0).any() or (replicas > limit).any():
        d, n = np.argwhere((replicas < 0) | (replicas > limit))[0]
        _refuse("placement.replicas", f"[{d}][{n}] must be in [0, {limit[d, n]}], not {replicas[d, n]}")
    total, most = replicas.sum(axis=1), [d.max_replicas for d in task.deployments]
    if (total > most).any():
        d = int(np.argmax(total > most))
        _refuse("placement.replicas", f"row {d} must sum to at most {most[d]}, not {total[d]}")


def info_rows(info: Mapping[str, Floats]) -> Floats:
    """Measurements `[K, B]` in the order of `INFO_KEYS`."""
    return np.stack([info[key] for key in INFO_KEYS])


def _refuse(field: str, reason: str) -> None:
    raise InvalidInput("request", [Violation(field, reason)])
