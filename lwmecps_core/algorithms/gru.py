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

from lwmecps_core.algorithms.loops import add, add_halves, copy, sources_digest, tanh
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
        shape = (*inputs.shape[:-1], inputs.shape[-1] // 3)
        states, ctx.kept = np.empty(shape, arrays[0].dtype), np.empty((4, *shape), arrays[0].dtype)
        _forwards()(*arrays, states, ctx.kept)
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
        _backwards()(*arrays, ctx.kept, of_inputs, of_product, of_state)
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
    """`loop(inputs, weight, state, states, kept)`, in place. `kept` `[4, …]`: the tangents that make the gates, what is
    proposed, and the product that reset scales.
    """
    digest = sources_digest(__file__)

    def loop(inputs: Any, weight: Any, state: Any, states: Any, kept: Any) -> int:
        sets, wide, intervals, units, gates = inputs.shape
        h, half = gates // 3, inputs.dtype.type(0.5)
        rows = wide * units
        product, now = np.empty((rows, gates), inputs.dtype), np.empty((rows, h), inputs.dtype)
        asked = np.empty(h, inputs.dtype)
        for k in range(sets):
            for r in range(rows):
                copy(state[k, r // units, r % units], now[r])
            for t in range(intervals):
                np.dot(now, weight[k], product)
                for r in range(rows):
                    b, u = r // units, r % units
                    x, y = inputs[k, b, t, u], product[r]
                    keep, reset = kept[0, k, b, t, u], kept[1, k, b, t, u]
                    add_halves(x[:h], y[:h], asked)
                    tanh(asked, keep)  # into another row, or the loop is not one of vectors
                    add_halves(x[h : 2 * h], y[h : 2 * h], asked)
                    tanh(asked, reset)
                    proposed, new = kept[2, k, b, t, u], y[2 * h :]
                    copy(new, kept[3, k, b, t, u])
                    for j in range(h):
                        asked[j] = x[2 * h + j] + (half + half * reset[j]) * new[j]
                    tanh(asked, proposed)
                    before, after = now[r], states[k, b, t, u]
                    for j in range(h):
                        before[j] = proposed[j] + (half + half * keep[j]) * (before[j] - proposed[j])
                    copy(before, after)
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@cache
def _backwards() -> KeptLoop:
    """`loop(weight, before, gradient, kept, of_inputs, of_product, of_state)`, in place."""
    digest = sources_digest(__file__)

    def loop(weight: Any, before: Any, gradient: Any, kept: Any, of_inputs: Any, of_product: Any, of_state: Any) -> int:
        sets, wide, intervals, units, h = before.shape
        one, half = before.dtype.type(1), before.dtype.type(0.5)
        rows = wide * units
        through, of_now = np.empty((rows, h), before.dtype), np.empty((rows, h), before.dtype)
        of_gates = np.empty((rows, 3 * h), before.dtype)
        for k in range(sets):
            of_now[:] = 0
            for i in range(intervals):
                t = intervals - 1 - i
                for r in range(rows):
                    b, u = r // units, r % units
                    of_x, of_y, of_after = of_inputs[k, b, t, u], of_gates[r], of_now[r]
                    asked, was = gradient[k, b, t, u], before[k, b, t, u]
                    keeps, resets = kept[0, k, b, t, u], kept[1, k, b, t, u]
                    proposals, news = kept[2, k, b, t, u], kept[3, k, b, t, u]
                    of_keep, of_reset, of_new = of_y[:h], of_y[h : 2 * h], of_y[2 * h :]
                    of_proposal = of_x[2 * h :]
                    for j in range(h):
                        keep, reset, proposed = half + half * keeps[j], half + half * resets[j], proposals[j]
                        g = of_after[j] + asked[j]
                        of_keep[j] = g * (was[j] - proposed) * keep * (one - keep)
                        of_proposed = g * (one - keep) * (one - proposed * proposed)
                        of_reset[j] = of_proposed * news[j] * reset * (one - reset)
                        of_proposal[j] = of_proposed
                        of_new[j] = of_proposed * reset
                        of_after[j] = g * keep
                    copy(of_y[: 2 * h], of_x[: 2 * h])
                    copy(of_y, of_product[k, b, t, u])
                np.dot(of_gates, weight[k].T, through)
                for r in range(rows):
                    add(through[r], of_now[r])
            for r in range(rows):
                copy(of_now[r], of_state[k, r // units, r % units])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})
