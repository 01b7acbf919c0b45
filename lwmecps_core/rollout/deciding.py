"""One decision of a policy: what is seen of some environments → what is done there, and what is remembered of them.

For those who are handed observations, by callers or by environments that they don't drive: the learner-service's `Act`
and the library's `load_policy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lwmecps_core import context, fits
from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms.base import Algorithm, first_seen
from lwmecps_core.context.base import PREFIX, Context
from lwmecps_core.context.kept import Kept
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.remembered import nothing_known
from lwmecps_core.specs import EnvSpec

MAX_CHOICES = 2**24
"""How many choices, over all observations and action components, one call may weigh; and how many numbers it may
remember."""
MAX_ROWS = 65_536
"""Observations of one call."""


@dataclass(frozen=True)
class Ready:
    """A policy bound to an environment."""

    policy: PolicyData
    algorithm: Algorithm
    context: Context | None = None

    def memory(self, width: int) -> dict[str, Tensor]:
        """What it remembers of `width` environments that it has seen nothing of."""
        return nothing_known(self.algorithm, self.context, width)

    def act(self, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None) -> Acted[Tensor]:
        """See `Algorithm.act`; the context is brought up to date first."""
        known: dict[str, Tensor] = {}
        if self.context:
            known, features = _taken_in(self.context, memory, seen)
            seen = replace(seen, obs=torch.cat([seen.obs, features], -1))
        own = {name: x for name, x in memory.items() if not name.startswith(PREFIX)}
        out = self.algorithm.act(self.policy.params, self.policy.extra, own, seen, noise)
        return replace(out, memory={**out.memory, **known})


@dataclass(frozen=True)
class Before:
    """What went before: what the policy remembers, and the interval before.

    memory name → `[B, ...]` (empty: nothing yet); reward_terms float32 `[B, len(REWARD_TERMS)]`, action `[B, A]`, first
    bool `[B]` (None: zeros, and everywhere first where nothing is remembered).
    """

    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    reward_terms: NDArray[Any] | None = None
    action: NDArray[Any] | None = None
    first: NDArray[Any] | None = None


def ready(policy: PolicyData, spec: EnvSpec | None = None, field: str = "policy_id", source: str = "request") -> Ready:
    """The policy bound to `spec` (None: to the environment that it was made for).

    Raises `InvalidInput` of `source` that names `field` where it can't be.
    """
    made_for = spec or policy.env_spec
    algorithm = fits.bound(policy, made_for, source, field)
    return Ready(policy, algorithm, context.acting(policy.algorithm.context, made_for, source))


def decide(
    ready: Ready, obs: NDArray[Any], mask: NDArray[Any], before: Before, *, greedy: bool, seed: int = 0
) -> Acted[NDArray[Any]]:
    """Actions `[B, A]` for observations `[B, O]` under checked masks `[B, M]`, drawn with `seed` unless `greedy`.

    Raises `InvalidInput` naming what of `before` does not fit.
    """
    size = ready.algorithm.noise_size
    noise = None if greedy else torch.rand(len(obs), size, generator=torch.Generator().manual_seed(seed))
    memory, seen = remembered(ready, torch.tensor(obs), torch.tensor(mask), before)
    with torch.inference_mode():
        out = ready.act(memory, seen, noise)
    return Acted(out.action.numpy(), {}, {name: x.numpy() for name, x in out.memory.items()})


def _taken_in(kept: Context, memory: Mapping[str, Tensor], seen: Seen[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """What is known after what is seen, under its names in the policy's memory, and its features `[B, F]`."""
    before = {name.removeprefix(PREFIX): x.numpy() for name, x in memory.items() if name.startswith(PREFIX)}
    known = Kept(kept, before)
    known.take_in(seen.obs.numpy(), seen.reward_terms.numpy(), seen.first.numpy())
    features = known.shown[:, seen.obs.shape[1] :]
    if not np.isfinite(features).all():
        raise InvalidInput("request", [Violation("memory", "holds what no policy has remembered")])
    return {PREFIX + name: torch.from_numpy(x) for name, x in known.memory.items()}, torch.from_numpy(features)


def remembered(ready: Ready, obs: Tensor, mask: Tensor, before: Before) -> tuple[dict[str, Tensor], Seen[Tensor]]:
    """Memory and what is seen, as the policy takes them; raises `InvalidInput` naming what does not fit."""
    one, wrong = ready.memory(1), list[Violation]()
    for name in sorted(before.memory.keys() ^ one.keys()) if before.memory else ():
        what = f"remembers {', '.join(sorted(one))}" if one else "remembers nothing"
        wrong.append(Violation(f"memory[{name}]", f"the policy {what}"))
    if (kept := len(obs) * sum(x.numel() for x in one.values())) > MAX_CHOICES:
        reason = f"the policy would remember {kept} numbers of {len(obs)} observations; at most {MAX_CHOICES}"
        wrong.append(Violation("observation", reason))
    if wrong:
        raise InvalidInput("request", wrong)
    fresh, none = ready.memory(len(obs)), first_seen(ready.algorithm.spec, obs, mask)

    def given(name: str, array: NDArray[Any] | None, default: Tensor, infinite: bool = False) -> Tensor:
        if array is None:
            return default
        tensor = torch.tensor(array)
        if tensor.shape != default.shape or tensor.dtype != default.dtype:
            wanted = f"{str(default.dtype).removeprefix('torch.')} {list(default.shape)}, B as in observation"
            wrong.append(_misfit(name, array, wanted))
        elif tensor.isnan().any() or (not infinite and tensor.isinf().any()):
            wrong.append(Violation(name, "holds NaN" if infinite else "holds NaN or infinite numbers"))
        return tensor

    # The least of nothing is infinite, so a memory may be.
    memory = {name: given(f"memory[{name}]", before.memory.get(name), x, infinite=True) for name, x in fresh.items()}
    seen = Seen(
        obs,
        mask,
        given("reward_terms", before.reward_terms, none.reward_terms),
        given("previous_action", before.action, none.action),
        given("first", before.first, torch.zeros_like(none.first) if before.memory else none.first),
    )
    wrong += [] if wrong else _unknown_choices(ready.algorithm.spec, seen.action)
    if wrong:
        raise InvalidInput("request", wrong)
    return memory, seen


def _unknown_choices(spec: EnvSpec, action: Tensor) -> list[Violation]:
    """The first of the actions `[B, A]` told as taken before that no component has, if there is one."""
    if not spec.discrete:
        return []
    outside = ((action < 0) | (action >= torch.tensor(spec.nvec))).nonzero().tolist()
    return [
        Violation(f"previous_action[{b}][{a}]", f"is {int(action[b, a])}; the component has 0 to {spec.nvec[a] - 1}")
        for b, a in outside[:1]
    ]


def check_observations(spec: EnvSpec, obs: NDArray[Any], mask: NDArray[Any] | None) -> NDArray[Any]:
    """The mask to act under; raises `InvalidInput` naming what does not fit the environment."""
    wrong: list[Violation] = []
    if obs.ndim and len(obs) * spec.mask_size > MAX_CHOICES:
        reason = f"{len(obs)} observations have {spec.mask_size} choices each; at most {MAX_CHOICES} in all"
        raise InvalidInput("request", [Violation("observation", reason)])
    if obs.ndim and not 1 <= len(obs) <= MAX_ROWS:
        raise InvalidInput("request", [Violation("observation", f"1 to {MAX_ROWS} rows are needed, not {len(obs)}")])
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
