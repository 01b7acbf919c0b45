"""Set networks through compiled loops, as one operation that PyTorch can differentiate.

Gradients that are gone through again, and programs that are traced, take the operations of `networks` instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from lwmecps_core.algorithms import set_loops
from lwmecps_core.specs import EnvSpec, entity_of

Net = dict[str, Tensor]
Floats = NDArray[np.floating]
Rows = Callable[[Net, EnvSpec, Tensor, Tensor | None], Tensor]
"""The same by PyTorch's operations: parameters, environment, observations, Box actions or None → outputs."""
NAMES = tuple(f"{layer}.{leaf}" for layer in ("row", "mix", "out", "direct") for leaf in ("weight", "bias"))


@dataclass(frozen=True)
class GridPlan:
    """Where in vectors of an observation, and maybe an action, a set network finds what its rows see.

    A cell is a row of the grid of action components, row-major. `at`: positions of all parts' rows, one part after the
    other. `parts` `[P, 4]`: of each its start in `at`, rows, features, and first row of the first layer's weights.
    `row_of` `[P, G]`: which row of the part each cell sees. `view_rows` `[V]`, `view_of` `[V, G]`: the same of what
    cells see of one another: mean and maximum of all of them, for v4 also the means by deployment and by node.
    """

    at: NDArray[np.int64]
    parts: NDArray[np.int64]
    row_of: NDArray[np.int64]
    view_rows: NDArray[np.int64]
    view_of: NDArray[np.int64]

    @property
    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """As the loops take them."""
        return self.at, self.parts, self.row_of, self.view_rows, self.view_of


@cache
def layout(spec: EnvSpec, of_actions: bool) -> GridPlan:
    """That of an environment's networks, with its Box actions behind the observation if `of_actions`."""
    d, n = spec.rows_of("deployment"), (spec.rows_of("node") if spec.action_entity == "pair" else 1)
    cell = np.arange(d * n)
    row_in = {"pair": cell, "deployment": cell // n, "node": cell % n, "global": 0 * cell}
    found: dict[str, list[NDArray[np.int64]]] = {}
    for (name, shape), end in zip(spec.blocks, accumulate(int(np.prod(s)) for _, s in spec.blocks), strict=True):
        size = int(np.prod(shape))
        found.setdefault(entity_of(name), []).append(np.arange(end - size, end).reshape(-1, shape[-1]))
    entities = [e for e in ("pair", "deployment", "node", "global") if e != "pair" or spec.action_entity == "pair"]
    if spec.action_entity == "deployment":
        entities.remove("node")
    positions = [np.concatenate(found[entity], 1) for entity in entities]
    if of_actions:
        positions[0] = np.concatenate([positions[0], spec.obs_size + cell[:, None]], 1)
    starts = accumulate((p.size for p in positions), initial=0)
    above = accumulate((p.shape[1] for p in positions), initial=0)
    parts = [(start, *p.shape, row) for p, start, row in zip(positions, starts, above, strict=False)]
    views = [row_in["global"]]
    if spec.action_entity == "pair":
        views += [row_in["deployment"], row_in["node"]]
    return GridPlan(
        at=np.concatenate([p.reshape(-1) for p in positions]),
        parts=np.array(parts),
        row_of=np.stack([row_in[entity] for entity in entities]),
        view_rows=np.array([view.max() + 1 for view in views]),
        view_of=np.stack(views),
    )


def set_rows(plain: Rows, net: Mapping[str, Tensor], spec: EnvSpec, obs: Tensor, action: Tensor | None) -> Tensor:
    """What `plain` says, which is called where loops can't be: `[..., B, O]`, `[..., B, A]` → `[..., B, A, n_out]`."""
    own = {name: net[name] for name in NAMES}
    if get_proxy_mode() is not None or obs.device.type != "cpu":
        return plain(own, spec, obs, action)
    x = obs if action is None else torch.cat([obs.expand(*action.shape[:-1], -1), action], -1)
    lead = torch.Size(np.broadcast_shapes(x.shape[:-2], own["row.bias"].shape[:-1]))
    x = _flat(x, lead, 2)
    leaves = [_flat(leaf, lead, 2 if name.endswith("weight") else 1) for name, leaf in own.items()]
    if torch.is_grad_enabled():
        rows = _Rows.apply(x, *leaves, plain, spec, action is not None)  # type: ignore[no-untyped-call]
    else:
        rows = torch.from_numpy(_Passage(x, leaves, layout(spec, action is not None)).rows())
    found: Tensor = rows if len(lead) == 1 else rows.reshape(*lead, *rows.shape[1:])
    return found


def _flat(x: Tensor, lead: torch.Size, own: int) -> Tensor:
    """`[K, …]` with the `own` last axes as they are."""
    shape = x.shape[-own:]
    if len(lead) == 1 and x.shape[:-own] == lead:  # a training's case: no views that autograd would go through again
        return x
    return x.expand(*lead, *shape).reshape(-1, *shape)


class _Passage:
    """One way forwards through a network, and maybe one back: what both need, as contiguous arrays."""

    def __init__(self, x: Tensor, leaves: Sequence[Tensor], where: GridPlan) -> None:
        row, row_bias, mix, mix_bias, out, out_bias, direct, direct_bias = (leaf.detach().numpy() for leaf in leaves)
        own, self._first = row.shape[1:]
        self._x, self._layout = np.ascontiguousarray(x.detach().numpy()), where.arrays
        # Whatever sees the features themselves is one product.
        wide, wide_bias = _side_by_side(row, direct[:, :own]), _side_by_side(row_bias, out_bias + direct_bias)
        rest = (direct[:, own:], mix.reshape(len(mix), -1, self._first, mix.shape[2]), mix_bias, out)
        self._weights = (wide, wide_bias, *(np.ascontiguousarray(leaf) for leaf in rest))
        self._shape = (*self._x.shape[:2], where.row_of.shape[1], out.shape[2])
        cells = self._shape[1] * self._shape[2]
        self._hidden = tuple(np.empty((len(row), cells * size), row.dtype) for size in (self._first, mix.shape[2]))

    def rows(self) -> Floats:
        """The outputs `[K, S, G, n_out]`."""
        found = np.empty(self._shape, self._x.dtype)
        set_loops.forwards()(self._x, self._layout, self._weights, self._hidden, found)
        return found

    def gradients(self, of_rows: Tensor, of_x_too: bool) -> list[Tensor | None]:
        """Those of `x`, or None, and of all leaves, from that of the outputs."""
        of_weights = tuple(np.zeros_like(leaf) for leaf in self._weights)
        of_x = np.zeros_like(self._x) if of_x_too else np.empty((0, 0, 0), self._x.dtype)
        given = (self._x, self._layout, self._weights, self._hidden, np.ascontiguousarray(of_rows.numpy()))
        set_loops.backwards()(*given, of_weights, of_x)
        wide, bias, direct, mix, mix_bias, out = (torch.from_numpy(leaf) for leaf in of_weights)
        row, row_direct = wide[..., : self._first], wide[..., self._first :]
        last = bias[..., self._first :]
        leaves = [
            row,
            bias[..., : self._first],
            mix.flatten(1, 2),
            mix_bias,
            out,
            last,
            torch.cat([row_direct, direct], 1),
            last,
        ]
        return [torch.from_numpy(of_x) if of_x_too else None, *leaves]


def _side_by_side(left: Floats, right: Floats) -> Floats:
    return np.ascontiguousarray(np.concatenate([left, right], -1))


class _Rows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Any) -> Tensor:
        *leaves, plain, spec, of_actions = given
        ctx.again = plain, spec, of_actions
        ctx.passage = _Passage(x, leaves, layout(spec, of_actions))
        ctx.save_for_backward(x, *leaves)
        return torch.from_numpy(ctx.passage.rows())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *leaves = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _differentiable(x, leaves, gradient, ctx.needs_input_grad, *ctx.again)
        else:
            found = ctx.passage.gradients(gradient, ctx.needs_input_grad[0])
        return (*found, None, None, None)


def _differentiable(
    x: Tensor,
    leaves: Sequence[Tensor],
    gradient: Tensor,
    asked: Sequence[bool],
    plain: Rows,
    spec: EnvSpec,
    of_actions: bool,
) -> list[Tensor | None]:
    """The same gradients as a graph of their own."""
    obs, action = (x[..., : spec.obs_size], x[..., spec.obs_size :]) if of_actions else (x, None)
    rows = plain(dict(zip(NAMES, leaves, strict=True)), spec, obs, action)
    inputs = [leaf for leaf, wanted in zip((x, *leaves), asked, strict=False) if wanted]
    grads = iter(torch.autograd.grad(rows, inputs, gradient.reshape(rows.shape), create_graph=True))
    return [next(grads) if wanted else None for wanted in asked[: 1 + len(leaves)]]
