"""What an actor is shown, what it does, and what it remembers.

The shapes hold for NumPy arrays (actors that `rollout.drive` asks) and for tensors (algorithms) alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lwmecps_core.batch import INFO_KEYS

X = TypeVar("X")
"""NumPy array or tensor."""

REWARD_TERMS = tuple(key for key in INFO_KEYS if key.startswith("reward_"))
"""The weighted terms of the reward, in the order in which an actor is shown them."""


@dataclass(frozen=True, slots=True)
class Seen(Generic[X]):
    """What an actor is shown at the start of an interval, about B environments.

    obs `[..., B, O]`, mask `[..., B, M]` (M = 0 without masks); of the interval before: action `[..., B, A]` and
    reward_terms `[..., B, len(REWARD_TERMS)]`, zeros where `first`. first `[..., B]` bool: an episode begins, nothing
    went before.
    """

    obs: X
    mask: X
    reward_terms: X
    action: X
    first: X


@dataclass(frozen=True, slots=True)
class Acted(Generic[X]):
    """What an actor does: action `[..., B, A]` (int32, or float32 in continuous environments), per-environment extras
    `[..., B]` to store with the transition, and what it remembers from now on, name → `[..., B, ...]`.
    """

    action: X
    extras: Mapping[str, X] = field(default_factory=dict)
    memory: Mapping[str, X] = field(default_factory=dict)
