"""Meta-learners, by the name in their settings."""

from collections.abc import Callable
from typing import Any

from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.meta.implicit import ImplicitMAML
from lwmecps_core.meta.maml import MAML
from lwmecps_core.meta.reptile import Reptile
from lwmecps_core.run_config import MetaLearnerConfig

REGISTRY: dict[str, Callable[[Any], MetaLearner]] = {
    "maml": MAML,
    "fomaml": MAML,
    "imaml": ImplicitMAML,
    "reptile": Reptile,
}


def make(cfg: MetaLearnerConfig) -> MetaLearner:
    """The meta-learner that `cfg` names."""
    return REGISTRY[cfg.name](cfg)
