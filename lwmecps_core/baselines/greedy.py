"""Greedy rules: one pod at a time goes where it seems to help most.

The budget is what was deployed in the beginning: a rule moves replicas between deployments, it buys none.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.observation import V1, V2
from lwmecps_core.envs.scene import Bools, Floats, Ints, Scene, View, encode, to_action
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.actor import AnyArray, Memory


class Greedy(Rule):
    """Takes a replica from the deployment that is best off and gives it to the one that is worst off.

    `latency` goes by measured latency, and places pods next to the users; `load` by utilisation, and places pods on the
    node with the least CPU requested. In v2 it only places.
    """

    def __init__(self, scene: Scene, by: Literal["latency", "load"]) -> None:
        self.name = f"greedy_{by}"
        if scene.version == V1:
            reason = "in lwmecps-v1 only one deployment is scaled: there is nothing to take replicas from"
            raise InvalidInput(self.name, [Violation("env_id", reason)])
        self._scene, self._by = scene, by

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        scene, view = self._scene, View(self._scene, seen.obs)
        if scene.version == V2:
            return Acted(best_node(scene, self._node_score(view), seen.mask))
        need = view.log_latency if self._by == "latency" else view.utilisation
        score = self._node_score(view) if hasattr(view, "node_rate") else None
        return Acted(to_action(scene, view, exchange(view.desired, need, scene.room), score))

    def _node_score(self, view: View) -> Floats:
        score: Floats = view.node_rate if self._by == "latency" else -view.node_cpu_requested
        return score


def exchange(current: Ints, need: Floats, room: Ints) -> Ints:
    """`current` `[B, D]` with one replica moved from the least to the most needy, unless that empties or overfills."""
    totals = current.copy()
    rows = np.arange(len(totals))
    to = np.where(current < room, need, -np.inf).argmax(1)
    giver = np.where(current > 1, need, np.inf).argmin(1)
    able = (current[rows, to] < room[rows, to]) & (current[rows, giver] > 1) & (need[rows, to] > need[rows, giver])
    totals[rows[able], to[able]] += 1
    totals[rows[able], giver[able]] -= 1
    return totals


def best_node(scene: Scene, score: Floats, mask: Bools) -> NDArray[Any]:
    """v2's action `[B, 1]`: the allowed node with the highest score `[B, N]`."""
    allowed = mask if scene.spec.discrete else np.ones(score.shape, np.bool_)
    return encode(scene, np.where(allowed, score, -np.inf).argmax(1)[:, None])
