"""Replicas in proportion to load."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.baselines.base import Bools, Floats, Scene, View, to_action
from lwmecps_core.baselines.greedy import best_node
from lwmecps_core.envs.observation import V2

UTILISATION = 0.6


class OptimizedBalance:
    """Gives every deployment the replicas that bring it to 60 % utilisation, on the nodes with most room.

    A deployment that is overloaded shows only that all its replicas are busy; its replicas then grow by 1 / 0.6 an
    interval. In v2 it only places.
    """

    name = "optimized_balance"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def reset(self, seeds: NDArray[np.uint64]) -> None:
        """See `Baseline.reset`."""

    def act(self, obs: NDArray[np.float32], mask: Bools) -> NDArray[Any]:
        """See `Baseline.act`."""
        view = View(self._scene, obs)
        if self._scene.version == V2:
            return best_node(self._scene, _room(view), mask)
        totals = np.maximum(np.rint(view.busy / UTILISATION), 1).astype(np.int64)
        return to_action(self._scene, view, totals, _room(view) if hasattr(view, "node_rate") else None)


def _room(view: View) -> Floats:
    """`[B, N]`: minus the scarcer resource's requested share."""
    room: Floats = -np.maximum(view.node_cpu_requested, view.node_ram_requested)
    return room
