"""The contract of a meta-learner: where it collects, how it steps, and the gradient that it descends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.run_config import MetaConfig


@dataclass(frozen=True)
class MetaGradient:
    """Gradients for the shared start and the inner rates, and the losses `[K]` before and after adaptation.

    `rates` is empty where none are learnt. `metrics` are a method's own, `[K]` each.
    """

    params: Params
    rates: Params
    loss_before: Tensor
    loss_after: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class MetaLearner(Protocol):
    """A way to learn a start from which a few inner steps lead far; any of them wraps any algorithm."""

    @property
    def frozen_support(self) -> bool:
        """Whether all inner steps learn from one collection; otherwise each has a new one."""

    def step(
        self, algo: Algorithm, start: Params, params: Params, extra: Extra, rates: Params, batch: Batch, cfg: MetaConfig
    ) -> Params:
        """One inner step of a policy that started from `start`, outside every graph; a leading task axis is kept."""

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, rates: Params, points: Sequence[Batch], cfg: MetaConfig
    ) -> MetaGradient:
        """The gradient over K tasks. `points` are the batches collected at the start and after each round of inner
        steps (see `collections`), with a task axis; `params`, `extra` and `rates` have none.
        """


def collections(learner: MetaLearner, cfg: MetaConfig) -> int:
    """How often data are collected in one chain of adaptation, the last time after the last inner step."""
    return 2 if learner.frozen_support else cfg.adaptation_steps + 1


def point_weights(cfg: MetaConfig, points: int) -> tuple[float, ...]:
    """How much each point's loss counts: the last one's `1 - multi_step_loss`, the others share the rest equally
    (Antoniou et al. 2019, MAML++, arXiv:1810.09502, equation 6).
    """
    return (cfg.multi_step_loss / (points - 1),) * (points - 1) + (1.0 - cfg.multi_step_loss,)
