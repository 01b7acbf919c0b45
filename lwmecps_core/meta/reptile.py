"""Reptile: go where plain training on each task leads."""

from collections.abc import Sequence

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.meta.base import MetaGradient
from lwmecps_core.meta.maml import constant_steps
from lwmecps_core.meta.rates import Rates
from lwmecps_core.run_config import ReptileConfig
from lwmecps_core.tree import expanded_extra


class Reptile(Rates):
    """(θ − φ) / α averaged over tasks (Nichol et al. 2018, arXiv:1803.02999, algorithm 2), per parameter: the sum of
    the gradients along the way, which with one step is joint training's gradient.

    Every collected batch counts as one step, the last one too: φ is where a step on the data after the last inner
    step would lead, so that `adaptation_steps` 1 already prefers starts that adapt. Groups that take no inner steps
    get the sum of their gradients likewise. Rates are not learnt.
    """

    def __init__(self, cfg: ReptileConfig) -> None:
        super().__init__()

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """Mean over tasks of Σⱼ ∇L(φⱼ) over all points."""
        many_extra = expanded_extra(extra, points[0]["weight"].shape[0])
        return constant_steps(algo, params, many_extra, learnt, points, (1.0,) * len(points), learn_rates=False)
