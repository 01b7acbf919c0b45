"""What stands behind one environment: the compiled loop over a simulated cluster, or a cluster of any kind."""

from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.cluster.base import ClusterBackend, ClusterState
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.bounds import MET, Windows
from lwmecps_core.envs.measured import measured_info, observation, reward
from lwmecps_core.envs.observation import V1, V2, V4, version_of
from lwmecps_core.envs.stepping import observe_loop, step_loop
from lwmecps_core.sim.simulator import limit_placement
from lwmecps_core.sim.state import home_node, initial_replicas, kept_replicas, pod_limits
from lwmecps_core.specs import TaskSpec

Observation = dict[str, NDArray[np.float32]] | NDArray[np.float32]
ALL = np.ones(1, np.bool_)


class DrivenInterval(NamedTuple):
    """What one interval came to; its arrays are the caller's to keep. `info` has `INFO_KEYS`; see `ClusterState`
    for `simulated`.
    """

    obs: Observation
    info: dict[str, Any]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    simulated: tuple[str, ...] = ()


class Driven(Protocol):
    """A cluster that actions (i64 `[A]`, already checked) drive, one interval each."""

    backend: ClusterBackend

    def reset(self, seed: int) -> DrivenInterval: ...

    def step(self, action: NDArray[np.int64]) -> DrivenInterval: ...

    def place(self, desired: NDArray[np.int32]) -> None:
        """State the desired replicas `[D, N]` beside the actions: the next action goes on from them."""

    def pod(self) -> int:
        """How many pods have been placed (v2)."""

    def state(self) -> ClusterState:
        """What the last interval showed."""


class DrivenSimulator:
    """A simulated cluster in the compiled loop: bit for bit what `BatchEnv` makes of a batch of one."""

    def __init__(self, task: TaskSpec) -> None:
        self._cluster = SimulatedCluster(task)
        self.backend: ClusterBackend = self._cluster
        self._sim = self._cluster.simulator
        spec = env_spec(task)
        self._version = version_of(spec.env_id)
        self._obs = np.zeros((1, spec.obs_size), np.float32)
        self._reward = np.zeros(1, np.float32)
        self._terminated, self._truncated = np.zeros(1, np.bool_), np.zeros(1, np.bool_)
        ends = np.cumsum([prod(shape) for _, shape in spec.blocks]).tolist()
        self._blocks = [
            (name, slice(end - prod(shape), end), shape) for (name, shape), end in zip(spec.blocks, ends, strict=True)
        ]

    def reset(self, seed: int) -> DrivenInterval:
        self._cluster.reset(seed)
        sim = self._sim
        observe_loop()(self._version, sim.params, sim.state, sim.task_of, ALL, self._obs)
        return DrivenInterval(self._shown(), self._info())

    def step(self, action: NDArray[np.int64]) -> DrivenInterval:
        self._cluster.check_open()
        sim = self._sim
        step_loop(False)(
            self._version,
            sim.params,
            sim.state,
            sim.work,
            sim.task_of,
            action.astype(np.int32)[None],
            self._obs,
            self._reward,
            self._terminated,
            self._truncated,
            sim.info,
        )
        ends = bool(self._terminated[0]), bool(self._truncated[0])
        return DrivenInterval(self._shown(), self._info(), float(self._reward[0]), *ends)

    def place(self, desired: NDArray[np.int32]) -> None:
        self._cluster.apply(desired)

    def pod(self) -> int:
        return int(self._sim.state.envs["pod"][0])

    def state(self) -> ClusterState:
        return self._cluster.observe()

    def _shown(self) -> Observation:
        flat: NDArray[np.float32] = self._obs[0].copy()
        if self._version <= V2:
            return flat
        return {name: flat[part].reshape(shape) for name, part, shape in self._blocks}

    def _info(self) -> dict[str, Any]:
        return dict(zip(INFO_KEYS, self._sim.info[:, 0].tolist(), strict=True))


class DrivenCluster:
    """Any cluster, by what it shows (see `ClusterState`)."""

    def __init__(self, task: TaskSpec, backend: ClusterBackend) -> None:
        self._task, self.backend = task, backend
        self._version = version_of(task.env_id)
        self._limit, self._kept = pod_limits(task), kept_replicas(task)
        self._max_replicas = np.array([d.max_replicas for d in task.deployments])
        self._homes = np.array([home_node(task, d) for d in range(len(task.deployments))])
        self._pods = np.repeat(np.arange(len(task.deployments)), initial_replicas(task))
        self._next_pod = self._elapsed = 0
        self._desired = np.zeros_like(self._limit)
        self._windows, self._excess = Windows(task), MET

    def reset(self, seed: int) -> DrivenInterval:
        self._state = state = self.backend.reset(seed)
        self._desired = state.desired
        self._elapsed = self._next_pod = 0
        self._windows.forget()
        self._excess = MET
        info = measured_info(self._task, state)
        return DrivenInterval(self._observe(state, None), info, simulated=state.simulated)

    def step(self, action: NDArray[np.int64]) -> DrivenInterval:
        last = self._state
        self._desired = limit_placement(self._decide(action), self._limit, self._max_replicas, self._kept)
        self.backend.apply(self._desired)
        self._state = state = self.backend.advance()
        self._elapsed += 1
        terminated = self._version == V2 and self._next_pod >= len(self._pods)
        truncated = self._elapsed >= self._task.horizon and not terminated
        self._excess = self._windows.take_in(state)
        info = measured_info(self._task, state, self._excess)
        return DrivenInterval(self._observe(state, last), info, reward(info), terminated, truncated, state.simulated)

    def place(self, desired: NDArray[np.int32]) -> None:
        self._desired = desired.copy()
        self.backend.apply(self._desired)

    def pod(self) -> int:
        return self._next_pod

    def state(self) -> ClusterState:
        return self._state

    def _decide(self, action: NDArray[np.int64]) -> NDArray[np.int32]:
        """The placement `[D, N]` that an action asks for (see `lwmecps_core.envs.actions`)."""
        desired, limit = self._desired.copy(), self._limit
        if self._version == V1:
            home = self._homes[0]
            desired[0, home] = np.clip(desired[0, home] + action[0] - 1, self._kept[0, home], limit[0, home])
        elif self._version == V2:
            if self._next_pod < len(self._pods):
                d, n = self._pods[self._next_pod], action[0]
                if desired[d, n] < limit[d, n]:
                    desired[d, self._homes[d]] -= 1
                    desired[d, n] += 1
                self._next_pod += 1
        elif self._version == V4:
            desired = action.reshape(limit.shape).astype(np.int32)
        else:
            desired = np.zeros_like(limit)
            desired[np.arange(len(limit)), self._homes] = action
        return desired

    def _observe(self, state: ClusterState, last: ClusterState | None) -> Observation:
        pod = None
        if self._version == V2 and self._next_pod < len(self._pods):
            d = int(self._pods[self._next_pod])
            pod = (d, int(self._homes[d]))
        blocks = observation(self._task, state, last, pod, self._excess)
        return blocks if self._version > V2 else np.concatenate([block.reshape(-1) for block in blocks.values()])
