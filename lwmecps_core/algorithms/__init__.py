"""Base reinforcement-learning algorithms, by the name in their settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from lwmecps_core.algorithms.base import Algorithm
from lwmecps_core.algorithms.belief_ppo import BeliefPPO
from lwmecps_core.algorithms.disco.agent import Disco
from lwmecps_core.algorithms.dqn import DQN
from lwmecps_core.algorithms.ppo import PPO, entropy_weight
from lwmecps_core.algorithms.q_learning import QLearning
from lwmecps_core.algorithms.recurrent import RecurrentPPO
from lwmecps_core.algorithms.sac import SAC
from lwmecps_core.algorithms.sight import Selective, shown
from lwmecps_core.algorithms.td3 import TD3
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig
from lwmecps_core.specs import EnvSpec

REGISTRY: dict[str, Callable[[Any, EnvSpec], Algorithm]] = {
    "ppo": PPO,
    "dqn": DQN,
    "q_learning": QLearning,
    "sac": SAC,
    "td3": TD3,
    "disco": Disco,
}
LEARNT: dict[str, dict[str, Callable[[Any, EnvSpec], Algorithm]]] = {
    "recurrent": {"ppo": RecurrentPPO},
    "belief": {"ppo": BeliefPPO},
}
"""Context → those that can learn what to remember; the settings of the others refuse it."""


def from_nothing(cfg: AlgorithmConfig, spec: EnvSpec) -> Algorithm:
    """As `make`, for a policy that begins with nothing; raises `InvalidInput` where a file that it needs is missing."""
    if getattr(cfg, "rule", b"") is None:
        reason = f"{cfg.name} learns by a rule: give the file with its weights"
        raise InvalidInput("algorithm", [Violation("rule", reason)])
    return make(cfg, spec)


def exploring(cfg: AlgorithmConfig, spec: EnvSpec, share: float) -> Algorithm:
    """As `make`, with a share of the weight of PPO's entropy bonus; any other algorithm has none."""
    if share == 1.0 or not isinstance(cfg, PPOConfig):
        return make(cfg, spec)
    return make(replace(cfg, entropy_coef=share * entropy_weight(cfg, shown(cfg, spec))), spec)


def make(cfg: AlgorithmConfig, spec: EnvSpec) -> Algorithm:
    """The algorithm that `cfg` names, for one kind of environment; its networks see what `cfg` lets them see."""
    seen = shown(cfg, spec)
    algorithm = LEARNT.get(cfg.context, REGISTRY)[cfg.name](cfg, seen)
    return algorithm if seen == spec else cast(Algorithm, Selective(algorithm, cfg, spec))
