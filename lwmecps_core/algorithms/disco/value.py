"""Values as distributions over bins, returns from data of older policies, and running moments.

Sources: the transformation of values is Pohlen et al. 2018, arXiv:1805.11593, proposition A.2; two bins for a number
Schrittwieser et al. 2020, arXiv:1911.08265, appendix F; returns Munos et al. 2016, arXiv:1606.02647, equation 4.
"""

import torch
from torch import Tensor

LINEAR = 1e-3
"""Weight of the transformation's linear part."""
DECAY, EPSILON, ROOT = 0.99, 1e-6, 1e-12
"""Of running moments."""


def squashed(x: Tensor) -> Tensor:
    """A value as bins hold it: about a root of its size."""
    return x.sign() * ((x.abs() + 1).sqrt() - 1) + LINEAR * x


def unsquashed(x: Tensor) -> Tensor:
    """Inverse of `squashed`."""
    root = (1 + 4 * LINEAR * (LINEAR + 1 + x.abs())).sqrt() / (2 * LINEAR) - 1 / (2 * LINEAR)
    return x.sign() * (root.square() - 1)


def expected(logits: Tensor) -> Tensor:
    """The value that logits over bins stand for: `[..., bins]` → `[...]`."""
    largest = _largest(logits.shape[-1])
    bins = torch.linspace(-largest, largest, logits.shape[-1], dtype=logits.dtype, device=logits.device)
    return unsquashed(logits.softmax(-1) @ bins)


def two_bins(value: Tensor, bins: int) -> Tensor:
    """Probabilities `[..., bins]` of the two bins around a value `[...]`, whose mean it is once transformed."""
    largest = _largest(bins)
    place = squashed(value).clamp(-largest, largest) + largest
    below = place.floor().clamp(0, bins - 2)
    share = (place - below).unsqueeze(-1)
    found = torch.zeros(*value.shape, bins, dtype=value.dtype, device=value.device)
    found.scatter_(-1, below.long().unsqueeze(-1), 1 - share)
    return found.scatter_(-1, below.long().unsqueeze(-1) + 1, share)


def returns(reward: Tensor, goes_on: Tensor, value: Tensor, taken: Tensor, trace: Tensor) -> Tensor:
    """What each step earns from then on, as the policy that is learnt would go on, `[..., T, N]`.

    `reward` `[..., T, N]`; `goes_on`, the discount, 0 where an episode ends; `value` of each frame `[..., T+1, N]`; of
    the actions that were taken the values `taken` and the weights `trace`, which cut what the policy wouldn't do. A
    return at t counts those of t + 1.
    """
    found = [reward[..., -1, :] + goes_on[..., -1, :] * value[..., -1, :]]
    for t in range(reward.shape[-2] - 2, -1, -1):
        later = value[..., t + 1, :] + trace[..., t + 1, :] * (found[-1] - taken[..., t + 1, :])
        found.append(reward[..., t, :] + goes_on[..., t, :] * later)
    return torch.stack(found[::-1], -2)


def no_moments(like: Tensor) -> Tensor:
    """Running moments of nothing: the first, the second, and how much of them is still the zero of the start: `[3]`."""
    return torch.tensor([0.0, 0.0, 1.0], dtype=like.dtype, device=like.device)


def moments_after(kept: Tensor, x: Tensor) -> Tensor:
    """Running moments `[..., 3]` after numbers `[..., T, N]`."""
    means = torch.stack([x.mean((-2, -1)), x.square().mean((-2, -1))], -1)
    return torch.cat([DECAY * kept[..., :2] + (1 - DECAY) * means, DECAY * kept[..., 2:]], -1)


def standard(kept: Tensor, x: Tensor) -> Tensor:
    """Numbers `[..., T, N]` (or with more axes behind), as far from the mean as there are standard deviations."""
    first, second = (kept[..., :2] / (1 - kept[..., 2:])).unbind(-1)
    deviation = ((second - first.square()).clamp_min(0.0) + ROOT).sqrt() + EPSILON
    shape = (*first.shape, *[1] * (x.dim() - first.dim()))
    return (x - first.reshape(shape)) / deviation.reshape(shape)


def signed_log(x: Tensor) -> Tensor:
    """sign(x) · log(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def _largest(bins: int) -> float:
    """What the last of these bins stands for, transformed: they are one apart, and the first is its negative."""
    return (bins - 1) / 2
