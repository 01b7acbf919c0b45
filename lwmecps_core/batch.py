"""Transitions as they travel from a collector to a learner."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

INFO_KEYS = (
    "latency_ms",
    "latency_p95_ms",
    "replicas",
    "imbalance",
    "failed_share",
    "moves",
    "users",
    "resource_usage",
    "reward_latency",
    "reward_replicas",
    "reward_imbalance",
    "reward_sla",
    "reward_moves",
)
"""Per-interval quantities that every environment reports, each one float per environment."""


FIELDS = ("obs", "mask", "action", "reward", "terminated", "truncated", "valid")
"""The arrays that every batch has, whatever the algorithm."""


@dataclass(frozen=True)
class RolloutBatch:
    """`[T, B]` transitions of one task under one policy version (NumPy, C order).

    `obs[t]` was seen before `action[t]`; `obs[t + 1]` after it, also where an episode ended, so that a truncated
    transition can be bootstrapped. Where `valid` is false the transition only carried a reset (Gymnasium's next-step
    autoreset) and must not be learnt from.

    Shapes: obs `[T+1, B, O]` f32; mask `[T+1, B, M]` bool (M = 0 without masks); action `[T, B, A]` i32 or f32;
    reward `[T, B]` f32; terminated, truncated, valid `[T, B]` bool; extras (what `act` returned beside the action, such
    as `log_prob`) and info (see `INFO_KEYS`) `[T, B]` f32 each; begun and memory (what the actor remembers before the
    first transition and after the last) `[B, ...]` each.
    """

    obs: Array
    mask: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    valid: Array
    extras: Mapping[str, Array] = field(default_factory=dict)
    info: Mapping[str, Array] = field(default_factory=dict)
    begun: Mapping[str, Array] = field(default_factory=dict)
    memory: Mapping[str, Array] = field(default_factory=dict)
    policy_version: int = 0
    seed: int = 0

    @property
    def length(self) -> int:
        """Number of time steps T."""
        return int(self.reward.shape[0])

    @property
    def width(self) -> int:
        """Number of environments B."""
        return int(self.reward.shape[1])

    def columns(self, start: int, stop: int) -> "RolloutBatch":
        """The transitions of environments `start` to `stop` (views, not copies)."""

        def cut(x: Array) -> Array:
            return x[:, start:stop]

        return replace(
            self,
            **{name: cut(getattr(self, name)) for name in FIELDS},  # type: ignore[arg-type]
            extras={k: cut(v) for k, v in self.extras.items()},
            info={k: cut(v) for k, v in self.info.items()},
            begun={k: v[start:stop] for k, v in self.begun.items()},
            memory={k: v[start:stop] for k, v in self.memory.items()},
        )


def concatenate(parts: Sequence[RolloutBatch]) -> RolloutBatch:
    """One batch from batches of the same task, version and length, side by side along B."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def join(get: Callable[[RolloutBatch], Array]) -> Array:
        return np.concatenate([get(p) for p in parts], axis=1)

    return replace(
        first,
        **{name: join(attrgetter(name)) for name in FIELDS},  # type: ignore[arg-type]
        extras={k: join(lambda p, k=k: p.extras[k]) for k in first.extras},  # type: ignore[misc]
        info={k: join(lambda p, k=k: p.info[k]) for k in first.info},  # type: ignore[misc]
        begun={k: np.concatenate([p.begun[k] for p in parts]) for k in first.begun},
        memory={k: np.concatenate([p.memory[k] for p in parts]) for k in first.memory},
    )
