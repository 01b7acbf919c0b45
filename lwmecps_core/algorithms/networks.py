"""Networks as pure functions of flat parameter dicts, with an optional leading task axis.

Weights are `[..., in, out]`, biases `[..., out]`, inputs `[..., rows, in]`: with a task axis the products are batched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod, sqrt
from typing import Literal

import torch
from torch import Tensor

from lwmecps_core.algorithms import fast, fused
from lwmecps_core.specs import EnvSpec, entity_of

Net = dict[str, Tensor]
FIRST = frozenset({"gru_input", "gru_state", "gru_reads", "interface", "lstm_input", "lstm_state", "row"})
"""Layers that lie lowest, beside `hidden0`."""


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
    return linear(net, "out", _hidden(net, x))


def _hidden(net: Net, x: Tensor) -> Tensor:
    i = 0
    while f"hidden{i}.weight" in net:
        x = fast.tanh(linear(net, f"hidden{i}", x))
        i += 1
    return x


def split_blocks(spec: EnvSpec, obs: Tensor) -> dict[str, Tensor]:
    """The named blocks of observation vectors `[..., O]`: each `[..., *shape]`."""
    sizes = [prod(shape) for _, shape in spec.blocks]
    parts = torch.split(obs, sizes, dim=-1)
    return {name: part.reshape(*obs.shape[:-1], *shape) for (name, shape), part in zip(spec.blocks, parts, strict=True)}


def grid_features(spec: EnvSpec, obs: Tensor, action: Tensor | None = None) -> list[Tensor]:
    """What describes each action component, on a grid of deployments × nodes: `[..., O]` → parts `[..., d, n, F]`.

    d and n are 1 where a part is the same along them. v3 (one row per deployment): deployment, global. v4: pair,
    deployment, node, global. A part is all blocks of its entity side by side. A Box `action` `[..., A]` becomes one
    more feature of the first part, the components' own.
    """
    blocks: dict[str, list[Tensor]] = {}
    for name, block in split_blocks(spec, obs).items():
        blocks.setdefault(entity_of(name), []).append(block)
    found = {entity: torch.cat(some, -1) if len(some) > 1 else some[0] for entity, some in blocks.items()}
    shared = found["global"].unsqueeze(-2).unsqueeze(-2)
    if spec.action_entity == "deployment":
        parts = [found["deployment"].unsqueeze(-2), shared]
    else:
        parts = [found["pair"], found["deployment"].unsqueeze(-2), found["node"].unsqueeze(-3), shared]
    if action is not None:
        own = parts[0]
        parts[0] = torch.cat([own, action.reshape(*own.shape[:-1], 1)], -1)
    return parts


def pools(spec: EnvSpec, h: Tensor) -> list[Tensor]:
    """What a component learns of the others: mean and maximum of `h` `[..., d, n, H]` over all of them, and for v4 also
    the means over those of the same deployment and of the same node (Zaheer et al. 2017, arXiv:1703.06114).
    """
    everything = [fast.mean(h, (-3, -2)), fast.amax(h, (-3, -2))]
    if spec.action_entity == "deployment":
        return everything
    return [*everything, fast.mean(h, (-2,)), fast.mean(h, (-3,))]


def linear_of_parts(net: Net, name: str, parts: Sequence[Tensor]) -> Tensor:
    """A linear layer on the concatenation of parts `[..., B, d, n, F]` that broadcast to one grid, without making it.

    The part that is the same for a whole row or column of the grid is multiplied once for it.
    """
    weight, total = net[f"{name}.weight"], net[f"{name}.bias"][..., None, None, None, :]
    grids: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
    for start, part in zip(accumulate((part.shape[-1] for part in parts), initial=0), parts, strict=False):
        own = weight[..., start : start + part.shape[-1], :]
        grids.setdefault((part.shape[-3], part.shape[-2]), []).append((part, own))
    # The smallest come first, so that only the last sums are as large as the grid.
    for (d, n), some in sorted(grids.items(), key=lambda each: prod(each[0])):
        part, own = some[0] if len(some) == 1 else _one(some)
        b, width = part.shape[-4], part.shape[-1]
        product = fast.product(part.reshape(*part.shape[:-4], b * d * n, width), own)
        total = total + product.reshape(*product.shape[:-2], b, d, n, -1)
    return total


def _one(some: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Parts of one grid side by side, and their weights below one another."""
    parts, weights = zip(*some, strict=True)
    return torch.cat(parts, -1), torch.cat(weights, -2)


def init_set(
    spec: EnvSpec,
    hidden: Sequence[int],
    n_out: int,
    out_gain: float,
    generator: torch.Generator,
    *,
    of_actions: bool = False,
) -> Net:
    """Parameters of `set_rows` (with an action if `of_actions`); their number depends on no number of nodes or
    deployments.
    """
    first, last = hidden[0], hidden[-1]
    action = torch.zeros(1, spec.action_size) if of_actions else None
    features = grid_features(spec, torch.zeros(1, spec.obs_size), action)
    own = sum(part.shape[-1] for part in features)
    views = len(pools(spec, features[0]))
    direct = own + views * features[0].shape[-1]
    return (
        init_linear("row", own, first, sqrt(2), generator)
        | init_linear("mix", first * (1 + views), last, sqrt(2), generator)
        | init_linear("out", last, n_out, out_gain, generator)
        | init_linear("direct", direct, n_out, 0.0, generator)
    )


def set_rows(net: Net, spec: EnvSpec, obs: Tensor, action: Tensor | None = None) -> Tensor:
    """Outputs for each action component, equivariant to their order: `[..., B, O]` → `[..., B, A, n_out]`.

    See `plain_set_rows` for what they are.
    """
    return fused.set_rows(plain_set_rows, net, spec, obs, action)


def plain_set_rows(net: Net, spec: EnvSpec, obs: Tensor, action: Tensor | None = None) -> Tensor:
    """Outputs for each action component, equivariant to their order: `[..., B, O]` → `[..., B, A, n_out]`.

    Beside the layers of encoded rows there is a linear path from the features themselves (Cheng et al. 2016, wide and
    deep, arXiv:1606.07792): rules like a target utilisation are nearly linear in them and are found at once.
    """
    features = grid_features(spec, obs, action)
    direct = linear_of_parts(net, "direct", [*features, *pools(spec, features[0])])
    return (linear_of_parts(net, "out", [_encoded(net, spec, features)]) + direct).flatten(-3, -2)


def _encoded(net: Net, spec: EnvSpec, features: Sequence[Tensor]) -> Tensor:
    """The last hidden layer of every component: `[..., B, d, n, H]`."""
    h = fast.tanh(linear_of_parts(net, "row", features))
    return fast.tanh(linear_of_parts(net, "mix", [h, *pools(spec, h)]))


def set_value(net: Net, spec: EnvSpec, obs: Tensor, action: Tensor | None = None) -> Tensor:
    """One number for each observation (and Box action), the mean of the rows': `[..., B, O]` → `[..., B]`."""
    return set_rows(net, spec, obs, action).squeeze(-1).mean(-1)


def last_hidden(net: Net, spec: EnvSpec, obs: Tensor) -> Tensor:
    """The last hidden layer of a network of either kind (of a set network the mean of the components'), which has the
    same size on clusters of any size: `[..., B, O]` → `[..., B, H]`.
    """
    if "row.weight" in net:
        return _encoded(net, spec, grid_features(spec, obs)).mean((-3, -2))
    return _hidden(net, obs)


def depth(name: str) -> int | None:
    """How many layers lie below the layer that the parameter `name` belongs to; None for an output layer, and for what
    belongs to no layer.
    """
    layer = name.rpartition(".")[0].rpartition(".")[2]
    if layer.startswith("hidden"):
        return int(layer.removeprefix("hidden"))
    return 1 if layer == "mix" else 0 if layer in FIRST else None


@dataclass(frozen=True)
class Architecture:
    """Kind and size of an algorithm's networks: sets of rows where `kind` says so and actions have rows, else MLPs."""

    spec: EnvSpec
    hidden: tuple[int, ...]
    kind: Literal["mlp", "set"]

    @property
    def rows(self) -> bool:
        """Whether networks are sets of rows."""
        return self.kind == "set" and self.spec.action_entity in ("deployment", "pair")

    def init_components(self, n_out: int, out_gain: float, generator: torch.Generator) -> Net:
        """Parameters of `components`."""
        if self.rows:
            return init_set(self.spec, self.hidden, n_out, out_gain, generator)
        return init_mlp(self.spec.obs_size, self.hidden, self.spec.action_size * n_out, out_gain, generator)

    def init_policy(self, n_out: int, generator: torch.Generator) -> Net:
        """Parameters of `components` whose last layer is small: the first policy is nearly the same everywhere."""
        return self.init_components(n_out, 0.1 if self.rows else 0.01, generator)

    def components(self, net: Net, obs: Tensor) -> Tensor:
        """Outputs for each action component: `[..., B, O]` → `[..., B, A, n_out]`."""
        if self.rows:
            return set_rows(net, self.spec, obs)
        out = mlp(net, obs)
        return out.reshape(*out.shape[:-1], self.spec.action_size, -1)

    def init_value(self, generator: torch.Generator, *, of_actions: bool = False) -> Net:
        """Parameters of `value`, of observations alone or with Box actions."""
        if self.rows:
            return init_set(self.spec, self.hidden, 1, 1.0, generator, of_actions=of_actions)
        return init_mlp(self.spec.obs_size + self.spec.action_size * of_actions, self.hidden, 1, 1.0, generator)

    def value(self, net: Net, obs: Tensor, action: Tensor | None = None) -> Tensor:
        """One number for each observation (and Box action): `[..., B, O]`, `[..., B, A]` → `[..., B]`."""
        if self.rows:
            return set_value(net, self.spec, obs, action)
        return mlp(net, obs if action is None else torch.cat([obs, action], -1)).squeeze(-1)


def moved(net: Net, online: Net, share: float | Tensor) -> Net:
    """A target network `share` of the way (a number, or one per task `[...]`) towards the online network."""
    shares = torch.as_tensor(share)

    def part(leaf: Tensor) -> Tensor:
        return shares.reshape(*shares.shape, *[1] * (leaf.dim() - shares.dim())).to(leaf)

    return {name: torch.lerp(leaf, online[name].detach(), part(leaf)) for name, leaf in net.items()}


def twins(first: Net, second: Net) -> Net:
    """Two networks of one shape as one, with an axis of size 2 after the task axis.

    With inputs `[..., 1, rows, in]` one product serves both: `[..., 2, rows, out]`.
    """
    return {name: torch.stack([leaf, second[name]]) for name, leaf in first.items()}


def first_twin(net: Net) -> Net:
    """The first of `twins`."""
    return {name: leaf.select(-3 if name.endswith(".weight") else -2, 0) for name, leaf in net.items()}
