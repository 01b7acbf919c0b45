"""Action distributions on top of network outputs.

All components of one action have the same number of choices n. Replica counts (v3, v4) have three outputs each. Whether
any replica runs is a decision of its own (neighbours can serve in its place), so its log-odds are one output; how many
run is ordered, so the rest is a discretised Gaussian: what is learnt about 4 replicas tells about 5. (A hurdle model:
Mullahy 1986, Journal of Econometrics 33, 341–365.)
"""

from math import log, pi

import torch
from torch import Tensor

from lwmecps_core.algorithms import counts
from lwmecps_core.algorithms.count_loops import FORBIDDEN, LOG_HALF, LOG_SCALE_RANGE
from lwmecps_core.specs import EnvSpec


def choices(spec: EnvSpec) -> int:
    """The number of choices n of every action component."""
    if len(set(spec.nvec)) != 1:
        raise ValueError(f"action components must have one number of choices, not {sorted(set(spec.nvec))}")
    return spec.nvec[0]


def ordinal(spec: EnvSpec) -> bool:
    """Whether choices are counts of replicas."""
    return spec.discrete and spec.action_entity in ("deployment", "pair")


def outputs(spec: EnvSpec) -> int:
    """Network outputs for each action component."""
    if not spec.discrete:
        return 1
    return 3 if ordinal(spec) else choices(spec)


def begun(spec: EnvSpec, net: dict[str, Tensor]) -> dict[str, Tensor]:
    """A policy whose last layer's biases are 0, begun with as many replicas of a deployment on n nodes as on one.

    With biases of 0 there is half of the most wherever there is any: counted by pair, n times what it is counted by
    deployment. The quick way down from there is to empty nodes, and each deployment ends on one. So a pair begins with
    1/(2n) of the most, a bias of −log(2n − 1). A network that is shown no nodes begins as on one.
    """
    if not (ordinal(spec) and spec.action_entity == "pair"):
        return net
    bias = net["out.bias"].clone()
    bias.view(-1, outputs(spec))[:, 0] = -log(2 * max(spec.rows_of("node"), 1) - 1)
    return net | {"out.bias": bias}


def log_probs(spec: EnvSpec, out: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of all choices `[..., A, n]` from outputs `[..., A, outputs]` and masks `[..., M]`.

    In memory the choices come first: softmax over so few numbers that lie side by side takes tens of times longer.
    """
    n = choices(spec)
    forbidden = ~mask.reshape(*mask.shape[:-1], len(spec.nvec), n).movedim(-1, 0)
    by_choice = out.movedim(-1, 0)
    if ordinal(spec):
        centre, width, none = by_choice
        mean = n * torch.sigmoid(centre)
        log_scale = log(n / 6) + LOG_SCALE_RANGE * torch.tanh(width / LOG_SCALE_RANGE)
        counts = torch.arange(1, n, dtype=out.dtype, device=out.device).reshape(-1, *[1] * mean.dim())
        some = torch.log_softmax(-0.5 * ((counts - mean) * torch.exp(-log_scale)).square(), 0)
        by_choice = torch.cat([none.unsqueeze(0), some])
    return torch.log_softmax(by_choice.masked_fill(forbidden, FORBIDDEN), 0).movedim(0, -1)


def judged(spec: EnvSpec, out: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of whole actions `[..., A]` and entropies, `[...]`, from what `log_probs` takes."""

    def plain(out: Tensor, mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        found = log_probs(spec, out, mask)
        return log_prob(found, action), entropy(found)

    if ordinal(spec) and counts.possible(out):
        return counts.judged(plain, out, mask, action)
    return plain(out, mask, action)


def chosen(spec: EnvSpec, out: Tensor, mask: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """Actions, int32, by `sample` or without noise by `mode`, and their log-probabilities."""
    followed = torch.is_grad_enabled() and out.requires_grad
    if ordinal(spec) and counts.possible(out) and not followed:
        return counts.chosen(out, mask, noise)
    found = log_probs(spec, out, mask)
    action = mode(spec, found) if noise is None else sample(found, noise)
    return action.to(torch.int32), log_prob(found, action)


def mode(spec: EnvSpec, all_log_probs: Tensor) -> Tensor:
    """The choice without chance `[..., A]`: for replica counts first whether any runs, then the likeliest number."""
    if not ordinal(spec):
        return all_log_probs.argmax(-1)
    some = 1 + all_log_probs[..., 1:].argmax(-1)
    return torch.where(all_log_probs[..., 0] > LOG_HALF, 0, some)


def sample(all_log_probs: Tensor, noise: Tensor) -> Tensor:
    """Indices `[..., A]` by inversion of the distribution function at `noise` `[..., A]`."""
    n = all_log_probs.shape[-1]
    index = (all_log_probs.exp().cumsum(-1) < noise.unsqueeze(-1)).sum(-1)
    # Rounding may leave the sum short of 1: then the last possible choice is meant.
    positions = torch.arange(n, device=index.device)
    last = torch.where(all_log_probs > FORBIDDEN / 2, positions, 0).amax(-1)
    return torch.minimum(index, last)


def epsilon_greedy(values: Tensor, epsilon: float, noise: Tensor | None) -> Tensor:
    """The best choice of every component, or with probability `epsilon` any allowed one: `[..., A]` int32.

    `values` `[..., A, n]` are `FORBIDDEN` where a choice is; `noise` `[..., 2·A]`: first whether to explore, then which
    choice. Without noise nothing is explored.
    """
    action = values.argmax(-1)
    if noise is not None:
        whether, which = noise.chunk(2, -1)
        uniform = torch.log_softmax(torch.where(values > FORBIDDEN / 2, 0.0, FORBIDDEN), -1)
        action = torch.where(whether < epsilon, sample(uniform, which), action)
    return action.to(torch.int32)


def normal(noise: Tensor) -> Tensor:
    """Standard normal numbers `[..., A]` from uniform ones `[..., 2·A]` (Box and Muller 1958)."""
    radius, angle = noise.chunk(2, -1)
    return torch.sqrt(-2 * torch.log1p(-radius)) * torch.cos(2 * pi * angle)


def log_prob(all_log_probs: Tensor, action: Tensor) -> Tensor:
    """Log-probability of whole actions `[..., A]`: `[...]`, the sum over components."""
    return all_log_probs.gather(-1, action.long().unsqueeze(-1)).squeeze(-1).sum(-1)


def entropy(all_log_probs: Tensor) -> Tensor:
    """Entropy summed over components: `[...]`."""
    return -(all_log_probs.exp() * all_log_probs).sum(-1).sum(-1)
