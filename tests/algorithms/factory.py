"""Small environments' specs, random rollouts and settings for tests of algorithms and meta-learning."""

import torch

from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params, first_seen
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import AlgorithmConfig, DQNConfig, PPOConfig, QLearningConfig, SACConfig, TD3Config
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
SPECS = {"rows": ROWS, "pairs": PAIRS, "flat": FLAT, "box": BOX, "pair_box": PAIR_BOX}

SETTINGS: dict[str, AlgorithmConfig] = {
    "ppo": PPOConfig(hidden_size=(8, 6), batch_size=8),
    "dqn": DQNConfig(hidden_size=(8, 6)),
    "q_learning": QLearningConfig(bins=2),  # so few rows that one rollout visits what another did
    "sac": SACConfig(hidden_size=(8, 6)),
    "td3": TD3Config(hidden_size=(8, 6)),
}


def cases() -> list[tuple[str, str]]:
    """Every registered algorithm on every spec that it accepts."""
    return [(a, s) for a in algorithms.REGISTRY for s in SPECS if _accepts(a, s)]


def first_cases() -> list[tuple[str, str]]:
    """Every registered algorithm on the first spec that it accepts."""
    return [next((a, s) for a, s in cases() if a == name) for name in algorithms.REGISTRY]


def _accepts(name: str, spec: str) -> bool:
    try:
        algorithms.make(_settings(name), SPECS[spec])
    except InvalidInput:
        return False
    return True


def _settings(name: str) -> AlgorithmConfig:
    settings: AlgorithmConfig = SETTINGS.get(name) or ALGORITHMS[name]()
    return settings


def whole(algo: Algorithm, params: Params, extra: Extra, data: Batch) -> Batch:
    """A rollout as one batch, with the same noise every time."""
    return algo.prepare(params, extra, data, torch.Generator().manual_seed(0))


def make(name: str, spec: str) -> tuple[Algorithm, Params, Extra]:
    """The algorithm with float64 parameters."""
    algo = algorithms.make(_settings(name), SPECS[spec])
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
    flat = lambda x: x.flatten(0, -2)  # noqa: E731
    out = algo.act(params, extra, {}, first_seen(spec, flat(obs[:, :-1]), flat(mask[:, :-1])), flat(noise))
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
