"""Transitions as they travel from a collector to a learner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

INFO_KEYS = (
    "latency_ms", "latency_p95_ms", "replicas", "imbalance", "failed_share", "moves", "users", "resource_usage",
    "reward_latency", "reward_replicas", "reward_imbalance", "reward_sla", "reward_moves",
)  # fmt: skip
"""Per-interval quantities that every environment reports, each one float per environment."""


@dataclass(frozen=True)
class RolloutBatch:
    """`[T, B]` transitions of one task under one policy version (NumPy, C order).

    `obs[t]` was seen before `action[t]`; `obs[t + 1]` after it, also where an episode ended, so that a truncated
    transition can be bootstrapped. Where `valid` is false the transition only carried a reset (Gymnasium's next-step
    autoreset) and must not be learnt from.

    Shapes: obs `[T+1, B, O]` f32; mask `[T+1, B, M]` bool (M = 0 without masks); action `[T, B, A]` i32 or f32;
    reward `[T, B]` f32; terminated, truncated, valid `[T, B]` bool; extras (what `act` returned beside the action, such
    as `log_prob`) and info (see `INFO_KEYS`) `[T, B]` f32 each.
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
        cut = lambda a: a[:, start:stop]  # noqa: E731
        return replace(
            self,
            obs=cut(self.obs), mask=cut(self.mask), action=cut(self.action), reward=cut(self.reward),
            terminated=cut(self.terminated), truncated=cut(self.truncated), valid=cut(self.valid),
            extras={k: cut(v) for k, v in self.extras.items()}, info={k: cut(v) for k, v in self.info.items()},
        )  # fmt: skip


def concatenate(parts: Sequence[RolloutBatch]) -> RolloutBatch:
    """One batch from batches of the same task, version and length, side by side along B."""
    first = parts[0]
    if len(parts) == 1:
        return first
    join = lambda get: np.concatenate([get(p) for p in parts], axis=1)  # noqa: E731
    return replace(
        first,
        obs=join(lambda p: p.obs), mask=join(lambda p: p.mask), action=join(lambda p: p.action),
        reward=join(lambda p: p.reward), terminated=join(lambda p: p.terminated),
        truncated=join(lambda p: p.truncated), valid=join(lambda p: p.valid),
        extras={k: join(lambda p, k=k: p.extras[k]) for k in first.extras},
        info={k: join(lambda p, k=k: p.info[k]) for k in first.info},
    )  # fmt: skip
