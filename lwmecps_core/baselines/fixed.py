"""Fixed numbers of replicas: the same everywhere, or what was deployed in the beginning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.base import Bools, Ints, Scene, View, encode, to_action
from lwmecps_core.envs.observation import V2


class Uniform:
    """Half of the most replicas of every deployment, spread over the nodes; in v2 the pods' nodes take turns."""

    name = "uniform"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._turn = 0

    def reset(self, seeds: NDArray[np.uint64]) -> None:
        """See `Baseline.reset`."""
        self._turn = 0

    def act(self, obs: NDArray[np.float32], mask: Bools) -> NDArray[Any]:
        """See `Baseline.act`."""
        scene = self._scene
        if scene.version != V2:
            score = np.zeros(scene.limit.shape)
            return to_action(scene, View(scene, obs), np.maximum(scene.maximum // 2, 1), score)
        nodes = scene.limit.shape[2]
        after = (np.arange(nodes) - self._turn) % nodes
        self._turn += 1
        allowed = mask if scene.spec.discrete else np.ones((len(obs), nodes), np.bool_)
        return encode(scene, np.where(allowed, after, nodes).argmin(1)[:, None])


class Static:
    """What was deployed when the episode began, for ever."""

    name = "static"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._totals: Ints | None = None

    def reset(self, seeds: NDArray[np.uint64]) -> None:
        """See `Baseline.reset`."""
        self._totals = None

    def act(self, obs: NDArray[np.float32], mask: Bools) -> NDArray[Any]:
        """See `Baseline.act`."""
        view = View(self._scene, obs)
        if self._scene.version == V2:
            return encode(self._scene, view.current_node[:, None])
        if self._totals is None:
            self._totals = view.desired
        return to_action(self._scene, view, self._totals, np.zeros(self._scene.limit.shape))
