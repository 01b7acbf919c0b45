"""The contract of an algorithm: a small object of pure functions over parameter trees.

Any meta-learner wraps any algorithm, because a loss is a deterministic function of (params, extra, batch): randomness
enters as tensors, what must stay fixed sits in `extra` or in the batch. All functions must also work with a leading
task axis on every tensor (parameters included), so that `act` can serve many tasks in one call, and must be traceable
by `torch.func` (`grad`, `vmap`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lwmecps_core.specs import EnvSpec

Params = dict[str, dict[str, Tensor]]
"""Group ("actor", "critic") → name → tensor."""
Extra = dict[str, Tensor]
"""State that no gradient reaches: target networks, exploration rates."""
Batch = dict[str, Tensor]
"""What a loss reads: field → tensor, leading axis = samples."""


@dataclass(frozen=True)
class AlgoState:
    """Everything that learning changes."""

    params: Params
    extra: Extra
    optimiser: Mapping[str, Any]


@dataclass(frozen=True)
class ActorOut:
    """What `act` returns: `action` `[..., B, A]` (int32 or float32) and per-sample extras `[..., B]` to store."""

    action: Tensor
    extras: dict[str, Tensor]


class Algorithm(Protocol):
    """A base reinforcement-learning algorithm for one `EnvSpec` (bound at construction)."""

    name: str
    spec: EnvSpec

    @property
    def noise_size(self) -> int:
        """How many uniform(0, 1) numbers `act` consumes per environment and step."""

    def init(self, generator: torch.Generator) -> AlgoState:
        """Fresh parameters, extra state and optimiser state."""

    def act(self, params: Params, extra: Extra, obs: Tensor, mask: Tensor, noise: Tensor | None) -> ActorOut:
        """Choose actions for `obs` `[..., B, O]`, `mask` `[..., B, M]`, `noise` `[..., B, noise_size]`.

        Without noise the choice is deterministic (the policy's mode, the greedy action).
        """

    def prepare(
        self, params: Params, extra: Extra, data: Batch, generator: torch.Generator, *, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Minibatches, with returns and all noise, from a stacked rollout (fields as in `RolloutBatch`, as tensors).

        `epochs=None` uses the algorithm's own number of epochs and minibatches; `epochs=1` yields the whole data once.
        """

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """One scalar per parameter group; deterministic and twice differentiable."""

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """Move target networks and exploration rates after a step."""
