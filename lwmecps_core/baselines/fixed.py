"""Fixed numbers of replicas: the same everywhere, or what was deployed in the beginning."""

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.baselines.rule import Rule
from lwmecps_core.envs.observation import V2
from lwmecps_core.envs.scene import Scene, View, encode, to_action
from lwmecps_core.rollout.actor import AnyArray, LeftAlone, Memory


class Static(Rule):
    """What was deployed when the episode began, for ever."""

    name = "static"

    def __init__(self, scene: Scene) -> None:
        self._left_alone = LeftAlone(scene)

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        return self._left_alone.act(memory, seen, noise)


class Uniform(Rule):
    """Half of the most replicas of every deployment, spread over the nodes; in v2 the pods' nodes take turns.

    Remembers `turn` `[B]`: how many pods were placed.
    """

    name = "uniform"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """No pod is placed yet."""
        return {"turn": np.zeros(len(seeds), np.int64)}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """See `Actor.act`."""
        scene, obs = self._scene, seen.obs
        if scene.version != V2:
            score = np.zeros(scene.limit.shape)
            return Acted(to_action(scene, View(scene, obs), np.maximum(scene.maximum // 2, 1), score), {}, memory)
        nodes = scene.limit.shape[2]
        turn = np.where(seen.first, 0, memory["turn"])
        after = (np.arange(nodes) - turn[:, None]) % nodes
        allowed = seen.mask if scene.spec.discrete else np.ones((len(obs), nodes), np.bool_)
        return Acted(encode(scene, np.where(allowed, after, nodes).argmin(1)[:, None]), {}, {"turn": turn + 1})
