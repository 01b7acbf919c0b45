"""An optimiser that is learnt: a small network that says, for every parameter by itself, where to step and how far.

As pure functions: a network is a parameter tree (`theta`), what it remembers of the gradients is a flat dict of tensors
(`state`), and `update` is differentiable in all of its arguments, so that it is learnt by descending through its own
steps (`lwmecps_core.training.learnt_optimiser`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lwmecps_core import tensor_file
from lwmecps_core.algorithms.base import Algorithm, Batch, Extra, Params
from lwmecps_core.algorithms.networks import init_linear, linear
from lwmecps_core.config import config, dump, parse
from lwmecps_core.run_config import Count
from lwmecps_core.specs import Positive
from lwmecps_core.tree import Tree, flatten, gradients, leaves, tree_map, unflatten, with_leaves

State = dict[str, Tensor]
FORMAT = "lwmecps-optimiser-1"
MEAN_DECAYS = (0.5, 0.9, 0.99)
"""Of running means of the gradient; the second is Adam's β₁."""
SQUARE_DECAYS = (0.9, 0.999)
"""Of running means of its square; the second is Adam's β₂."""
ADAMS = 1
"""Which of either are Adam's."""
SMALLEST = 1e-8
"""Adam's ε."""
TIMES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Steps after which tanh(t / τ) has nearly come to 1."""
OWN = 1 + len(MEAN_DECAYS) + 2
"""Features of a parameter; the others are the time's."""
FEATURES = {"means": list(MEAN_DECAYS), "squares": list(SQUARE_DECAYS), "times": list(TIMES)}
"""What a file says that its network sees."""
WIDEST = 4.0
"""Largest logarithm of how many times as far as Adam a step goes."""


@config
class OptimiserConfig:
    """A network that is an optimiser, and how it is learnt."""

    hidden_size: Annotated[int, Field(ge=1, le=64)] = 16
    """Units of each of the two hidden layers."""
    first_rate: Positive = 0.01
    """The step size of Adam that it starts as."""
    steps: Annotated[int, Field(ge=0)] = 600
    """Steps of Adam on the network's weights; with none it is Adam at `first_rate`."""
    learning_rate: Positive = 0.02
    """Step size of these; it goes down to 0 by a cosine."""
    unroll: Count = 20
    """Steps of the optimiser that each is descended through."""
    horizon: Count = 100
    """Steps after which a problem is replaced by a new one."""
    tasks: Count = 8
    """Problems side by side."""


@dataclass(frozen=True)
class OptimiserData:
    """An optimiser that was learnt."""

    cfg: OptimiserConfig
    theta: Tree


def init(cfg: OptimiserConfig, generator: torch.Generator) -> Tree:
    """Weights of a network whose steps are still Adam's, bit for bit but for rounding: its last layer is 0."""
    layers = init_linear("hidden0", OWN + len(TIMES), cfg.hidden_size, 1.0, generator)
    layers |= init_linear("hidden1", cfg.hidden_size, cfg.hidden_size, 1.0, generator)
    last = {"out.weight": torch.zeros(cfg.hidden_size, 2), "out.bias": torch.zeros(2)}
    return {"net": layers | last, "rate": {"log": torch.tensor([cfg.first_rate]).log()}}


def state(params: Params) -> State:
    """What is remembered before the first step of parameters `[K, ...]`: with P of them in all, `step` `[K]`, `means`
    and `squares` `[decays, K, P]`.
    """
    packed = _packed(params)
    return {
        "step": packed.new_zeros(len(packed)),
        "means": packed.new_zeros(len(MEAN_DECAYS), *packed.shape),
        "squares": packed.new_zeros(len(SQUARE_DECAYS), *packed.shape),
    }


def forgotten(kept: State, where: Tensor) -> State:
    """The state, and that before the first step for the tasks `[K]` that `where` marks."""
    return {
        name: torch.where(where if x.dim() == 1 else where[:, None], torch.zeros_like(x), x) for name, x in kept.items()
    }


def step(
    made: OptimiserData, algo: Algorithm, params: Params, extra: Extra, kept: State, batch: Batch, shares: Tensor
) -> tuple[Params, State]:
    """One step of policies `[K, ...]` on a batch, outside every graph: of the groups that inner steps move, `shares`
    `[K]` times as far as the optimiser says.
    """
    fresh = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
    grads = gradients(algo.losses(fresh, extra, batch), fresh, algo.inner_groups)
    with torch.no_grad():
        moved, after = update(made.theta, grads, kept, {group: params[group] for group in grads}, shares)
    return params | moved, after


def with_rate(made: OptimiserData, rate: float) -> OptimiserData:
    """The same optimiser with another α."""
    return replace(made, theta=made.theta | {"rate": {"log": torch.tensor([rate]).log()}})


def update(
    theta: Tree, grads: Params, state: State, params: Params, shares: Tensor | None = None
) -> tuple[Params, State]:
    """One step of parameters `[K, ...]` against gradients of the same groups and shapes; the state after it.

    For every parameter, with g its gradient, m̂ and v̂ running means of g and g², corrected as in Adam (Kingma and Ba
    2015, arXiv:1412.6980), a = m̂ / (√v̂ + ε) Adam's direction, f the features (`features`), and two outputs of one small
    network that all parameters share, (d, s) = net(f):

        θ′ = θ − α · exp(s) · (a + d),   |s| ≤ 4

    and `shares` `[K]` times that, where given. α is one number that is learnt, too. While the last layer is 0, that is
    Adam with the rate α: learning starts from there, not from nothing.

    Source: Andrychowicz et al. 2016, arXiv:1606.04474 (for each parameter by itself, shared weights, descent through
    unrolled steps); features, and "direction times exp of a magnitude", of Metz et al. 2020, arXiv:2009.11243, and
    2022, arXiv:2203.11860. Running means take the place of the former's recurrent network; that it is added to Adam is
    ours. Left out are the parameter's own value and statistics of its tensor.
    """
    found, moments = features(grads, state)
    rows, times = found
    net = theta["net"]
    weight = net["hidden0.weight"]
    # The time is the same for all parameters of a task: its part of the layer is computed once for them.
    late = (times @ weight[OWN:] + net["hidden0.bias"]).unsqueeze(1)
    hidden = torch.tanh(rows @ weight[:OWN] + late)
    hidden = torch.tanh(linear(net, "hidden1", hidden))
    direction, magnitude = linear(net, "out", hidden).unbind(-1)
    scale = theta["rate"]["log"].exp() * (WIDEST * torch.tanh(magnitude / WIDEST)).exp()
    way = scale * (rows[..., 1 + ADAMS] + direction)
    if shares is not None:
        way = way * shares[:, None]
    return tree_map(torch.sub, params, _unpacked(way, params)), moments


def features(grads: Params, state: State) -> tuple[tuple[Tensor, Tensor], State]:
    """What the network sees, of every parameter `[K, P, OWN]` and of the time `[K, times]`; and the state after g.

    A parameter's: g and each m̂ over √v̂ (of the slow decay); the logarithm of √v̂ beside its root mean square over all
    parameters of the task; and that of √v̂ of the fast decay beside the slow one's. None changes when all gradients are
    multiplied by one number. The time's: tanh(t / τ), t = 0 at the first step.
    """
    g = _packed(grads)
    step = state["step"] + 1.0
    means, unbiased = _averaged(state["means"], g, MEAN_DECAYS, step)
    squares, spread = _averaged(state["squares"], g.square(), SQUARE_DECAYS, step)
    spread = spread + SMALLEST**2  # inside the root, unlike Adam's: a parameter without gradient has a derivative
    root = spread[ADAMS].sqrt()
    size = 0.5 * (spread[ADAMS] / spread[ADAMS].mean(-1, keepdim=True)).log()
    lately = 0.5 * (spread[0] / spread[ADAMS]).log()
    rows = torch.stack([g / root, *(unbiased / root).unbind(0), (size / 4.0).clamp(-2.0, 2.0), lately], -1)
    times = torch.tanh(state["step"].unsqueeze(-1) / torch.tensor(TIMES, dtype=g.dtype))
    return (rows, times), {"step": step, "means": means, "squares": squares}


def _averaged(before: Tensor, new: Tensor, decays: tuple[float, ...], step: Tensor) -> tuple[Tensor, Tensor]:
    """Running means `[decays, K, P]` with `new` `[K, P]` taken in, and the same corrected for their start at 0."""
    decay = torch.tensor(decays, dtype=new.dtype).reshape(-1, 1, 1)
    after = decay * before + (1.0 - decay) * new
    return after, after / (1.0 - decay ** step.reshape(1, -1, 1))


def _packed(tree: Params) -> Tensor:
    """All leaves `[K, ...]` in one row for each task: `[K, P]`."""
    return torch.cat([leaf.flatten(1) for leaf in leaves(tree)], 1)


def _unpacked(rows: Tensor, like: Params) -> Params:
    """Inverse of `_packed`."""
    parts = torch.split(rows, [leaf[0].numel() for leaf in leaves(like)], dim=1)
    return with_leaves(like, [part.view_as(leaf) for part, leaf in zip(parts, leaves(like), strict=True)])


def to_bytes(made: OptimiserData) -> bytes:
    """The optimiser as one file (safetensors), which says what it was learnt on."""
    header = {"cfg": dump(made.cfg), "features": FEATURES, "learnt_on": "sinusoids"}
    return tensor_file.write(flatten(made.theta, "theta"), {"format": FORMAT, "optimiser": json.dumps(header)})


def from_bytes(data: bytes, source: str) -> OptimiserData:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` and what is wrong in it."""

    def fresh(said: Any) -> tuple[OptimiserConfig, Mapping[str, Tensor]]:
        if said["features"] != FEATURES:
            raise ValueError("it sees other features than this version has: learn it anew")
        cfg = parse(OptimiserConfig, said["cfg"], source)
        return cfg, flatten(init(cfg, torch.Generator()), "theta")

    cfg, tensors = tensor_file.read_learnt(data, source, "optimiser", "file of an optimiser", FORMAT, fresh)
    return OptimiserData(cfg, unflatten(tensors, "theta"))
