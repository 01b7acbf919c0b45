"""The contract of a meta-learner: what it learns beside the start, how it steps, and the gradient that it descends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params


@dataclass(frozen=True)
class MetaGradient:
    """Gradients for the start and for what is learnt beside it, and the losses `[K]` before and after adaptation.

    `learnt` is that of `MetaLearner.free(learnt)`, empty where nothing is learnt. `metrics` `[K]` are the method's own.
    """

    params: Params
    learnt: Params
    loss_before: Tensor
    loss_after: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class MetaLearner(Protocol):
    """A way to learn a start from which a few inner steps lead far; any of them wraps any algorithm.

    It is bound to its own settings. What it learns beside the start (`learnt`: the rates of inner steps, the weights of
    an update rule) is a parameter tree of its own; how the policy adapts later is `step` with that tree.
    """

    @property
    def frozen_support(self) -> bool:
        """Whether all inner steps learn from one collection; otherwise each has a new one."""

    @property
    def learning_rate(self) -> float:
        """Step size of the outer optimiser on `free(learnt)`."""

    def init(self, algo: Algorithm, params: Params, inner_lr: float) -> Params:
        """The learnt tree while nothing is learnt yet, whose steps have the size `inner_lr`; without a task axis."""

    def free(self, learnt: Params) -> Params:
        """The same as numbers that may be anything, which the outer optimiser can move (logarithms of rates)."""

    def bound(self, free: Params) -> Params:
        """Inverse of `free`, within what is safe; outside every graph."""

    def slower(self, learnt: Params, shares: Tensor) -> Params:
        """The learnt trees `[K, ...]` of rules whose steps are `shares` `[K]` times as long."""

    def step(
        self, algo: Algorithm, start: Params, params: Params, extra: Extra, learnt: Params, batch: Batch
    ) -> Params:
        """One inner step of a policy that started from `start`, outside every graph; a leading task axis is kept."""

    def meta_gradient(
        self, algo: Algorithm, params: Params, extra: Extra, learnt: Params, points: Sequence[Batch], steps: int
    ) -> MetaGradient:
        """The gradient over K tasks after `steps` inner steps. `points` are the batches collected at the start and
        after each round of inner steps (see `collections`), with a task axis; `params`, `extra` and `learnt` have none.
        """


def collections(learner: MetaLearner, steps: int) -> int:
    """How often data are collected in one chain of `steps` inner steps, the last time after the last of them."""
    return 2 if learner.frozen_support else steps + 1


def point_weights(multi_step_loss: float, points: int) -> tuple[float, ...]:
    """How much each point's loss counts: the last one's `1 - multi_step_loss`, the others share the rest equally
    (Antoniou et al. 2019, MAML++, arXiv:1810.09502, equation 6).
    """
    return (multi_step_loss / (points - 1),) * (points - 1) + (1.0 - multi_step_loss,)
