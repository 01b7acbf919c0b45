"""Returns and advantages."""

import torch
from torch import Tensor

RIDGE = 5.0
"""Of the linear fit: about the weight of five observations."""


def generalised_advantage(
    reward: Tensor, value: Tensor, terminated: Tensor, truncated: Tensor, discount: float, trace: float
) -> Tensor:
    """Generalised advantage estimates, time first within the last two axes.

    `reward`, `terminated`, `truncated` `[..., T, B]`, `value` `[..., T+1, B]` → `[..., T, B]`. A truncated transition
    bootstraps from the value of the frame it led to; a terminated one does not; neither passes the trace on.

    Source: Schulman et al. 2016, arXiv:1506.02438, equation 16.
    """
    alive = 1.0 - terminated.to(reward.dtype)
    goes_on = alive * (1.0 - truncated.to(reward.dtype))
    delta = reward + discount * alive * value[..., 1:, :] - value[..., :-1, :]
    advantage = torch.empty_like(delta)
    carried = torch.zeros_like(delta[..., 0, :])
    for t in range(delta.shape[-2] - 1, -1, -1):
        carried = delta[..., t, :] + discount * trace * goes_on[..., t, :] * carried
        advantage[..., t, :] = carried
    return advantage


def linear_residual(obs: Tensor, missed: Tensor, valid: Tensor) -> Tensor:
    """Ridge regression of returns that a critic missed on the observation, evaluated at every frame.

    `obs` `[..., T+1, B, O]`, `missed` (return − value) and `valid` `[..., T, B]` → `[..., T+1, B]`.

    Source: the linear feature baseline of Duan et al. 2016, arXiv:1604.06778, section 5, on observations alone.
    """
    features = torch.cat([obs, torch.ones_like(obs[..., :1])], -1)
    seen = (features[..., :-1, :, :] * valid.unsqueeze(-1)).flatten(-3, -2)
    goal = missed.flatten(-2, -1).unsqueeze(-1)
    gram = seen.mT @ seen + RIDGE * torch.eye(features.shape[-1], dtype=obs.dtype, device=obs.device)
    weights = torch.linalg.solve(gram, seen.mT @ goal)
    fitted: Tensor = (features @ weights.unsqueeze(-3)).squeeze(-1)
    return fitted


def flat_samples(x: Tensor, lead: int) -> Tensor:
    """`[..., T, B, ...]` → `[..., T·B, ...]`, with `lead` axes before time."""
    return x.flatten(lead, lead + 1)


def normalised(x: Tensor, weight: Tensor, *, together: bool = False) -> Tensor:
    """`x` `[..., S]` with weighted mean 0 and standard deviation 1 over the last axis; `together`, each mean is 0, and
    the deviation over all axes is 1.
    """
    total = weight.sum(-1, keepdim=True).clamp_min(1.0)
    centred = x - (x * weight).sum(-1, keepdim=True) / total
    squares, count = (centred.pow(2) * weight).sum(-1, keepdim=True), total
    if together:
        squares, count = squares.sum(), count.sum()
    deviation = torch.sqrt(squares / count)
    return centred / (deviation + 1e-8)


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of `x` `[..., S]` over the samples that count: `[...]`."""
    return (x * weight).sum(-1) / weight.sum(-1).clamp_min(1.0)
