"""A gated recurrent unit over whole sequences as two compiled loops, forwards and backwards in time.

In PyTorch each interval is some ten operations on matrices of a few hundred numbers, and as many more backwards: nearly
all of the time passes between them.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd import Function

Loops = tuple[Any, Any]


def unrolled(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The state after each of T intervals: `[..., T, R, 3·H]`, `[..., H, 3·H]`, `[..., R, H]` → `[..., T, R, H]`.

    `inputs` are the parts of the three gates (keep, reset, new) that come from outside. Gradients may be gone through
    again: then they are those of `step`, interval by interval.
    """
    lead, (t, r, gates) = inputs.shape[:-3], inputs.shape[-3:]
    h = gates // 3
    found: Tensor = _Unrolled.apply(  # type: ignore[no-untyped-call]
        inputs.reshape(-1, t, r, gates),
        weight.expand(*lead, h, gates).reshape(-1, h, gates),
        state.expand(*lead, r, h).reshape(-1, r, h),
    )
    return found.reshape(*lead, t, r, h)


def step(inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """The state after one interval: `[..., R, 3·H]`, `[..., H, 3·H]`, `[..., R, H]` → `[..., R, H]`."""
    keep_in, reset_in, new_in = inputs.chunk(3, -1)
    keep, reset, new = (state @ weight).chunk(3, -1)
    proposed = torch.tanh(new_in + torch.sigmoid(reset_in + reset) * new)
    return torch.lerp(proposed, state, torch.sigmoid(keep_in + keep))


class _Unrolled(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        arrays = [np.ascontiguousarray(x.detach().numpy()) for x in (inputs, weight, state)]
        k, t, r, gates = inputs.shape
        states = np.empty((k, t, r, gates // 3), arrays[0].dtype)
        kept = np.empty((k, t, 4, r, gates // 3), arrays[0].dtype)  # the gates, and the product that reset scales
        _loops()[0](*arrays, states, kept)
        found = torch.from_numpy(states)
        ctx.kept = kept
        ctx.save_for_backward(inputs, weight, state, found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, state, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(inputs, weight, state, gradient, ctx.needs_input_grad)
        before = torch.cat([state.unsqueeze(1), states[:, :-1]], 1)
        arrays = [np.ascontiguousarray(x.detach().numpy()) for x in (weight, before, gradient)]
        of_inputs, of_product = (np.empty(inputs.shape, arrays[0].dtype) for _ in range(2))
        of_state = np.empty(state.shape, arrays[0].dtype)
        _loops()[1](*arrays, ctx.kept, of_inputs, of_product, of_state)
        product = torch.from_numpy(of_product).flatten(1, 2)
        return torch.from_numpy(of_inputs), before.flatten(1, 2).mT @ product, torch.from_numpy(of_state)


def _differentiable(
    inputs: Tensor, weight: Tensor, state: Tensor, gradient: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """The same gradients as a graph of their own."""
    now, found = state, list[Tensor]()
    for each in inputs.unbind(1):
        now = step(each, weight, now)
        found.append(now)
    of = [x for x, asked in zip((inputs, weight, state), wanted, strict=True) if asked]
    grads = iter(torch.autograd.grad(torch.stack(found, 1), of, gradient, create_graph=True))
    return tuple(next(grads) if asked else None for asked in wanted)


@cache
def _loops() -> Loops:
    """`forwards(inputs, weight, state, states, kept)` and `backwards(weight, before, gradient, kept, of_inputs,
    of_product, of_state)`, both in place.
    """

    def forwards(inputs: Any, weight: Any, state: Any, states: Any, kept: Any) -> None:
        sets, intervals, rows, gates = inputs.shape
        h, one = gates // 3, inputs.dtype.type(1)
        product = np.empty((rows, gates), inputs.dtype)
        for k in range(sets):
            now = state[k].copy()
            for t in range(intervals):
                np.dot(now, weight[k], product)
                for r in range(rows):
                    for j in range(h):
                        keep = one / (one + np.exp(-(inputs[k, t, r, j] + product[r, j])))
                        reset = one / (one + np.exp(-(inputs[k, t, r, h + j] + product[r, h + j])))
                        new = product[r, 2 * h + j]
                        proposed = np.tanh(inputs[k, t, r, 2 * h + j] + reset * new)
                        kept[k, t, 0, r, j], kept[k, t, 1, r, j] = keep, reset
                        kept[k, t, 2, r, j], kept[k, t, 3, r, j] = proposed, new
                        now[r, j] = proposed + keep * (now[r, j] - proposed)
                states[k, t] = now

    def backwards(
        weight: Any, before: Any, gradient: Any, kept: Any, of_inputs: Any, of_product: Any, of_state: Any
    ) -> None:
        sets, intervals, rows, h = before.shape
        one = before.dtype.type(1)
        through = np.empty((rows, h), before.dtype)
        for k in range(sets):
            back = np.ascontiguousarray(weight[k].T)
            of_now = np.zeros((rows, h), before.dtype)
            for i in range(intervals):
                t = intervals - 1 - i
                for r in range(rows):
                    for j in range(h):
                        keep, reset = kept[k, t, 0, r, j], kept[k, t, 1, r, j]
                        proposed, new = kept[k, t, 2, r, j], kept[k, t, 3, r, j]
                        g = of_now[r, j] + gradient[k, t, r, j]
                        of_keep = g * (before[k, t, r, j] - proposed) * keep * (one - keep)
                        of_proposed = g * (one - keep) * (one - proposed * proposed)
                        of_reset = of_proposed * new * reset * (one - reset)
                        of_inputs[k, t, r, j] = of_product[k, t, r, j] = of_keep
                        of_inputs[k, t, r, h + j] = of_product[k, t, r, h + j] = of_reset
                        of_inputs[k, t, r, 2 * h + j] = of_proposed
                        of_product[k, t, r, 2 * h + j] = of_proposed * reset
                        of_now[r, j] = g * keep
                np.dot(of_product[k, t], back, through)
                of_now += through
            of_state[k] = of_now

    compiled = [njit(cache=True, nogil=True, error_model="numpy")(loop) for loop in (forwards, backwards)]
    return compiled[0], compiled[1]
