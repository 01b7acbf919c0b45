"""Stored policies that act: on an environment's own observations, one or a batch, remembering what they have to."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lwmecps_core import policy as policy_file
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.context.kept import terms_of
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.observation import V2, version_of
from lwmecps_core.errors import InvalidInput, NotFound, Violation
from lwmecps_core.fits import described
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.deciding import Before, Ready, check_observations, decide, ready
from lwmecps_core.specs import EnvSpec, TaskSpec

Array = NDArray[Any]
FETCHERS = "lwmecps.policies"
"""Entry points of this group get a policy's file by its id: (id, address, empty for the usual one) → bytes."""
SUFFIX = ".safetensors"


class ActingPolicy:
    """A policy bound to one kind of environment, with what it remembers of the clusters that it acts on.

    `data` is its weights and settings. It remembers from call to call until `reset`, which belongs before another task;
    `on` gives it for clusters of another size.
    """

    def __init__(self, data: PolicyData, name: str = "policy", spec: EnvSpec | None = None) -> None:
        self.data, self.name, self._spec = data, name, spec or data.env_spec
        self._ready: Ready = ready(data, spec, "environment", "policy")
        self._remembers = bool(self._ready.memory(1))
        self.reset()

    @property
    def spec(self) -> EnvSpec:
        """The kind of environment that it acts in."""
        return self._spec

    @property
    def memory(self) -> Mapping[str, Array]:
        """What it remembers, name → `[B, ...]`; empty before its first action, and where it remembers nothing."""
        return dict(self._memory)

    def reset(self) -> None:
        """Forget everything: what comes next is another task."""
        self._memory: Mapping[str, Array] = {}
        self._action: Array | None = None

    def act(
        self, obs: Any, info: Mapping[str, Any] | None = None, *, first: Any = None, seed: int | None = None
    ) -> Any:
        """The action for what an environment shows: its observation (a dict of blocks or a flat array) and its `info`.

        One observation gives one action in the environment's own form, a batch `[B, ...]` (of a vector environment)
        gives `[B, A]`. `info` brings the mask of allowed choices and, for a policy that remembers, the terms of the
        reward before; without it everything is allowed. `first` says where an episode begins (bool or `[B]`; by
        default in the first call after `reset`). The action is the policy's best, or drawn with `seed`. Raises
        `InvalidInput` naming what does not fit.
        """
        spec = self.spec
        flat, one = _flat(obs, spec)
        width = len(flat)
        if self._action is not None and len(self._action) != width:
            reason = f"{width} environments after {len(self._action)}: reset() the policy between tasks"
            raise InvalidInput("act", [Violation("obs", reason)])
        begins = np.broadcast_to(
            np.asarray(self._action is None if first is None else first, np.bool_), (width,)
        ).copy()
        mask = _array((info or {}).get("action_mask"), np.bool_, one) if spec.discrete else None
        mask = check_observations(spec, flat, mask if spec.mask_size else None)
        out = decide(self._ready, flat, mask, self._before(info, begins, one), greedy=seed is None, seed=seed or 0)
        self._memory, self._action = out.memory, out.action
        if not one:
            return out.action
        scalar = spec.discrete and version_of(spec.env_id) <= V2
        return int(out.action[0, 0]) if scalar else out.action[0]

    def on(self, where: Any) -> "ActingPolicy":
        """The same policy for another task or environment, which may be of another size.

        Raises `InvalidInput` where it can't act there.
        """
        inner = getattr(where, "unwrapped", where)
        spec = env_spec(inner) if isinstance(inner, TaskSpec) else getattr(inner, "spec_of_env", inner)
        if not isinstance(spec, EnvSpec):
            reason = f"must be a task or one of our environments, not {type(where).__name__}"
            raise InvalidInput("on", [Violation("where", reason)])
        return ActingPolicy(self.data, self.name, spec)

    def save(self, path: str | Path) -> Path:
        """Write the policy as one file (safetensors), which `load_policy` and `lwmecps policies import` read."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(policy_file.to_bytes(self.data))
        return path

    def _before(self, info: Mapping[str, Any] | None, begins: Array, one: bool) -> Before:
        """What went before: zeros where an episode begins."""
        if self._action is None or not self._remembers:
            return Before(first=begins) if self._remembers else Before()
        missing = [key for key in REWARD_TERMS if key not in (info or {})]
        if missing and not begins.all():
            reason = f"lacks {', '.join(missing)}: the policy remembers, so give it the environment's info"
            raise InvalidInput("act", [Violation("info", reason)])
        terms = np.zeros((len(begins), len(REWARD_TERMS)), np.float32)
        if not missing:
            terms = np.atleast_2d(terms_of(info)).astype(np.float32)
        return Before(
            self._memory,
            np.where(begins[:, None], np.float32(0), terms),
            np.where(begins[:, None], 0, self._action).astype(self._action.dtype),
            begins,
        )

    def __repr__(self) -> str:
        return f"<policy {self.name}: {self.data.algorithm.name} for {described(self.data.env_spec)}>"


def load_policy(source: Any, *, registry: str = "") -> ActingPolicy:
    """A policy that acts: from its file (safetensors), its bytes, or the registry's id.

    An id is asked for at `registry` (`host:port`; empty: what `LWMECPS_CLI_REGISTRY` says, else loopback). Raises
    `InvalidInput` for what is no policy, `NotFound` for a file or id that isn't there.

    >>> import lwmecps_core
    >>> file = lwmecps_core.train("lwmecps-v3", total_episodes=4).policy.save("mine.safetensors")
    >>> lwmecps_core.load_policy(file).act(*lwmecps_core.make_env("lwmecps-v3").reset(seed=0)).shape
    (4,)
    """
    if isinstance(source, ActingPolicy):
        return source
    if isinstance(source, PolicyData):
        return ActingPolicy(source)
    if isinstance(source, bytes):
        return ActingPolicy(policy_file.from_bytes(source, "policy"))
    if not isinstance(source, str | Path):
        reason = f"must be a file, an id, bytes or a policy, not {type(source).__name__}"
        raise InvalidInput("policy", [Violation(".", reason)])
    path = Path(source)
    if path.is_file():
        try:
            return ActingPolicy(policy_file.from_bytes(path.read_bytes(), str(path)), path.stem)
        except OSError as error:
            raise InvalidInput(str(path), [Violation(".", f"not readable: {error}")]) from None
    if path.suffix or len(path.parts) != 1:
        raise NotFound("policy file", str(path))
    return ActingPolicy(policy_file.from_bytes(_fetched(str(source), registry), str(source)), str(source))


def _fetched(policy_id: str, registry: str) -> bytes:
    """A policy's file from whoever serves ids; the library itself speaks to nobody."""
    for point in entry_points(group=FETCHERS):
        data: bytes = point.load()(policy_id, registry)
        return data
    raise NotFound("policy file", f"{policy_id} (and nothing is installed that gets policies by their ids)")


def _wide(first: Any, width: int) -> Array:
    """Whether an episode begins, `[B]`."""
    given = np.asarray(first, np.bool_)
    if given.shape not in ((), (width,)):
        reason = f"must be one truth value or {width}, not of the shape {list(given.shape)}"
        raise InvalidInput("act", [Violation("first", reason)])
    return np.broadcast_to(given, (width,)).copy()


def _flat(obs: Any, spec: EnvSpec) -> tuple[Array, bool]:
    """Observations `[B, O]` float32, and whether it was one alone."""
    if not isinstance(obs, Mapping):
        given = _array(obs, np.float32, False)
        if given is None or given.ndim not in (1, 2):
            raise InvalidInput("act", [Violation("obs", f"must be [O] or [B, O] numbers: {described(spec)}")])
        return (given[None], True) if given.ndim == 1 else (given, False)
    names = [name for name, _ in spec.blocks]
    wrong = [Violation(f"obs[{name}]", "is missing") for name in names if name not in obs]
    wrong += [Violation(f"obs[{name}]", "is unknown to the policy") for name in obs if name not in names]
    if wrong:
        raise InvalidInput("act", [*wrong, Violation("obs", f"must be that of {described(spec)}: see on()")])
    blocks = [(np.asarray(obs[name], np.float32), shape) for name, shape in spec.blocks]
    one = all(x.ndim == len(shape) for x, shape in blocks)
    lead = 0 if one else 1
    for (x, shape), name in zip(blocks, names, strict=True):
        if x.shape[lead:] != shape or x.ndim != len(shape) + lead:
            reason = f"has the shape {list(x.shape)}, not {list(shape)} or [B, ...] of it: on(env) fits other sizes"
            raise InvalidInput("act", [Violation(f"obs[{name}]", reason)])
    width = 1 if one else len(blocks[0][0])
    return np.concatenate([x.reshape(width, -1) for x, _ in blocks], axis=1), one


def _array(given: Any, kind: Any, one: bool) -> Array | None:
    if given is None:
        return None
    try:
        array = np.asarray(given, kind)
    except (TypeError, ValueError):
        raise InvalidInput("act", [Violation("obs", f"must be numbers, not {type(given).__name__}")]) from None
    return array[None] if one else array
