"""Networks as pure functions of flat parameter dicts, with an optional leading task axis.

Weights are `[..., in, out]`, biases `[..., out]`, inputs `[..., rows, in]`: with a task axis the products are batched.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod, sqrt

import torch
from torch import Tensor

from lwmecps_core.specs import EnvSpec

Net = dict[str, Tensor]


def init_linear(name: str, n_in: int, n_out: int, gain: float, generator: torch.Generator) -> Net:
    """A linear layer with orthogonal weights and zero bias (Saxe et al. 2014, arXiv:1312.6120)."""
    weight = torch.empty(n_in, n_out)
    torch.nn.init.orthogonal_(weight, gain, generator=generator)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(n_out)}


def linear(net: Net, name: str, x: Tensor) -> Tensor:
    """`x` `[..., rows, in]` → `[..., rows, out]`."""
    return x @ net[f"{name}.weight"] + net[f"{name}.bias"].unsqueeze(-2)


def init_mlp(n_in: int, hidden: Sequence[int], n_out: int, out_gain: float, generator: torch.Generator) -> Net:
    """Parameters of `mlp`."""
    net: Net = {}
    sizes = [n_in, *hidden]
    for i, (a, b) in enumerate(pairwise(sizes)):
        net |= init_linear(f"hidden{i}", a, b, sqrt(2), generator)
    return net | init_linear("out", sizes[-1], n_out, out_gain, generator)


def mlp(net: Net, x: Tensor) -> Tensor:
    """Tanh multi-layer perceptron over the last axis: `[..., rows, in]` → `[..., rows, out]`."""
    i = 0
    while f"hidden{i}.weight" in net:
        x = torch.tanh(linear(net, f"hidden{i}", x))
        i += 1
    return linear(net, "out", x)


def split_blocks(spec: EnvSpec, obs: Tensor) -> dict[str, Tensor]:
    """The named blocks of observation vectors `[..., O]`: each `[..., *shape]`."""
    sizes = [prod(shape) for _, shape in spec.blocks]
    parts = torch.split(obs, sizes, dim=-1)
    return {
        name: part.reshape(*obs.shape[:-1], *shape)
        for (name, shape), part in zip(spec.blocks, parts, strict=True)
    }  # fmt: skip


def grid_features(spec: EnvSpec, obs: Tensor) -> list[Tensor]:
    """What describes each action component, on a grid of deployments × nodes: `[..., O]` → parts `[..., d, n, F]`.

    d and n are 1 where a part is the same along them. v3 (one row per deployment): deployment, global. v4: pair,
    deployment, node, global.
    """
    blocks = split_blocks(spec, obs)
    shared = blocks["global"].unsqueeze(-2).unsqueeze(-2)
    if spec.action_entity == "deployment":
        return [blocks["deployment"].unsqueeze(-2), shared]
    return [blocks["pair"], blocks["deployment"].unsqueeze(-2), blocks["node"].unsqueeze(-3), shared]


def pools(spec: EnvSpec, h: Tensor) -> list[Tensor]:
    """What a component learns of the others: mean and maximum of `h` `[..., d, n, H]` over all of them, and for v4 also
    the means over those of the same deployment and of the same node (Zaheer et al. 2017, arXiv:1703.06114).
    """
    everything = [h.mean((-3, -2), keepdim=True), h.amax((-3, -2), keepdim=True)]
    if spec.action_entity == "deployment":
        return everything
    return [*everything, h.mean(-2, keepdim=True), h.mean(-3, keepdim=True)]


def linear_of_parts(net: Net, name: str, parts: Sequence[Tensor]) -> Tensor:
    """A linear layer on the concatenation of parts `[..., B, d, n, F]` that broadcast to one grid, without making it.

    The part that is the same for a whole row or column of the grid is multiplied once for it.
    """
    weight, total = net[f"{name}.weight"], net[f"{name}.bias"][..., None, None, None, :]
    start = 0
    for part in parts:
        *lead, b, d, n, width = part.shape
        product = part.reshape(*lead, b * d * n, width) @ weight[..., start : start + width, :]
        total = total + product.reshape(*lead, b, d, n, -1)
        start += width
    return total


def init_set(spec: EnvSpec, hidden: Sequence[int], n_out: int, out_gain: float, generator: torch.Generator) -> Net:
    """Parameters of `set_rows`; their number depends on no number of nodes or deployments."""
    first, last = hidden[0], hidden[-1]
    features = grid_features(spec, torch.zeros(1, spec.obs_size))
    own = sum(part.shape[-1] for part in features)
    views = len(pools(spec, features[0]))
    direct = own + views * features[0].shape[-1]
    return (
        init_linear("row", own, first, sqrt(2), generator)
        | init_linear("mix", first * (1 + views), last, sqrt(2), generator)
        | init_linear("out", last, n_out, out_gain, generator)
        | init_linear("direct", direct, n_out, 0.0, generator)
    )


def set_rows(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """Outputs for each action component, equivariant to their order: `[..., B, O]` → `[..., B, A, n_out]`.

    Beside the layers of encoded rows there is a linear path from the features themselves (Cheng et al. 2016, wide and
    deep, arXiv:1606.07792): rules like a target utilisation are nearly linear in them and are found at once.
    """
    features = grid_features(spec, obs)
    h = torch.tanh(linear_of_parts(net, "row", features))
    h = torch.tanh(linear_of_parts(net, "mix", [h, *pools(spec, h)]))
    direct = linear_of_parts(net, "direct", [*features, *pools(spec, features[0])])
    return (linear_of_parts(net, "out", [h]) + direct).flatten(-3, -2)


def set_value(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """One number for each observation, the mean of the rows': `[..., B, O]` → `[..., B]`."""
    return set_rows(net, spec, obs).mean(-2).squeeze(-1)
