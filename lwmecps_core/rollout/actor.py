"""The one way to act: policies, rules, what is left alone, and whoever controls a real cluster are actors.

Free of PyTorch, so that clients can act by other means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.envs.observation import V2
from lwmecps_core.envs.scene import Scene, View, encode, to_action

AnyArray = NDArray[Any]
Memory = Mapping[str, AnyArray]
"""Name → `[B, ...]`; empty for an actor that remembers nothing."""
Bools = NDArray[np.bool_]


class Actor(Protocol):
    """Acts in B environments at once; all that it keeps from one interval to the next is in the memory it is handed."""

    @property
    def noise_size(self) -> int:
        """How many uniform(0, 1) numbers `act` consumes per environment and interval."""

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """What it remembers before the first interval; `seeds` `[B]` are those of the episodes that begin.

        Memory goes on over the episodes of a task: what must not, an actor clears where `Seen.first` says so.
        """

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """Act on what is `seen`, with `noise` `[B, noise_size]`; without it the choice is the actor's best.

        Neither `memory` nor `seen` is changed; the latter's arrays may be overwritten after the call.
        """


class LeftAlone:
    """Keeps what was deployed when the episode began, for ever."""

    noise_size = 0

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """Nothing is remembered."""
        return {}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """As many replicas as there were, where they are."""
        scene, view = self._scene, View(self._scene, seen.obs)
        if scene.version == V2:
            return Acted(encode(scene, view.current_node[:, None]))
        return Acted(to_action(scene, view, scene.deployed, np.zeros(scene.limit.shape)))


SHOWN = "shown/"
"""What names in the memory of a policy begin with that belong to whom it watches."""


@dataclass(frozen=True)
class Watching:
    """An actor that takes in all that happens and isn't obeyed: whoever is `shown` acts in its place."""

    actor: Actor
    shown: Actor
    noise_size = 0

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """What both remember."""
        return {**self.actor.begin(seeds), **{SHOWN + name: x for name, x in self.shown.begin(seeds).items()}}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """What is shown, and what the actor keeps of it beside its probability of what it would have done."""
        own = self.actor.act(without_shown(memory), seen, None)
        known = {name.removeprefix(SHOWN): x for name, x in memory.items() if name.startswith(SHOWN)}
        done = self.shown.act(known, seen, None)
        extras = {name: x for name, x in own.extras.items() if name != "log_prob"}
        return Acted(done.action, extras, {**own.memory, **{SHOWN + name: x for name, x in done.memory.items()}})


def without_shown(memory: Memory) -> Memory:
    """What an actor itself remembers."""
    return {name: x for name, x in memory.items() if not name.startswith(SHOWN)}


@dataclass(frozen=True)
class PartlyLeftAlone:
    """An actor that is not obeyed where `held` `[B]`: those environments keep what they were deployed with."""

    actor: Actor
    left_alone: LeftAlone
    held: Bools

    @property
    def noise_size(self) -> int:
        """That of the actor."""
        return self.actor.noise_size

    def begin(self, seeds: NDArray[np.uint64]) -> Memory:
        """What the actor remembers."""
        return self.actor.begin(seeds)

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """The actor's choice, or none."""
        asked, kept = self.actor.act(memory, seen, noise), self.left_alone.act({}, seen, None)
        return Acted(np.where(self.held[:, None], kept.action, asked.action), asked.extras, asked.memory)
