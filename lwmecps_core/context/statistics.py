"""Running statistics of what a cluster shows: nothing is learnt, a few hundred numbers are kept.

Of every deployment: how busy a request keeps replicas, rate, latency, failures, utilisation, and how its rate depends
on the time of day (a ridge regression of the logarithm of the rate on sine and cosine); of the whole: what the reward's
terms cost per unit of what they price. Means are over all intervals until there are `MOST`, then forget the oldest.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf, prod

import numpy as np

from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.context.base import AnyArray, Blocks, Memory, blocks_by_entity
from lwmecps_core.context.known import DEPLOYMENT, GLOBAL, NODE, PAIR, Known, Layout
from lwmecps_core.context.showing import update_loop
from lwmecps_core.specs import EnvSpec


@dataclass(frozen=True)
class Statistics:
    """The context `statistics`; see `lwmecps_core.context.base.Context`."""

    spec: EnvSpec

    @staticmethod
    def blocks(spec: EnvSpec) -> Blocks:
        """One block for each entity of the environment."""
        return blocks_by_entity(spec, GLOBAL, DEPLOYMENT, NODE, PAIR)

    def begin(self, width: int) -> Memory:
        """Nothing: means are 0, the least is +∞, the most −∞ or 0."""
        layout = self._layout
        d, n = layout.deployments, layout.nodes
        shapes: dict[str, tuple[int, ...]] = {
            "intervals": (),
            "clock": (2,),
            "turn": (2,),
            "overall": (3,),
            "terms": (len(REWARD_TERMS),),
            "serving": (d,),
            "times": (d, 5),
            "load": (d, 4),
            "load_range": (d, 2),
            "work": (d, 3),
            "latency": (d, 3),
            "failed": (d, 2),
            "utilisation": (d, 2),
        }
        if layout.node >= 0:
            shapes["node"] = (n, 3)
        if layout.pair >= 0:
            shapes["pair"] = (d, n, 2)
        memory = {name: np.zeros((width, *shape)) for name, shape in shapes.items()}
        memory["load_range"][..., 0], memory["load_range"][..., 1] = inf, -inf
        memory["latency"][..., 1], memory["latency"][..., 2] = inf, -inf
        return memory

    def update(self, memory: Memory, seen: Seen[AnyArray], where: AnyArray, shown: AnyArray) -> None:
        """See `Context.update`."""
        update_loop()(
            self.known(memory),
            self._layout,
            np.ascontiguousarray(seen.reward_terms, np.float32),
            np.ascontiguousarray(seen.first, np.bool_),
            where,
            shown,
        )

    @staticmethod
    def known(memory: Memory) -> Known:
        """The arrays of a memory themselves, with empty ones where it has no nodes or pairs."""
        width = len(memory["intervals"])
        return Known(**{"node": np.zeros((width, 0, 3)), "pair": np.zeros((width, 0, 0, 2)), **memory})

    @cached_property
    def _layout(self) -> Layout:
        starts, at = {}, 0
        for name, shape in self.spec.blocks:
            starts[name] = (at, shape[-1])
            at += prod(shape)
        shapes = dict(self.spec.blocks)
        return Layout(
            shapes["deployment"][0],
            shapes.get("node", (0,))[0],
            *starts["deployment"],
            *starts.get("node", (-1, 0)),
            *starts.get("pair", (-1, 0)),
            *starts["limits"],
            at,
        )
