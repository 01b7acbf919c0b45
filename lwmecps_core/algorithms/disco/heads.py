"""What an agent says of each action component: a policy, a prediction, and of each choice what would follow.

Layers and their first weights are those of the published agent (Oh et al. 2025, extended data): an embedding of the
component, a policy and a prediction on it, and a step of long short-term memory for each choice, on whose output lie a
prediction, a value and the next policy.
"""

import torch
from torch import Tensor

from lwmecps_core.algorithms.networks import Architecture, Net, linear

EMBEDDING = 128
"""Numbers that set networks say of each component; plain ones say as many as their last layer has."""
SMALL = 0.01
"""Of the first weights of policies and of `y`, nearly the same everywhere; what is said of choices is not."""
OF_CHOICES = ("z", "q", "following")


def init(nets: Architecture, choices: int, predictions: int, model: int, bins: int, generator: torch.Generator) -> Net:
    """Parameters for components of so many choices; `model` units of the step made for each, `bins` of its value."""
    net, embedding = _init_trunk(nets, generator)
    net |= _init_layer("logits", embedding, choices, generator, SMALL)
    net |= _init_layer("y", embedding, predictions, generator, SMALL)
    net |= _init_layer("root", embedding, model, generator)
    net |= _init_layer("step", choices + model, 4 * model, generator)
    sizes = {"z": predictions, "q": bins, "following": choices}
    for name in OF_CHOICES:
        net |= _init_layer(f"{name}_in", model, model, generator)
        net |= _init_layer(f"{name}_out", model, sizes[name], generator)
    return net


def embedded(nets: Architecture, net: Net, obs: Tensor) -> Tensor:
    """What is known of each component: `[..., rows, O]` → `[..., rows, A, E]`.

    Plain networks are rectified units between linear layers, the last of which is the embedding.
    """
    if nets.rows:
        return nets.components(net, obs)
    x = obs
    for i in range(len(nets.hidden) - 1):
        x = linear(net, f"hidden{i}", x).relu()
    return torch.unflatten(linear(net, "out", x), -1, (nets.spec.action_size, -1))


def of_all(net: Net, h: Tensor) -> dict[str, Tensor]:
    """What follows each choice, from embeddings `[..., rows, E]`: name → `[..., rows, choices, size]`."""
    base, cell, by_choice = _roots(net, h)
    rows, choices = h.shape[-2], by_choice.shape[-2]
    gates = base.unsqueeze(-2) + by_choice.unsqueeze(-3)
    after = _stepped(gates, cell.unsqueeze(-2)).flatten(-3, -2)
    found = {name: _said(net, name, after) for name in ("z", "q")}
    return {name: x.reshape(*h.shape[:-2], rows, choices, x.shape[-1]) for name, x in found.items()}


def of_taken(net: Net, h: Tensor, action: Tensor) -> dict[str, Tensor]:
    """What follows the choices `[..., rows]` that were taken: name → `[..., rows, size]`."""
    base, cell, by_choice = _roots(net, h)
    index = action.unsqueeze(-1).expand(*action.shape, by_choice.shape[-1])
    after = _stepped(base + by_choice.gather(-2, index), cell)
    return {name: _said(net, name, after) for name in OF_CHOICES}


def _init_trunk(nets: Architecture, generator: torch.Generator) -> tuple[Net, int]:
    """Parameters of `embedded`, and how many numbers it says of each component."""
    if nets.rows:
        return nets.init_components(EMBEDDING, 1.0, generator), EMBEDDING
    net: Net = {}
    width, size = nets.spec.obs_size, nets.hidden[-1]
    for i, units in enumerate(nets.hidden[:-1]):
        net |= _init_layer(f"hidden{i}", width, units, generator)
        width = units
    return net | _init_layer("out", width, nets.spec.action_size * size, generator), size


def _init_layer(name: str, n_in: int, n_out: int, generator: torch.Generator, scale: float | None = None) -> Net:
    """A layer without bias at first; weights are normal, cut at two deviations of `scale`, or of 1/√inputs."""
    deviation = n_in**-0.5 if scale is None else scale
    weight = torch.empty(n_in, n_out)
    torch.nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(n_out)}


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


def _said(net: Net, name: str, after: Tensor) -> Tensor:
    return linear(net, f"{name}_out", linear(net, f"{name}_in", after).relu())
