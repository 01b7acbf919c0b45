"""The loops: train, meta-train, transfer, continual, adapt, evaluate, over any collector.

Each is a generator that yields `Progress` after every step and can start again from any yielded state: all randomness
of a step comes from (seed, step), so that a resumed run equals an undisturbed one. The tensors of a yielded state are
live: copy them before asking for the next step.
"""

from lwmecps_core.training.adaptation import adapt
from lwmecps_core.training.continual import continual
from lwmecps_core.training.meta import meta_train
from lwmecps_core.training.plain import evaluate, train
from lwmecps_core.training.transfer import transfer

__all__ = ["adapt", "continual", "evaluate", "meta_train", "train", "transfer"]
