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


def entity_rows(spec: EnvSpec, obs: Tensor) -> Tensor:
    """One feature row for each action component: `[..., O]` → `[..., A, F]`.

    A row holds the component's own features and those of what it belongs to: v3 deployment + global; v4 pair +
    deployment + node + global. Without such entities the whole observation is the one row.
    """
    if spec.action_entity not in ("deployment", "pair"):
        return obs.unsqueeze(-2)
    blocks = split_blocks(spec, obs)
    lead = obs.shape[:-1]
    if spec.action_entity == "deployment":
        parts = [blocks["deployment"]]
    else:
        pair = blocks["pair"]
        d, n = pair.shape[-3], pair.shape[-2]
        dep, node = blocks["deployment"], blocks["node"]
        parts = [
            pair.reshape(*lead, d * n, -1),
            dep.unsqueeze(-2).expand(*lead, d, n, dep.shape[-1]).reshape(*lead, d * n, -1),
            node.unsqueeze(-3).expand(*lead, d, n, node.shape[-1]).reshape(*lead, d * n, -1),
        ]
    rows = parts[0].shape[-2]
    glob = blocks["global"].unsqueeze(-2)
    parts.append(glob.expand(*lead, rows, glob.shape[-1]))
    return torch.cat(parts, dim=-1)


def row_features(spec: EnvSpec) -> int:
    """Width F of `entity_rows`."""
    return int(entity_rows(spec, torch.zeros(1, spec.obs_size)).shape[-1])


def pooled(spec: EnvSpec, h: Tensor) -> Tensor:
    """What each row learns of the others: means `[..., A, H]` → `[..., A, H']` over all rows, and for v4 also over the
    rows of the same deployment and of the same node (Zaheer et al. 2017, arXiv:1703.06114).
    """
    everything = h.mean(-2, keepdim=True).expand_as(h)
    if spec.action_entity != "pair":
        return everything
    d, n = dict(spec.blocks)["pair"][:2]
    grid = h.reshape(*h.shape[:-2], d, n, h.shape[-1])
    same_d = grid.mean(-2, keepdim=True).expand_as(grid).reshape(h.shape)
    same_n = grid.mean(-3, keepdim=True).expand_as(grid).reshape(h.shape)
    return torch.cat([everything, same_d, same_n], dim=-1)


def init_set(spec: EnvSpec, hidden: Sequence[int], n_out: int, out_gain: float, generator: torch.Generator) -> Net:
    """Parameters of `set_encoder` and its output layer; their number depends on no number of nodes or deployments."""
    first, last = hidden[0], hidden[-1]
    pools = 3 if spec.action_entity == "pair" else 1
    return (
        init_linear("row", row_features(spec), first, sqrt(2), generator)
        | init_linear("mix", first * (1 + pools), last, sqrt(2), generator)
        | init_linear("out", last, n_out, out_gain, generator)
    )


def set_encoder(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """Permutation-equivariant features, one row for each action component: `[..., B, O]` → `[..., B, A, H]`."""
    rows = entity_rows(spec, obs)
    *lead, b, a, f = rows.shape
    h = torch.tanh(linear(net, "row", rows.reshape(*lead, b * a, f))).reshape(*lead, b, a, -1)
    mixed = torch.cat([h, pooled(spec, h)], dim=-1)
    return torch.tanh(linear(net, "mix", mixed.reshape(*lead, b * a, -1))).reshape(*lead, b, a, -1)


def set_rows(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """Outputs for each action component: `[..., B, O]` → `[..., B, A, n_out]`."""
    h = set_encoder(net, spec, obs)
    *lead, b, a, width = h.shape
    return linear(net, "out", h.reshape(*lead, b * a, width)).reshape(*lead, b, a, -1)


def set_value(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """One number for each observation from the mean row: `[..., B, O]` → `[..., B]`."""
    return linear(net, "out", set_encoder(net, spec, obs).mean(-2)).squeeze(-1)
