"""Small environments, algorithms with small networks on them, and random rollouts, in float64."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, first_seen, learnable
from lwmecps_core.algorithms.disco.weights import Sizes, drawn, to_bytes
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig
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

RULE = Sizes(predictions=8, hidden=12, life=6, embedding=5, channels=4, choice=2, policy=7, summary=5)
"""Of a learnt update rule that nobody has learnt: its weights are drawn."""
A_RULE: dict[str, Any] = {
    "rule": to_bytes(drawn(RULE, 3)),
    "prediction_size": RULE.predictions,
    "model_size": 5,
    "segment": 4,
}
SMALL: dict[str, Any] = {
    "hidden_size": (8, 6),
    "batch_size": 8,
    "bins": 2,
    "discount_factor": 0.99,
    "gae_lambda": 0.95,
    "n_epochs": 4,
} | A_RULE
"""Settings of all algorithms that have them: finite differences must find no kink within a step of some 1e-6 in any of
the parameters, and a table so few rows that one rollout visits what another did.
"""
RECURRENT, BELIEF = "recurrent_ppo", "belief_ppo"
"""PPO that learns what to remember, and what to believe: algorithms of their own beside those that are registered."""
LEARNT = {RECURRENT: PPOConfig(context="recurrent"), BELIEF: PPOConfig(context="belief", belief_size=2)}
Example = tuple[Algorithm, Params, Extra]
"""An algorithm bound to a spec, its parameters and extra state, float64."""


def small(name: str) -> AlgorithmConfig:
    """An algorithm's settings in a small size."""
    settings = LEARNT[name] if name in LEARNT else ALGORITHMS[name]()
    known = {field.name for field in fields(settings)}
    found: AlgorithmConfig = replace(settings, **{k: v for k, v in SMALL.items() if k in known})
    return found


def specs_of(name: str) -> list[str]:
    """The specs that an algorithm accepts."""
    return [spec for spec in SPECS if _accepts(name, spec)]


def cases() -> list[tuple[str, str]]:
    """Every algorithm on every spec that it accepts."""
    return [(name, spec) for name in (*algorithms.REGISTRY, *LEARNT) for spec in specs_of(name)]


def first_cases() -> list[tuple[str, str]]:
    """Every algorithm on the first spec that it accepts."""
    return [(name, specs_of(name)[0]) for name in (*algorithms.REGISTRY, *LEARNT)]


def _accepts(name: str, spec: str) -> bool:
    try:
        algorithms.make(small(name), SPECS[spec])
    except InvalidInput:
        return False
    return True


def whole(algo: Algorithm, params: Params, extra: Extra, data: Batch) -> Batch:
    """A rollout as one batch, with the same noise every time."""
    return learnable(algo, params, extra, data, torch.Generator().manual_seed(0))


def make(name: str, spec: str) -> Example:
    """An algorithm on one of `SPECS`."""
    algo = algorithms.make(small(name), SPECS[spec])
    params, extra = algo.init(torch.Generator().manual_seed(1))
    return algo, tree_map(lambda leaf: leaf.double(), params), {k: v.double() for k, v in extra.items()}


def nothing_remembered(algo: Algorithm, width: int) -> dict[str, Tensor]:
    """An algorithm's empty memory, float64."""
    return {name: x.double() if x.is_floating_point() else x for name, x in algo.memory(width).items()}


def rollout(algo: Algorithm, params: Params, extra: Extra, seed: int, *, tasks: int = 2, length: int = 6) -> Batch:
    """A random stacked rollout `[K, T, B]` with actions by the policy, an early end and an invalid step."""
    gen = torch.Generator().manual_seed(seed)
    spec, envs = algo.spec, 3
    shape = (tasks, length, envs)
    obs = torch.randn(tasks, length + 1, envs, spec.obs_size, generator=gen, dtype=torch.float64)
    mask = torch.rand(tasks, length + 1, envs, spec.mask_size, generator=gen) < 0.7
    if spec.discrete:
        mask.reshape(*mask.shape[:-1], len(spec.nvec), -1)[..., :1] = True
    terminated, truncated, valid = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    valid[:] = True
    terminated[:, 2, 0] = True
    valid[:, 3, 0] = False
    truncated[:, -1] = True
    noise = torch.rand(*shape, algo.noise_size, generator=gen, dtype=torch.float64)
    data = {
        "obs": obs,
        "mask": mask,
        "reward": torch.randn(shape, generator=gen, dtype=torch.float64),
        "reward_terms": torch.randn(*shape, len(REWARD_TERMS), generator=gen, dtype=torch.float64),
        "terminated": terminated,
        "truncated": truncated,
        "valid": valid,
    }
    return data | _acted(algo, params, extra, data, noise)


def _acted(algo: Algorithm, params: Params, extra: Extra, data: Batch, noise: Tensor) -> Batch:
    """What the policy does in a rollout of that data, interval by interval: actions, extras, memory at first."""
    tasks, length, envs = data["reward"].shape

    def flat(x: Tensor) -> Tensor:
        return x.flatten(0, 1)

    def apart(x: Tensor) -> Tensor:
        return x.reshape(tasks, envs, *x.shape[1:])

    memory = nothing_remembered(algo, tasks * envs)
    begun = {f"begun/{name}": apart(x) for name, x in memory.items()}
    done: list[dict[str, Tensor]] = []
    for t in range(length):
        seen = first_seen(algo.spec, flat(data["obs"][:, t]), flat(data["mask"][:, t]))
        if t:
            first = ~flat(data["valid"][:, t - 1])
            before = {"reward_terms": flat(data["reward_terms"][:, t - 1]), "action": done[-1]["action"]}
            seen = replace(seen, first=first, **{n: x.masked_fill(first[:, None], 0) for n, x in before.items()})
        out = algo.act(params, extra, memory, seen, flat(noise[:, t]))
        memory = dict(out.memory)
        done.append({"action": out.action, **out.extras})
    return begun | {name: torch.stack([apart(x[name]) for x in done], 1) for name in done[0]}
