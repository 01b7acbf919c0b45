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

from lwmecps_core.algorithms.loops import add, add_halves, add_scalar, compiled, copy, sources_digest, tanh, turned
from lwmecps_core.compiling import KeptLoop, kept

AT_ONCE = 512
"""Rows that act together."""


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
    if traced():
        return _stepped(*flat).reshape(*lead, b, t, r, h)
    found: Tensor = _Unrolled.apply(*flat)  # type: ignore[no-untyped-call]
    return found.reshape(*lead, b, t, r, h)


def traced() -> bool:
    """Whether a program is being made of operations, and not of this call's results."""
    return get_proxy_mode() is not None


def step(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The state after one interval: `[..., R, 3·H]`, `[..., H, 3·H]`, `[..., R, H]` → `[..., R, H]`."""
    keep_in, reset_in, new_in = inputs.chunk(3, -1)
    keep, reset, new = (state @ weight).chunk(3, -1)
    proposed = torch.tanh(new_in + torch.sigmoid(reset_in + reset) * new)
    return torch.lerp(proposed, state, torch.sigmoid(keep_in + keep))


def acted(own: Tensor, common: Tensor, parameters: tuple[Tensor, Tensor, Tensor, Tensor], state: Tensor) -> Tensor:
    """The state after one interval, without gradients, of U units that see something of their `own` and something in
    `common`: `[..., B, U, F]`, `[..., B, E]`, `[..., B, U, H]` → the latter.

    `parameters`: weights `[..., F, 3·H]` of the one, `[..., E, 3·H]` of the other, biases `[..., 3·H]`, and the
    state's weights `[..., H, 3·H]`. A state beyond 1 counts as 1.
    """
    lead = state.shape[:-3]
    sizes = zip((own, common, *parameters, state), (3, 2, 2, 2, 1, 2, 3), strict=True)
    flat = [x.expand(*lead, *x.shape[-n:]).reshape(lead.numel(), *x.shape[-n:]) for x, n in sizes]
    arrays = [np.ascontiguousarray(x.numpy()) for x in flat]
    found = np.empty_like(arrays[-1])
    _acting()(*arrays, found)
    return torch.from_numpy(found).reshape(state.shape)


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
def _acting() -> KeptLoop:
    """`loop(own, common, of_own, of_common, bias, weight, state, found)`, in place: some samples at a time, so that
    what lies between stays in the processor's cache, as grids of units (see `loops`).
    """
    digest = sources_digest(__file__)

    def loop(own: Any, common: Any, of_own: Any, of_common: Any, bias: Any, weight: Any, state: Any, found: Any) -> int:
        sets, samples, units, h = state.shape
        f, e, most = own.shape[3], common.shape[2], max(1, min(samples, AT_ONCE // units))
        room, turn = np.empty((7, most * units * h), state.dtype), np.empty(max(f, e) * most * units, state.dtype)
        for k in range(sets):
            for s in range(0, samples, most):
                c = min(most, samples - s)
                r = c * units
                asked, product = room[:3].reshape(-1)[: 3 * h * r], room[3:6].reshape(-1)[: 3 * h * r]
                now, gates = room[6, : h * r].reshape((h, r)), asked.reshape((3 * h, r))
                seen, shared = turn[: f * r].reshape((f, r)), turn[: e * c].reshape((e, c))
                told = product[: 3 * h * c].reshape((3 * h, c))
                for u in range(units):
                    turned(own[k, s : s + c, u], seen[:, u * c : (u + 1) * c])
                    turned(state[k, s : s + c, u], now[:, u * c : (u + 1) * c])
                np.dot(of_own[k].T, seen, gates)
                _bound(now.reshape(-1))
                turned(common[k, s : s + c], shared)
                np.dot(of_common[k].T, shared, told)
                for row in range(3 * h):
                    add_scalar(bias[k, row], told[row])
                    for u in range(units):
                        add(told[row], gates[row, u * c : (u + 1) * c])
                np.dot(weight[k].T, now, product.reshape((3 * h, r)))
                _take_in(asked, product, now.reshape(-1))
                for u in range(units):
                    turned(now[:, u * c : (u + 1) * c], found[k, s : s + c, u])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@compiled
def _bound(state: Any) -> None:
    """Into [−1, 1], where a unit's numbers are: who sends more, or infinity, must not get NaN for an answer."""
    one = state.dtype.type(1)
    for j in range(len(state)):
        state[j] = min(max(state[j], -one), one)


@compiled
def _take_in(asked: Any, product: Any, now: Any) -> None:
    """From what is asked of the three gates, and the state's product, to the state after; both are overwritten."""
    size = len(now)
    both, keep, reset, new = 2 * size, asked[:size], asked[size : 2 * size], asked[2 * size :]
    add_halves(asked[:both], product[:both], product[:both])
    tanh(product[:both], asked[:both])
    _propose(reset, product[both:], new)
    tanh(new, product[both:])
    _keep(keep, product[both:], now)


@compiled
def _propose(reset: Any, product: Any, new: Any) -> None:
    half = new.dtype.type(0.5)
    for j in range(len(new)):
        new[j] += (half + half * reset[j]) * product[j]


@compiled
def _keep(keep: Any, proposed: Any, now: Any) -> None:
    half = now.dtype.type(0.5)
    for j in range(len(now)):
        now[j] = proposed[j] + (half + half * keep[j]) * (now[j] - proposed[j])


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
