"""A controller and its memory over whole sequences as two compiled loops, forwards and backwards in time.

In PyTorch a step is some hundred operations on a few hundred numbers each, and as many more backwards: nearly all of
the time passes between them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from lwmecps_core.algorithms.external import addressing, dnc_rows, ntm, ntm_rows, rows
from lwmecps_core.algorithms.external.addressing import Core, numbers
from lwmecps_core.algorithms.external.dnc import DifferentiableNeuralComputer
from lwmecps_core.algorithms.loops import add, compiled, copy, sources_digest, tanh
from lwmecps_core.compiling import KeptLoop, kept

BLOCK = 64
"""Rows that are gone through together, so that what they need stays in a core's own cache."""
Stepped = Callable[..., tuple[Tensor, Tensor]]


def unrolled(core: Core, stepped: Stepped, *given: Tensor) -> tuple[Tensor, Tensor]:
    """See `controlled.unrolled`: inputs `[K, T, N, 3·H]`, weights `[K, ...]`, and the state `[K, N, H + M]`."""
    shown, last = _Controlled.apply(core, stepped, *given)  # type: ignore[no-untyped-call]
    return shown, last


class _Controlled(Function):
    @staticmethod
    def forward(ctx: Any, core: Core, stepped: Stepped, *given: Tensor) -> tuple[Tensor, Tensor]:
        inputs, *weights, state = (np.ascontiguousarray(x.detach().numpy()) for x in given)
        k, t, n, gates = inputs.shape
        h, told = gates // 3, numbers(core.interface)
        states = np.empty((k, t, n, state.shape[-1]), inputs.dtype)
        room, state = (k, t, n) if any(ctx.needs_input_grad) else (1, 1, 1), state.astype(inputs.dtype, copy=False)
        gate, tell, keep = (np.empty((*room, size), inputs.dtype) for size in (4 * h, told, told + _room(core)))
        _forwards()(*_kind(core), inputs, *weights, state, states, gate, tell, keep)
        shown = h + core.size.reads * core.size.width
        ctx.core, ctx.stepped, ctx.arrays = core, stepped, (state, states, gate, tell, keep)
        ctx.save_for_backward(*given)
        return torch.from_numpy(states[..., :shown].copy()), torch.from_numpy(states[:, -1])

    @staticmethod
    def backward(ctx: Any, of_shown: Tensor, of_last: Tensor) -> tuple[Tensor | None, ...]:
        given, core = ctx.saved_tensors, ctx.core
        if torch.is_grad_enabled():
            return None, None, *_differentiable(core, ctx.stepped, given, (of_shown, of_last), ctx.needs_input_grad[2:])
        weights = [np.ascontiguousarray(x.detach().numpy()) for x in given[1:4]]
        first, states, gate, tell, keep = ctx.arrays
        shown, last = (np.ascontiguousarray(x.detach().numpy()) for x in (of_shown, of_last))
        of_inputs, of_tell = np.empty(given[0].shape, states.dtype), np.empty_like(tell)
        of_product, of_state = np.empty_like(of_inputs), last.copy()
        kept = first, states, gate, tell, keep
        _backwards()(*_kind(core), *weights, *kept, shown, of_inputs, of_product, of_tell, of_state)
        found = [torch.from_numpy(x) for x in (of_inputs, of_product, of_tell, of_state)]
        seen = [x[..., : shown.shape[-1]] for x in (first[:, None], states)]
        return None, None, *_of_weights(torch.from_numpy(np.concatenate(seen, 1)), given[0].shape[-1] // 3, *found)


def _of_weights(
    states: Tensor, h: int, of_inputs: Tensor, of_product: Tensor, of_tell: Tensor, of_state: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of all that was given, in its order; those of weights are products over all steps and rows."""
    before, after = states[:, :-1].flatten(1, 2), states[:, 1:, :, :h].flatten(1, 2)
    reads, of_gates, of_told = before[..., h:], of_inputs.flatten(1, 2), of_tell.flatten(1, 2)
    of_unit = before[..., :h].mT @ of_product.flatten(1, 2)
    return of_inputs, of_unit, reads.mT @ of_gates, after.mT @ of_told, of_told.sum(1), of_state


def _differentiable(
    core: Core, stepped: Stepped, given: tuple[Tensor, ...], pull: tuple[Tensor, ...], wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """The same gradients as a graph of their own."""
    of = [x for x, asked in zip(given, wanted, strict=True) if asked]
    grads = iter(torch.autograd.grad(stepped(core, *given), of, pull, create_graph=True, materialize_grads=True))
    return tuple(next(grads) if asked else None for asked in wanted)


def _kind(core: Core) -> tuple[bool, int, int, int]:
    """Which of the two it is, and its size."""
    return isinstance(core, DifferentiableNeuralComputer), core.size.slots, core.size.width, core.size.reads


def _room(core: Core) -> int:
    """Numbers that a row keeps for its gradients, beside what acts."""
    return 3 * core.size.slots * (1 + core.size.reads)


@cache
def _digest() -> int:
    called = (rows, ntm_rows, dnc_rows, addressing, ntm)  # the last two for their constants
    return sources_digest(__file__, *(str(module.__file__) for module in called))


@compiled
def _unit(x: Any, y: Any, read: Any, gate: Any, before: Any, after: Any, asked: Any) -> None:
    """A gated recurrent unit's step (`gru.step`): `gate` becomes how much it keeps and resets, what it proposes, and
    the product that reset scales.
    """
    h, half = len(after), after.dtype.type(0.5)
    keep, reset, proposed, new = gate[:h], gate[h : 2 * h], gate[2 * h : 3 * h], gate[3 * h :]
    for j in range(2 * h):
        asked[j] = half * (x[j] + read[j] + y[j])
    tanh(asked[: 2 * h], gate[: 2 * h])
    for j in range(h):
        keep[j], reset[j], new[j] = half + half * keep[j], half + half * reset[j], y[2 * h + j]
        asked[j] = x[2 * h + j] + read[2 * h + j] + reset[j] * new[j]
    tanh(asked[:h], proposed)
    for j in range(h):
        after[j] = proposed[j] + keep[j] * (before[j] - proposed[j])


@compiled
def _through_unit(gate: Any, before: Any, of_state: Any, of_x: Any, of_y: Any) -> None:
    """Gradients before `_unit`; `of_state` becomes what goes to the state before without the product."""
    h, one = len(before), before.dtype.type(1)
    for j in range(h):
        keep, reset, proposed, new = gate[j], gate[h + j], gate[2 * h + j], gate[3 * h + j]
        g = of_state[j]
        of_proposed = g * (one - keep) * (one - proposed * proposed)
        of_x[j] = of_y[j] = g * (before[j] - proposed) * keep * (one - keep)
        of_x[h + j] = of_y[h + j] = of_proposed * new * reset * (one - reset)
        of_x[2 * h + j], of_y[2 * h + j] = of_proposed, of_proposed * reset
        of_state[j] = g * keep


@cache
def _forwards() -> KeptLoop:
    """`loop(dnc, s, w, r, inputs, weight, reading, asking, bias, first, states, gate, tell, keep)`, the last four in
    place; the last three have room for all steps and rows, or for one where no gradients are wanted.
    """
    digest = _digest()

    def loop(
        dnc: Any,
        s: Any,
        w: Any,
        r: Any,
        inputs: Any,
        weight: Any,
        reading: Any,
        asking: Any,
        bias: Any,
        first: Any,
        states: Any,
        gate: Any,
        tell: Any,
        keep: Any,
    ) -> int:
        sets, steps, rows, gates = inputs.shape
        h, kind, all_kept = gates // 3, inputs.dtype, 1 if keep.shape[:3] == inputs.shape[:3] else 0
        unit, read = np.empty((BLOCK, h), kind), np.empty((BLOCK, r * w), kind)
        product, from_reads = np.empty((BLOCK, gates), kind), np.empty((BLOCK, gates), kind)
        told, asked = np.empty((BLOCK, tell.shape[-1]), kind), np.empty(2 * h, kind)
        for k in range(sets):
            for begin in range(0, rows, BLOCK):
                size = min(BLOCK, rows - begin)
                for t in range(steps):
                    was = states[k, t - 1] if t else first[k]
                    for i in range(size):
                        copy(was[begin + i, :h], unit[i])
                        copy(was[begin + i, h : h + r * w], read[i])
                    np.dot(unit[:size], weight[k], product[:size])
                    np.dot(read[:size], reading[k], from_reads[:size])
                    for i in range(size):
                        n = begin + i
                        before, after, gates_of = (
                            was[n],
                            states[k, t, n],
                            gate[k * all_kept, t * all_kept, n * all_kept],
                        )
                        _unit(inputs[k, t, n], product[i], from_reads[i], gates_of, before[:h], after[:h], asked)
                        copy(after[:h], unit[i])
                    np.dot(unit[:size], asking[k], told[:size])
                    for i in range(size):
                        n = begin + i
                        at, now = (k * all_kept, t * all_kept, n * all_kept), told[i]
                        add(bias[k], now)
                        copy(now, tell[at])
                        if dnc:
                            dnc_rows.forwards(s, w, r, now, was[n, h:], states[k, t, n, h:], keep[at])
                        else:
                            ntm_rows.forwards(s, w, r, now, was[n, h:], states[k, t, n, h:], keep[at])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@cache
def _backwards() -> KeptLoop:
    """`loop(dnc, s, w, r, weight, reading, asking, first, states, gate, tell, keep, of_shown, of_inputs, of_product,
    of_tell, of_state)`, the last four in place; `of_state` `[K, N, H + M]` is of the last one and becomes of the first.
    """
    digest = _digest()

    def loop(
        dnc: Any,
        s: Any,
        w: Any,
        r: Any,
        weight: Any,
        reading: Any,
        asking: Any,
        first: Any,
        states: Any,
        gate: Any,
        tell: Any,
        keep: Any,
        of_shown: Any,
        of_inputs: Any,
        of_product: Any,
        of_tell: Any,
        of_state: Any,
    ) -> int:
        sets, steps, rows, gates = of_inputs.shape
        h, kind, shown = gates // 3, of_inputs.dtype, of_shown.shape[-1]
        through, to_reads = np.empty((BLOCK, h), kind), np.empty((BLOCK, r * w), kind)
        room, work = np.empty(states.shape[-1] - h, kind), np.empty(3 * s, kind)
        for k in range(sets):
            for begin in range(0, rows, BLOCK):
                end = min(begin + BLOCK, rows)
                size = end - begin
                for back in range(steps):
                    t = steps - 1 - back
                    was = states[k, t - 1] if t else first[k]
                    for n in range(begin, end):
                        now, before, after = of_state[k, n], was[n, h:], states[k, t, n, h:]
                        add(of_shown[k, t, n], now[:shown])
                        told, of_told, own = tell[k, t, n], of_tell[k, t, n], keep[k, t, n]
                        if dnc:
                            dnc_rows.backwards(s, w, r, told, before, after, own, now[h:], room, of_told, work)
                        else:
                            ntm_rows.backwards(s, w, r, told, before, after, own, now[h:], room, of_told, work)
                        copy(room, now[h:])
                    np.dot(of_tell[k, t, begin:end], asking[k].T, through[:size])
                    for n in range(begin, end):
                        now = of_state[k, n]
                        add(through[n - begin], now[:h])
                        _through_unit(gate[k, t, n], was[n, :h], now[:h], of_inputs[k, t, n], of_product[k, t, n])
                    np.dot(of_product[k, t, begin:end], weight[k].T, through[:size])
                    np.dot(of_inputs[k, t, begin:end], reading[k].T, to_reads[:size])
                    for n in range(begin, end):
                        add(through[n - begin], of_state[k, n, :h])
                        add(to_reads[n - begin], of_state[k, n, h : h + r * w])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})
