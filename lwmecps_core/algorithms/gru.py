"""A gated recurrent unit over whole sequences as two compiled loops, forwards and backwards in time.

In PyTorch each interval is some ten operations on matrices of a few hundred numbers, and as many more backwards: nearly
all of the time passes between them.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from lwmecps_core.algorithms.loops import add, add_halves, compiled, copy, sources_digest, tanh
from lwmecps_core.compiling import KeptLoop, kept


def unrolled(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The state after each of T intervals: `[..., B, T, R, 3·H]`, `[..., H, 3·H]`, `[..., B, R, H]` → `[..., B, T, R,
    H]`.

    `inputs` are the parts of the three gates (keep, reset, new) that come from outside. Gradients may be gone through
    again: then they are those of `step`, interval by interval.
    """
    lead, (b, t, r, gates) = inputs.shape[:-4], inputs.shape[-4:]
    h = gates // 3
    flat = (
        inputs.reshape(-1, b, t, r, gates),
        weight.expand(*lead, h, gates).reshape(-1, h, gates),
        state.expand(*lead, b, r, h).reshape(-1, b, r, h),
    )
    if get_proxy_mode() is not None:  # a traced program is to hold operations, and not this call's results
        return _stepped(*flat).reshape(*lead, b, t, r, h)
    found: Tensor = _Unrolled.apply(*flat)  # type: ignore[no-untyped-call]
    return found.reshape(*lead, b, t, r, h)


def step(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The state after one interval: `[..., R, 3·H]`, `[..., H, 3·H]`, `[..., R, H]` → `[..., R, H]`."""
    keep_in, reset_in, new_in = inputs.chunk(3, -1)
    keep, reset, new = (state @ weight).chunk(3, -1)
    proposed = torch.tanh(new_in + torch.sigmoid(reset_in + reset) * new)
    return torch.lerp(proposed, state, torch.sigmoid(keep_in + keep))


def _stepped(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The states by PyTorch's operations, interval by interval."""
    now, found = state.flatten(1, 2), list[Tensor]()
    for each in inputs.unbind(2):
        now = step(each.flatten(1, 2), weight, now)
        found.append(now.reshape(state.shape))
    return torch.stack(found, 2)


class _Unrolled(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        arrays = [np.ascontiguousarray(x.detach().numpy()) for x in (inputs, weight, state)]
        k, b, t, r, gates = inputs.shape
        states = np.empty((k, b, t, r, gates // 3), arrays[0].dtype)
        row = b * r * gates // 3
        ctx.kept = [np.empty((k, t, size), arrays[0].dtype) for size in (2 * row, row, row)]
        _forwards()(*arrays, states, *ctx.kept)
        found = torch.from_numpy(states)
        ctx.save_for_backward(inputs, weight, state, found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, state, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(inputs, weight, state, gradient, ctx.needs_input_grad)
        before = torch.cat([state.unsqueeze(2), states[:, :, :-1]], 2)
        arrays = [np.ascontiguousarray(x.detach().numpy()) for x in (weight, before, gradient)]
        of_inputs, of_product = (np.empty(inputs.shape, arrays[0].dtype) for _ in range(2))
        of_state = np.empty(state.shape, arrays[0].dtype)
        _backwards()(*arrays, *ctx.kept, of_inputs, of_product, of_state)
        product = torch.from_numpy(of_product).flatten(1, 3)
        return torch.from_numpy(of_inputs), before.flatten(1, 3).mT @ product, torch.from_numpy(of_state)


def _differentiable(
    inputs: Tensor, weight: Tensor, state: Tensor, gradient: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """The same gradients as a graph of their own."""
    of = [x for x, asked in zip((inputs, weight, state), wanted, strict=True) if asked]
    grads = iter(torch.autograd.grad(_stepped(inputs, weight, state), of, gradient, create_graph=True))
    return tuple(next(grads) if asked else None for asked in wanted)


@cache
def _forwards() -> KeptLoop:
    """`loop(inputs, weight, state, states, gates, proposals, news)`, in place. What is kept of every interval, `[K, T,
    B·R·…]`: the tangents that make the two gates, what is proposed, and the product that reset scales.
    """
    digest = sources_digest(__file__)

    def loop(inputs: Any, weight: Any, state: Any, states: Any, gates: Any, proposals: Any, news: Any) -> int:
        sets, wide, intervals, units, width = inputs.shape
        h, rows = width // 3, wide * units
        product, now = np.empty((rows, width), inputs.dtype), np.empty((rows, h), inputs.dtype)
        asked = np.empty(rows * 2 * h, inputs.dtype)
        for k in range(sets):
            for r in range(rows):
                copy(state[k, r // units, r % units], now[r])
            for t in range(intervals):
                np.dot(now, weight[k], product)
                _pass_on(inputs[k], t, product, now, asked, gates[k, t], proposals[k, t], news[k, t], states[k])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@compiled
def _pass_on(
    inputs: Any, t: int, product: Any, now: Any, asked: Any, gates: Any, proposals: Any, news: Any, states: Any
) -> None:
    """One interval of all rows; tangents are of long vectors, whose ends don't count."""
    units, h, rows = inputs.shape[2], now.shape[1], len(now)
    size, half = rows * h, now.dtype.type(0.5)
    for r in range(rows):
        x, y = inputs[r // units, t, r % units], product[r]
        add_halves(x[:h], y[:h], asked[h * r : h * (r + 1)])
        add_halves(x[h : 2 * h], y[h : 2 * h], asked[size + h * r : size + h * (r + 1)])
        copy(y[2 * h :], news[h * r : h * (r + 1)])
    tanh(asked, gates)  # into another array, or the loop is not one of vectors
    resets = gates[size:]
    for r in range(rows):
        x, new = inputs[r // units, t, r % units, 2 * h :], news[h * r : h * (r + 1)]
        reset, to = resets[h * r : h * (r + 1)], asked[h * r : h * (r + 1)]
        for j in range(h):
            to[j] = x[j] + (half + half * reset[j]) * new[j]
    tanh(asked[:size], proposals)
    for r in range(rows):
        keep, proposed = gates[h * r : h * (r + 1)], proposals[h * r : h * (r + 1)]
        before = now[r]
        for j in range(h):
            before[j] = proposed[j] + (half + half * keep[j]) * (before[j] - proposed[j])
        copy(before, states[r // units, t, r % units])


@cache
def _backwards() -> KeptLoop:
    """`loop(weight, before, gradient, gates, proposals, news, of_inputs, of_product, of_state)`, in place."""
    digest = sources_digest(__file__)

    def loop(
        weight: Any,
        before: Any,
        gradient: Any,
        gates: Any,
        proposals: Any,
        news: Any,
        of_inputs: Any,
        of_product: Any,
        of_state: Any,
    ) -> int:
        sets, wide, intervals, units, h = before.shape
        rows = wide * units
        through, of_now = np.empty((rows, h), before.dtype), np.empty((rows, h), before.dtype)
        of_gates, room = np.empty((rows, 3 * h), before.dtype), np.empty((6, rows * h), before.dtype)
        back = np.empty((3 * h, h), before.dtype)
        for k in range(sets):
            back[:], of_now[:] = weight[k].T, 0
            for i in range(intervals):
                t = intervals - 1 - i
                was = (before[k], gradient[k], gates[k, t], proposals[k, t], news[k, t])
                _pull_back(was, t, room, of_now, of_gates, of_inputs[k], of_product[k])
                np.dot(of_gates, back, through)
                for r in range(rows):
                    add(through[r], of_now[r])
            for r in range(rows):
                copy(of_now[r], of_state[k, r // units, r % units])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@compiled
def _pull_back(was: Any, t: int, room: Any, of_now: Any, of_gates: Any, of_inputs: Any, of_product: Any) -> None:
    """Gradients of one interval of all rows: before the gates, and what of the state's does not go through them."""
    before, gradient, gates, proposals, news = was
    units, h, rows = before.shape[2], before.shape[3], len(of_now)
    keeps, resets = gates[: rows * h], gates[rows * h :]
    g, earlier, of_keep, of_reset, of_new, of_proposal = room[0], room[1], room[2], room[3], room[4], room[5]
    for r in range(rows):
        start = h * r
        copy(before[r // units, t, r % units], earlier[start : start + h])
        _sum(of_now[r], gradient[r // units, t, r % units], g[start : start + h])
    _of_keep(g, earlier, proposals, keeps, of_keep)
    _of_proposal(g, proposals, keeps, of_proposal)
    _of_reset(of_proposal, news, resets, of_reset)
    _of_scaled(of_proposal, resets, of_new)
    _of_scaled(g, keeps, earlier)
    for r in range(rows):
        start = h * r
        of_y, of_x = of_gates[r], of_inputs[r // units, t, r % units]
        copy(earlier[start : start + h], of_now[r])
        copy(of_keep[start : start + h], of_y[:h])
        copy(of_reset[start : start + h], of_y[h : 2 * h])
        copy(of_new[start : start + h], of_y[2 * h :])
        copy(of_y, of_product[r // units, t, r % units])
        copy(of_y[: 2 * h], of_x[: 2 * h])
        copy(of_proposal[start : start + h], of_x[2 * h :])


# Functions of their own: as loops within `_pull_back` they took twice as long.


@compiled
def _sum(x: Any, y: Any, z: Any) -> None:
    for j in range(len(z)):
        z[j] = x[j] + y[j]


@compiled
def _of_keep(g: Any, earlier: Any, proposals: Any, keeps: Any, found: Any) -> None:
    one, half = found.dtype.type(1), found.dtype.type(0.5)
    for j in range(len(found)):
        keep = half + half * keeps[j]
        found[j] = g[j] * (earlier[j] - proposals[j]) * keep * (one - keep)


@compiled
def _of_proposal(g: Any, proposals: Any, keeps: Any, found: Any) -> None:
    one, half = found.dtype.type(1), found.dtype.type(0.5)
    for j in range(len(found)):
        found[j] = g[j] * (half - half * keeps[j]) * (one - proposals[j] * proposals[j])


@compiled
def _of_reset(of_proposal: Any, news: Any, resets: Any, found: Any) -> None:
    one, half = found.dtype.type(1), found.dtype.type(0.5)
    for j in range(len(found)):
        reset = half + half * resets[j]
        found[j] = of_proposal[j] * news[j] * reset * (one - reset)


@compiled
def _of_scaled(g: Any, tangents: Any, found: Any) -> None:
    """Of what the logistic function of `tangents` scales."""
    half = found.dtype.type(0.5)
    for j in range(len(found)):
        found[j] = g[j] * (half + half * tangents[j])
