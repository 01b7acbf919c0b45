"""An observation in words, and how counts of replicas become actions of every environment version: what rules need."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lwmecps_core.envs.actions import discrete_nvec, env_spec
from lwmecps_core.envs.observation import V1, V2, V3, V4, split, version_of
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.state import home_node, initial_replicas, pod_limits
from lwmecps_core.specs import EnvSpec, TaskSpec

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """What everybody knows of the environments before the first observation; environment b solves `tasks[task_of[b]]`.

    Nothing in it is hidden from a policy: maximal replicas and what fits an empty node show in the action mask.
    """

    tasks: tuple[TaskSpec, ...]
    task_of: Ints

    @cached_property
    def spec(self) -> EnvSpec:
        """The tasks' common environment."""
        return env_spec(self.tasks[0])

    @property
    def version(self) -> int:
        """The number in the environment's id."""
        return version_of(self.spec.env_id)

    @cached_property
    def maximum(self) -> Ints:
        """`max_replicas` `[B, D]`."""
        return np.array([[d.max_replicas for d in t.deployments] for t in self.tasks], np.int64)[self.task_of]

    @cached_property
    def limit(self) -> Ints:
        """Pods of each deployment that fit each node when it is empty `[B, D, N]`; 0 where not allowed."""
        return np.stack([pod_limits(t) for t in self.tasks]).astype(np.int64)[self.task_of]

    @cached_property
    def home(self) -> Ints:
        """Home node of each deployment `[B, D]`."""
        homes = [[home_node(t, d) for d in range(len(t.deployments))] for t in self.tasks]
        return np.array(homes, np.int64)[self.task_of]

    @cached_property
    def deployed(self) -> Ints:
        """Replicas of each deployment when an episode begins `[B, D]`."""
        return np.stack([initial_replicas(t) for t in self.tasks]).astype(np.int64)[self.task_of]

    @cached_property
    def room(self) -> Ints:
        """Most replicas of each deployment that can be asked for `[B, D]`: at home, or, in v4, on all nodes."""
        at_home = np.take_along_axis(self.limit, self.home[..., None], -1)[..., 0]
        fits: Ints = self.limit.sum(-1) if self.version == V4 else at_home
        return np.minimum(fits, self.maximum)


def scene(tasks: Sequence[TaskSpec], task_of: ArrayLike) -> Scene:
    """The scene of `BatchEnv(tasks, task_of)`."""
    return Scene(tuple(tasks), np.asarray(task_of, np.int64).reshape(-1))


class View:
    """An observation in words: counts are whole replicas, shapes `[B, D]`, `[B, N]` or `[B, D, N]`."""

    def __init__(self, scene: Scene, obs: NDArray[np.float32]) -> None:
        blocks = split(obs, scene.spec)
        deployment = np.moveaxis(blocks["deployment"].astype(np.float64), -1, 0)
        self.ready: Ints = np.rint(deployment[0] * scene.maximum).astype(np.int64)
        self.desired: Ints = np.rint(deployment[1] * scene.maximum).astype(np.int64)
        self.utilisation = deployment[3]
        self.busy = deployment[4] * scene.maximum
        self.rate = np.expm1(deployment[5])
        self.log_latency = deployment[7]
        if scene.version in (V2, V4):
            node = np.moveaxis(blocks["node"].astype(np.float64), -1, 0)
            self.node_cpu_requested, self.node_ram_requested = node[1], node[2]
            self.node_rate = np.expm1(node[4])
        if scene.version == V2:
            self.current_node = node[6].argmax(-1)
        if scene.version == V4:
            pair = blocks["pair"][..., 1].astype(np.float64)
            self.pair_desired: Ints = np.rint(pair * scene.maximum[..., None]).astype(np.int64)


def to_action(scene: Scene, view: View, totals: Ints, score: Floats | None = None) -> NDArray[Any]:
    """The action that brings every deployment to `totals` `[B, D]` replicas.

    In v1 by one replica of deployment 0; in v4 pods are added where `score` `[B, N]` or `[B, D, N]` is highest and
    removed where it is lowest, and stay where they are otherwise.
    """
    totals = np.clip(totals, 0, scene.room)
    if scene.version == V1:
        counts = np.sign(totals[:, :1] - view.desired[:, :1]) + 1
    elif scene.version == V3:
        counts = totals
    elif scene.version == V4:
        assert score is not None
        wide = score if score.ndim == 3 else np.broadcast_to(score[:, None], scene.limit.shape)
        counts = rearrange(view.pair_desired, totals, wide, scene.limit).reshape(len(totals), -1)
    else:
        raise InvalidInput("baseline", [Violation("env_id", f"{scene.spec.env_id} does not scale replicas")])
    return encode(scene, counts)


def encode(scene: Scene, counts: NDArray[Any]) -> NDArray[Any]:
    """Integers `[..., A]` as the environment takes them: int32, or, in continuous environments, float32 in [0, 1]."""
    if scene.spec.discrete:
        return counts.astype(np.int32)
    sizes = np.asarray(discrete_nvec(scene.tasks[0]), np.float32) - 1.0
    shares: NDArray[np.float32] = (counts / np.maximum(sizes, 1.0)).astype(np.float32)
    return shares


def rearrange(current: Ints, totals: Ints, score: Floats, limit: Ints) -> Ints:
    """Pods `[B, D, N]` with sums `totals` `[B, D]`, one by one from `current`: see `to_action`.

    A pod lowers its node's score by one, so that equal nodes share the pods.
    """
    pods = np.minimum(current, limit)
    while True:
        missing = totals - pods.sum(-1)
        worth = score - pods
        add = np.where(pods < limit, worth, -np.inf)
        drop = np.where(pods > 0, worth, np.inf)
        grow = (missing > 0) & np.isfinite(add).any(-1)
        shrink = missing < 0
        if not (grow | shrink).any():
            return pods
        b, d = np.nonzero(grow)
        pods[b, d, add.argmax(-1)[b, d]] += 1
        b, d = np.nonzero(shrink)
        pods[b, d, drop.argmin(-1)[b, d]] -= 1
