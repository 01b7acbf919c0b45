"""Replicas in proportion to load."""

import numpy as np

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.greedy import best_node
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.observation import V2
from lwmecps_core.envs.scene import Floats, Scene, View, to_action
from lwmecps_core.rollout.actor import AnyArray, Memory

UTILISATION = 0.6


class OptimizedBalance(Rule):
    """Gives every deployment the replicas that bring it to 60 % utilisation, on the nodes with most room.

    A deployment that is overloaded shows only that all its replicas are busy; its replicas then grow by 1 / 0.6 an
    interval. In v2 it only places.
    """

    name = "optimized_balance"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        view = View(self._scene, seen.obs)
        if self._scene.version == V2:
            return Acted(best_node(self._scene, _room(view), seen.mask))
        totals = np.maximum(np.rint(view.busy / UTILISATION), 1).astype(np.int64)
        return Acted(to_action(self._scene, view, totals, _room(view) if hasattr(view, "node_rate") else None))


def _room(view: View) -> Floats:
    """`[B, N]`: minus the scarcer resource's requested share."""
    room: Floats = -np.maximum(view.node_cpu_requested, view.node_ram_requested)
    return room
