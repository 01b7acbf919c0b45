"""One session on a cluster that is no batch of simulated ones: a real one, say."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.cluster.base import ClusterBackend, ClusterState
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.placement import make_env
from lwmecps_core.errors import InvalidInput, Violation, WrongState
from lwmecps_core.seeding import generator
from lwmecps_core.sim.state import pod_limits
from services.env_service.session import ClusterView, Frame, check_placement


class ClusterSession:
    """What `Session` is for simulated environments, for one environment over any `ClusterBackend`."""

    size = 1

    def __init__(self, backend: ClusterBackend, seed: int) -> None:
        self.task = backend.task
        self.spec = env_spec(self.task)
        self._env = make_env(self.task.env_id, self.task, backend)
        self._backend = backend
        self._rng = generator(seed)
        self._elapsed, self._running, self._over = 0, False, False

    def close(self) -> None:
        """Let go of the cluster."""
        self._env.close()

    def reset(self, seed: int | None) -> Frame:
        """Begin a new episode, from `seed` or going on with the session's randomness."""
        if seed is not None:
            self._rng = generator(seed)
        self._running, self._over, self._elapsed = True, False, 0
        return self._frame(*self._env.reset(seed=int(self._rng.integers(0, 2**63, dtype=np.uint64))))

    def step(self, action: NDArray[Any]) -> Frame:
        """One control interval: action `[1, A]`, already checked; after an episode's end, the beginning of the next."""
        self.require_running()
        if self._over:
            begun = self.reset(None)
            nothing, no = np.zeros(1, np.float32), np.zeros(1, np.bool_)
            return Frame(begun.obs, begun.mask, begun.info, nothing, no, no)
        obs, reward, terminated, truncated, info = self._env.step(action[0])
        self._elapsed += 1
        self._over = terminated or truncated
        frame = self._frame(obs, info)
        ends = (np.array([end], np.bool_) for end in (terminated, truncated))
        return Frame(frame.obs, frame.mask, frame.info, np.array([reward], np.float32), *ends)

    def view(self, index: int) -> ClusterView:
        """What the cluster shows now."""
        self._check_index(index)
        return self._view(self._backend.observe(), None)

    def place(self, index: int, replicas: NDArray[Any]) -> ClusterView:
        """Set the desired replicas `[D, N]`; the next step acts from there."""
        self._check_index(index)
        check_placement(self.task, replicas, pod_limits(self.task))
        wanted = replicas.astype(np.int32)
        self._env.unwrapped.place(wanted)
        return self._view(self._backend.observe(), wanted)

    def require_running(self) -> None:
        """Raises `WrongState` unless the episode has begun."""
        if not self._running:
            raise WrongState("the session has no running episode: reset it first")

    def _check_index(self, index: int) -> None:
        self.require_running()
        if index:
            raise InvalidInput("request", [Violation("env_index", f"must be 0 on a cluster, not {index}")])

    def _frame(self, obs: Any, info: dict[str, Any]) -> Frame:
        blocks = obs.values() if isinstance(obs, dict) else [obs]
        flat = np.concatenate([np.asarray(block, np.float32).reshape(1, -1) for block in blocks], axis=1)
        mask = info["action_mask"].reshape(1, -1)[:, : self.spec.mask_size]
        return Frame(flat, mask, {key: np.array([info[key]], np.float32) for key in INFO_KEYS})

    def _view(self, state: ClusterState, desired: NDArray[np.int32] | None) -> ClusterView:
        share = np.asarray(self.task.workload.share, np.float64)
        return ClusterView(
            task=self.task,
            time_s=self._elapsed * self.task.interval_s,
            desired=state.desired if desired is None else desired,
            ready=state.ready,
            cpu_utilisation=np.clip(state.cpu_used, 0.0, 1.0).astype(np.float32),
            ram_utilisation=state.ram_requested.astype(np.float32),
            request_rate_rps=(state.users_rate[:, None] * share).T.astype(np.float32),
            latency_ms=state.latency_ms.astype(np.float32),
        )
