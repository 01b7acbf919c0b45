"""What an agent descends once a rule has said what its outputs shall be."""

from torch import Tensor

from lwmecps_core.algorithms.disco.rule import Targets
from lwmecps_core.algorithms.disco.value import two_bins

VALUE_WEIGHT = 0.2
"""Of the value's loss beside the others, as in the published agent."""


def divergence(goal: Tensor, logits: Tensor) -> Tensor:
    """Kullback–Leibler divergence of the distributions of two logits, the goal's being held: `[..., C]` → `[...]`."""
    wanted = goal.log_softmax(-1)
    return (wanted.exp() * (wanted - logits.log_softmax(-1))).sum(-1)


def by_step(
    goal: Targets,
    logits: Tensor,
    y: Tensor,
    z: Tensor,
    q: Tensor,
    following: Tensor,
    next_logits: Tensor,
    alive: Tensor,
) -> Tensor:
    """The loss of each step, `[..., T, N]`.

    Of steps: the policy's `logits` `[..., T, N, A]`, predictions `y` and, for the action that was taken, `z`
    `[..., T, N, P]`, the logits of its value `q` `[..., T, N, bins]`, and which policy it says will be `following`
    `[..., T, N, A]`, held against `next_logits`, the policy of the next frame, where the episode goes on (`alive`).

    Source: Oh et al. 2025, Nature, doi:10.1038/s41586-025-09761-x, equation 1 and methods.
    """
    value = -(two_bins(goal.q, q.shape[-1]) * q.log_softmax(-1)).sum(-1)
    return (
        divergence(goal.pi, logits)
        + divergence(goal.y, y)
        + divergence(goal.z, z)
        + alive * divergence(next_logits, following)
        + VALUE_WEIGHT * value
    )
