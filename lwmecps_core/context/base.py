"""What a policy remembers of the cluster that it acts on, as features beside what it sees: the contract.

A context learns nothing, so what it shows is part of the observation that is recorded: every algorithm, queue and
replay memory takes it as it takes a wider observation. Its features stand in blocks called `<entity>_context`, so that
their number depends on no number of nodes or deployments.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from numpy.typing import NDArray

from lwmecps_core.acting import Seen
from lwmecps_core.specs import EnvSpec

AnyArray = NDArray[Any]
Memory = Mapping[str, AnyArray]
"""Name → `[B, ...]`."""
PREFIX = "context/"
"""Of the names of a context's memory among what a policy remembers."""
Blocks = tuple[tuple[str, tuple[int, ...]], ...]


class Context(Protocol):
    """A memory with features, of environments of one `EnvSpec` (bound at construction)."""

    @property
    def spec(self) -> EnvSpec:
        """The environment without the features."""

    @staticmethod
    def blocks(spec: EnvSpec) -> Blocks:
        """Names and shapes of the features' blocks, as in `EnvSpec.blocks`."""

    def begin(self, width: int) -> Memory:
        """What is known of `width` clusters that nothing has been seen of."""

    def update(self, memory: Memory, seen: Seen[AnyArray], where: AnyArray, shown: AnyArray) -> None:
        """Take in what is `seen`, and write the features of what is known then behind the observations in `shown`,
        float32 `[B, O + F]`.

        `memory` and the features change in place, and only where `where` `[B]`. The frame that an episode begins with
        (`Seen.first`) is shown but not learnt from: nothing went before it.
        """


def blocks_by_entity(spec: EnvSpec, overall: int, deployment: int, node: int, pair: int) -> Blocks:
    """A block `<entity>_context` with so many features a row for each entity that the environment shows."""
    shapes = dict(spec.blocks)
    found: list[tuple[str, tuple[int, ...]]] = [
        ("global_context", (overall,)),
        ("deployment_context", (shapes["deployment"][0], deployment)),
    ]
    if "node" in shapes:
        found.append(("node_context", (shapes["node"][0], node)))
    if "pair" in shapes:
        found.append(("pair_context", (*shapes["pair"][:2], pair)))
    return tuple(found)


def with_blocks(spec: EnvSpec, blocks: Blocks) -> EnvSpec:
    """The environment with more blocks after its own."""
    return replace(spec, blocks=spec.blocks + blocks)
