"""Gymnasium environments over one cluster: `LWMECPSEnv` (v1) to `LWMECPSEnv4` (v4) and their continuous twins."""

from dataclasses import replace
from typing import Any, ClassVar, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lwmecps_core.cluster.base import ClusterBackend
from lwmecps_core.envs import rendering
from lwmecps_core.envs.actions import action_masks, checked, discrete_nvec, env_spec, to_discrete
from lwmecps_core.envs.driven import Driven, DrivenCluster, DrivenInterval, DrivenSimulator, Observation
from lwmecps_core.envs.observation import V2, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.seeding import whole_seed
from lwmecps_core.sim.formulas import BOUND
from lwmecps_core.specs import CONTINUOUS_SUFFIX, ClusterSpec, DeploymentSpec, EnvSpec, NodeSpec, TaskSpec, WorkloadSpec


def default_task(env_id: str = "lwmecps-v3") -> TaskSpec:
    """Four nodes in a city, four deployments, a day's load that passes in twenty minutes."""
    n = 4
    return TaskSpec(
        name="default",
        env_id=cast(Any, env_id),
        cluster=ClusterSpec(
            nodes=tuple(NodeSpec(name=f"node-{i}", cpu_millicores=4000.0, ram_mib=8192.0) for i in range(n)),
            rtt_ms=tuple(tuple(10.0 * abs(i - j) for j in range(n)) for i in range(n)),
        ),
        deployments=tuple(DeploymentSpec(name=f"service-{i}", cpu_time_ms=40.0) for i in range(n)),
        workload=WorkloadSpec(
            base_users=(25.0,) * n,
            phase=tuple(0.1 * i for i in range(n)),
            share=tuple(tuple(0.7 if i == j else 0.1 for j in range(n)) for i in range(n)),
            speedup=72.0,
        ),
    )


def with_env_id(task: TaskSpec, env_id: str) -> TaskSpec:
    """The same problem as another version of the environment."""
    return replace(task, env_id=cast(Any, env_id))


def observation_space(spec: EnvSpec) -> spaces.Space[Any]:
    """Named blocks for v3 and v4, one flat vector for v1 and v2."""
    if version_of(spec.env_id) <= V2:
        return spaces.Box(-BOUND, BOUND, (spec.obs_size,), np.float32)
    return spaces.Dict({name: spaces.Box(-BOUND, BOUND, shape, np.float32) for name, shape in spec.blocks})


def action_space(task: TaskSpec) -> spaces.Space[Any]:
    """The discrete space of the task's version, or `Box` in [0, 1] for a continuous twin."""
    nvec = discrete_nvec(task)
    if task.env_id.endswith(CONTINUOUS_SUFFIX):
        return spaces.Box(0.0, 1.0, (len(nvec),), np.float32)
    return (
        spaces.Discrete(nvec[0])
        if len(nvec) == 1 and version_of(task.env_id) <= V2
        else spaces.MultiDiscrete(list(nvec))
    )


class PlacementEnv(gymnasium.Env[Any, Any]):
    """One cluster as a Gymnasium environment: an action, one control interval, a reward.

    `info` holds `INFO_KEYS`, `action_mask`, and `simulated` (see `ClusterState`). Works over any `ClusterBackend`;
    without one, over the simulator, where `reset(seed=s)` begins the same episode as `BatchEnv.reset` with seed s.
    `backend.task` must be the task. Raises `InvalidInput` for actions that are no choices and seeds outside [0, 2⁶⁴).
    """

    version: ClassVar[int]
    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(rendering.MODES), "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self, task: TaskSpec | None = None, backend: ClusterBackend | None = None, render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, *rendering.MODES):
            reason = f"{render_mode!r} is none of {', '.join(rendering.MODES)}"
            raise InvalidInput("environment", [Violation("render_mode", reason)])
        self.render_mode = render_mode
        task = task or (backend.task if backend else default_task())
        self.task = with_env_id(task, f"lwmecps-v{self.version}")
        self.spec_of_env = env_spec(self.task)
        self.observation_space = observation_space(self.spec_of_env)
        self.action_space = action_space(self.task)
        self._nvec, self._masks = np.array(discrete_nvec(self.task), np.uint64), action_masks(self.task)
        self._driven: Driven = DrivenSimulator(self.task) if backend is None else DrivenCluster(self.task, backend)
        self.backend = self._driven.backend
        self._begun = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        seed = None if seed is None else whole_seed(seed)
        super().reset(seed=seed)
        begun = self._driven.reset(int(self.np_random.integers(2**63)) if seed is None else seed)
        self._begun = True
        return begun.obs, self._info(begun)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._require_begun()
        seen = self._driven.step(checked(action, self._nvec, self._nvec.shape))
        return seen.obs, seen.reward, seen.terminated, seen.truncated, self._info(seen)

    def render(self) -> Any:
        """The last interval: text (`ansi`) or uint8 `[H, W, 3]` (`rgb_array`); nothing without a `render_mode`."""
        if self.render_mode is None:
            return None
        self._require_begun()
        drawn = rendering.text if self.render_mode == "ansi" else rendering.picture
        return drawn(self.task, self._driven.state())

    def place(self, desired: NDArray[np.int32]) -> None:
        """State the desired replicas `[D, N]` beside the actions: the next action goes on from them."""
        self._driven.place(desired)

    def close(self) -> None:
        self.backend.close()

    def action_mask(self) -> NDArray[np.bool_]:
        """Allowed choices, those of the first action component first."""
        mask: NDArray[np.bool_] = self._masks[self._driven.pod() if self.version == V2 else 0].copy()
        return mask

    def action_masks(self) -> NDArray[np.bool_]:
        """The same, by the name that sb3-contrib looks for."""
        return self.action_mask()

    def _require_begun(self) -> None:
        if not self._begun:
            raise gymnasium.error.ResetNeeded("reset the environment before its first step or picture")

    def _info(self, seen: DrivenInterval) -> dict[str, Any]:
        seen.info["action_mask"] = self.action_mask()
        seen.info["simulated"] = seen.simulated
        return seen.info


class LWMECPSEnv(PlacementEnv):
    """v1: scale one deployment down, keep it, or up."""

    version = 1


class LWMECPSEnv2(PlacementEnv):
    """v2: choose the node for one pod after another."""

    version = 2


class LWMECPSEnv3(PlacementEnv):
    """v3: replicas of every deployment, each at its home node."""

    version = 3


class LWMECPSEnv4(PlacementEnv):
    """v4: replicas of every deployment on every node."""

    version = 4


ENV_CLASSES: dict[int, type[PlacementEnv]] = {1: LWMECPSEnv, 2: LWMECPSEnv2, 3: LWMECPSEnv3, 4: LWMECPSEnv4}


class ContinuousAction(gymnasium.ActionWrapper[Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """The continuous twin of an environment: numbers in [0, 1], rounded onto its integers."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._task: TaskSpec = env.get_wrapper_attr("task")
        self.action_space = action_space(with_env_id(self._task, self._task.env_id + CONTINUOUS_SUFFIX))

    def action(self, action: NDArray[np.float32]) -> NDArray[np.int32]:
        if not np.isfinite(action).all():
            raise InvalidInput("step", [Violation("action", "must be finite numbers in [0, 1]")])
        return to_discrete(action, discrete_nvec(self._task))


def make_env(
    env_id: str, task: TaskSpec | None = None, backend: ClusterBackend | None = None, render_mode: str | None = None
) -> Any:
    """The environment with one of `ALL_ENV_IDS`, over `task` (its `env_id` is replaced) and maybe a real cluster."""
    env = ENV_CLASSES[version_of(env_id)](task, backend, render_mode)
    return ContinuousAction(env) if env_id.endswith(CONTINUOUS_SUFFIX) else env


make_env.metadata = PlacementEnv.metadata  # type: ignore[attr-defined] # where Gymnasium looks for render modes
