"""What an agent says of each action component: a policy, a prediction, and of each choice what would follow.

Layers are those of the published agent (Oh et al. 2025, extended data), with tangents in place of rectified units: an
embedding of the component, a policy and a prediction on it, and a step of long short-term memory for each choice, on
whose output lie a prediction, a value and the next policy.
"""

from math import sqrt

import torch
from torch import Tensor

from lwmecps_core.algorithms.disco.value import BINS
from lwmecps_core.algorithms.networks import Net, init_linear, linear

EMBEDDING = 128
"""Numbers that the networks say of each component."""
SMALL = 0.01
"""Gain of the first policies and of `y`, nearly the same everywhere; what is said of choices is not, as published."""
OF_CHOICES = ("z", "q", "following")


def init(choices: int, predictions: int, model: int, generator: torch.Generator) -> Net:
    """Parameters for components of so many choices, `model` units in the step that is made for each."""
    net = init_linear("logits", EMBEDDING, choices, SMALL, generator)
    net |= init_linear("y", EMBEDDING, predictions, SMALL, generator)
    net |= init_linear("root", EMBEDDING, model, 1.0, generator)
    net |= init_linear("step", choices + model, 4 * model, 1.0, generator)
    sizes = {"z": predictions, "q": BINS, "following": choices}
    for name in OF_CHOICES:
        net |= init_linear(f"{name}_in", model, model, sqrt(2), generator)
        net |= init_linear(f"{name}_out", model, sizes[name], 1.0, generator)
    return net


def of_all(net: Net, h: Tensor) -> dict[str, Tensor]:
    """What follows each choice, from embeddings `[..., rows, E]`: name → `[..., rows, choices, size]`."""
    base, cell, by_choice = _roots(net, h)
    rows, choices = h.shape[-2], by_choice.shape[-2]
    gates = base.unsqueeze(-2) + by_choice.unsqueeze(-3)
    after = _stepped(gates, cell.unsqueeze(-2)).flatten(-3, -2)
    found = {name: linear(net, f"{name}_out", torch.tanh(linear(net, f"{name}_in", after))) for name in ("z", "q")}
    return {name: x.reshape(*h.shape[:-2], rows, choices, x.shape[-1]) for name, x in found.items()}


def of_taken(net: Net, h: Tensor, action: Tensor) -> dict[str, Tensor]:
    """What follows the choices `[..., rows]` that were taken: name → `[..., rows, size]`."""
    base, cell, by_choice = _roots(net, h)
    index = action.unsqueeze(-1).expand(*action.shape, by_choice.shape[-1])
    after = _stepped(base + by_choice.gather(-2, index), cell)
    return {name: linear(net, f"{name}_out", torch.tanh(linear(net, f"{name}_in", after))) for name in OF_CHOICES}


def _roots(net: Net, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gates before a choice is known `[..., rows, 4·model]`, the cell, what each choice adds `[..., n, 4·model]`."""
    cell = linear(net, "root", h)
    model = cell.shape[-1]
    weight = net["step.weight"]
    choices = weight.shape[-2] - model
    base = torch.tanh(cell) @ weight[..., choices:, :] + net["step.bias"].unsqueeze(-2)
    return base, cell, weight[..., :choices, :]


def _stepped(gates: Tensor, cell: Tensor) -> Tensor:
    take, new, forget, show = gates.chunk(4, -1)
    return show.sigmoid() * torch.tanh((forget + 1).sigmoid() * cell + take.sigmoid() * torch.tanh(new))
