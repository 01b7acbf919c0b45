"""Small environments, algorithms with small networks on them, and random rollouts, in float64."""

from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, first_seen
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.tree import tree_map

ROWS = EnvSpec(
    env_id="lwmecps-v3",
    blocks=(("deployment", (3, 4)), ("global", (2,))),
    nvec=(5, 5, 5),
    action_size=3,
    horizon=6,
    action_entity="deployment",
)
PAIRS = EnvSpec(
    env_id="lwmecps-v4",
    blocks=(("global", (2,)), ("deployment", (2, 3)), ("node", (3, 2)), ("pair", (2, 3, 2))),
    nvec=(4,) * 6,
    action_size=6,
    horizon=6,
    action_entity="pair",
)
FLAT = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (5,)),), nvec=(3,), action_size=1, horizon=6)
BOX = EnvSpec(
    env_id="lwmecps-v3-continuous",
    blocks=(("deployment", (3, 4)), ("global", (2,))),
    nvec=(),
    action_size=3,
    horizon=6,
    action_entity="deployment",
)
PAIR_BOX = EnvSpec("lwmecps-v4-continuous", PAIRS.blocks, (), PAIRS.action_size, PAIRS.horizon, PAIRS.action_entity)
SPECS: dict[str, EnvSpec] = {"rows": ROWS, "pairs": PAIRS, "flat": FLAT, "box": BOX, "pair_box": PAIR_BOX}

SMALL: dict[str, Any] = {"hidden_size": (8, 6), "batch_size": 8, "bins": 2}
"""Settings of all algorithms that have them: finite differences must find no kink within a step of some 1e-6 in any of
the parameters, and a table so few rows that one rollout visits what another did.
"""
Example = tuple[Algorithm, Params, Extra]
"""An algorithm bound to a spec, its parameters and extra state, float64."""


def small(name: str) -> AlgorithmConfig:
    """A registered algorithm's settings in a small size."""
    settings = ALGORITHMS[name]()
    known = {field.name for field in fields(settings)}
    found: AlgorithmConfig = replace(settings, **{k: v for k, v in SMALL.items() if k in known})
    return found


def specs_of(name: str) -> list[str]:
    """The specs that a registered algorithm accepts."""
    return [spec for spec in SPECS if _accepts(name, spec)]


def cases() -> list[tuple[str, str]]:
    """Every registered algorithm on every spec that it accepts."""
    return [(name, spec) for name in algorithms.REGISTRY for spec in specs_of(name)]


def first_cases() -> list[tuple[str, str]]:
    """Every registered algorithm on the first spec that it accepts."""
    return [(name, specs_of(name)[0]) for name in algorithms.REGISTRY]


def _accepts(name: str, spec: str) -> bool:
    try:
        algorithms.make(small(name), SPECS[spec])
    except InvalidInput:
        return False
    return True


def whole(algo: Algorithm, params: Params, extra: Extra, data: Batch) -> Batch:
    """A rollout as one batch, with the same noise every time."""
    return algo.prepare(params, extra, data, torch.Generator().manual_seed(0))


def make(name: str, spec: str) -> Example:
    """A registered algorithm on one of `SPECS`."""
    algo = algorithms.make(small(name), SPECS[spec])
    params, extra = algo.init(torch.Generator().manual_seed(1))
    return algo, tree_map(lambda leaf: leaf.double(), params), {k: v.double() for k, v in extra.items()}


def rollout(algo: Algorithm, params: Params, extra: Extra, seed: int, *, tasks: int = 2, length: int = 6) -> Batch:
    """A random stacked rollout `[K, T, B]` with actions by the policy, an early end and an invalid step."""
    gen = torch.Generator().manual_seed(seed)
    spec, envs = algo.spec, 3
    shape = (tasks, length, envs)
    obs = torch.randn(tasks, length + 1, envs, spec.obs_size, generator=gen, dtype=torch.float64)
    mask = torch.rand(tasks, length + 1, envs, spec.mask_size, generator=gen) < 0.7
    if spec.discrete:
        mask.reshape(*mask.shape[:-1], len(spec.nvec), -1)[..., :1] = True
    noise = torch.rand(*shape, algo.noise_size, generator=gen, dtype=torch.float64)
    flat = partial(torch.Tensor.flatten, end_dim=-2)
    seen = first_seen(spec, flat(obs[:, :-1]), flat(mask[:, :-1]))
    out = algo.act(params, extra, algo.memory(seen.obs.shape[0]), seen, flat(noise))
    terminated, truncated, valid = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    valid[:] = True
    terminated[:, 2, 0] = True
    valid[:, 3, 0] = False
    truncated[:, -1] = True
    return {
        "obs": obs,
        "mask": mask,
        "action": out.action.reshape(*shape, -1),
        "reward": torch.randn(shape, generator=gen, dtype=torch.float64),
        "terminated": terminated,
        "truncated": truncated,
        "valid": valid,
        **{k: v.reshape(shape) for k, v in out.extras.items()},
    }
