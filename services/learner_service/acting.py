"""Decisions of stored policies: observations in, placements out."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.policy import PolicyData
from lwmecps_core.specs import EnvSpec


class Actor:
    """Acts with stored policies, keeping the `capacity` last used ones in memory; any number of threads may call it."""

    def __init__(self, load_policy: Callable[[str], PolicyData], capacity: int = 16) -> None:
        self._load, self._capacity = load_policy, capacity
        self._lock = threading.Lock()
        self._ready: OrderedDict[str, tuple[PolicyData, Algorithm]] = OrderedDict()

    def act(
        self, policy_id: str, obs: NDArray[Any], mask: NDArray[Any] | None, *, greedy: bool, seed: int = 0
    ) -> NDArray[Any]:
        """Actions `[B, A]` for observations `[B, O]` under masks `[B, M]` (None: everything is allowed).

        Without `greedy` they are drawn from the policy with `seed`. Raises `NotFound` for an unknown policy,
        `ModelFileNotFound` when its weights are missing, `InvalidInput` naming the field that does not fit.
        """
        policy, algorithm = self._get(policy_id)
        mask = check_observations(policy.env_spec, obs, mask)
        size = algorithm.noise_size
        noise = None if greedy else torch.rand(len(obs), size, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            out = algorithm.act(policy.params, policy.extra, torch.tensor(obs), torch.tensor(mask), noise)
        return out.action.numpy()

    def _get(self, policy_id: str) -> tuple[PolicyData, Algorithm]:
        with self._lock:
            if policy_id in self._ready:
                self._ready.move_to_end(policy_id)
                return self._ready[policy_id]
        policy = self._load(policy_id)  # outside the lock: a slow load must not hold up other policies
        pair = policy, algorithms.make(policy.algorithm, policy.env_spec)
        with self._lock:
            self._ready[policy_id] = pair
            while len(self._ready) > self._capacity:
                self._ready.popitem(last=False)
        return pair


def check_observations(spec: EnvSpec, obs: NDArray[Any], mask: NDArray[Any] | None) -> NDArray[Any]:
    """The mask to act under; raises `InvalidInput` naming what does not fit the environment the policy was made for."""
    wrong: list[Violation] = []
    if obs.ndim != 2 or obs.shape[1] != spec.obs_size or obs.dtype != np.float32:
        wrong.append(_misfit("observation", obs, f"float32 [B, {spec.obs_size}] ({spec.env_id})"))
    elif not np.isfinite(obs).all():
        wrong.append(Violation("observation", "holds NaN or infinite numbers"))
    if mask is None:
        mask = np.ones((obs.shape[0] if obs.ndim else 0, spec.mask_size), dtype=np.bool_)
    elif mask.ndim != 2 or mask.shape != (*obs.shape[:1], spec.mask_size) or mask.dtype != np.bool_:
        wrong.append(_misfit("mask", mask, f"bool [B, {spec.mask_size}] ({spec.env_id}), B as in observation"))
    elif spec.discrete and not np.logical_or.reduceat(mask, _starts(spec), axis=1).all():
        wrong.append(Violation("mask", "forbids every choice of an action component"))
    if wrong:
        raise InvalidInput("request", wrong)
    return mask


def _starts(spec: EnvSpec) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(spec.nvec)[:-1]]).astype(np.int64)


def _misfit(field: str, found: NDArray[Any], wanted: str) -> Violation:
    return Violation(field, f"must be {wanted}, not {found.dtype} {list(found.shape)}")
