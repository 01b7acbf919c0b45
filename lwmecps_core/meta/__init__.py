"""Meta-learners, by the name in `MetaConfig.method`."""

from lwmecps_core.meta.base import MetaLearner
from lwmecps_core.meta.implicit import ImplicitMAML
from lwmecps_core.meta.maml import MAML
from lwmecps_core.meta.reptile import Reptile

REGISTRY: dict[str, MetaLearner] = {
    "maml": MAML(),
    "fomaml": MAML(first_order=True),
    "implicit_fomaml": ImplicitMAML(),
    "reptile": Reptile(),
}
