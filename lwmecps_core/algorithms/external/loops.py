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
        states = np.empty((k, t + 1, n, state.shape[-1]), inputs.dtype)
        states[:, 0] = state
        gate, tell = np.empty((k, t, n, 4 * h), inputs.dtype), np.empty((k, t, n, told), inputs.dtype)
        keep = np.empty((k, t, n, told + _room(core)), inputs.dtype)
        _forwards()(*_kind(core), inputs, *weights, states, gate, tell, keep)
        shown = h + core.size.reads * core.size.width
        ctx.core, ctx.stepped, ctx.arrays = core, stepped, (states, gate, tell, keep)
        ctx.save_for_backward(*given)
        return torch.from_numpy(states[:, 1:, :, :shown].copy()), torch.from_numpy(states[:, -1])

    @staticmethod
    def backward(ctx: Any, of_shown: Tensor, of_last: Tensor) -> tuple[Tensor | None, ...]:
        given, core = ctx.saved_tensors, ctx.core
        if torch.is_grad_enabled():
            return None, None, *_differentiable(core, ctx.stepped, given, (of_shown, of_last), ctx.needs_input_grad[2:])
        weights = [np.ascontiguousarray(x.detach().numpy()) for x in given[1:4]]
        states, gate, tell, keep = ctx.arrays
        shown, last = (np.ascontiguousarray(x.detach().numpy()) for x in (of_shown, of_last))
        of_inputs, of_tell = np.empty(given[0].shape, states.dtype), np.empty_like(tell)
        of_product, of_state = np.empty_like(of_inputs), last.copy()
        _backwards()(*_kind(core), *weights, states, gate, tell, keep, shown, of_inputs, of_product, of_tell, of_state)
        found = [torch.from_numpy(x) for x in (of_inputs, of_product, of_tell, of_state)]
        return None, None, *_of_weights(torch.from_numpy(states), given[0].shape[-1] // 3, shown.shape[-1], *found)


def _of_weights(
    states: Tensor, h: int, shown: int, of_inputs: Tensor, of_product: Tensor, of_tell: Tensor, of_state: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of all that was given, in its order; those of weights are products over all steps and rows."""
    before, after = states[:, :-1].flatten(1, 2), states[:, 1:, :, :h].flatten(1, 2)
    reads, of_gates, of_told = before[..., h:shown], of_inputs.flatten(1, 2), of_tell.flatten(1, 2)
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
    """`loop(dnc, s, w, r, inputs, weight, reading, asking, bias, states, gate, tell, keep)`, the last four in place."""
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
        states: Any,
        gate: Any,
        tell: Any,
        keep: Any,
    ) -> int:
        sets, steps, rows, gates = inputs.shape
        h, kind = gates // 3, inputs.dtype
        unit, read = np.empty((rows, h), kind), np.empty((rows, r * w), kind)
        product, from_reads = np.empty((rows, gates), kind), np.empty((rows, gates), kind)
        told, asked = np.empty((rows, tell.shape[-1]), kind), np.empty(2 * h, kind)
        for k in range(sets):
            for n in range(rows):
                copy(states[k, 0, n, :h], unit[n])
            for t in range(steps):
                for n in range(rows):
                    copy(states[k, t, n, h : h + r * w], read[n])
                np.dot(unit, weight[k], product)
                np.dot(read, reading[k], from_reads)
                for n in range(rows):
                    before, after = states[k, t, n], states[k, t + 1, n]
                    _unit(inputs[k, t, n], product[n], from_reads[n], gate[k, t, n], before[:h], after[:h], asked)
                    copy(after[:h], unit[n])
                np.dot(unit, asking[k], told)
                for n in range(rows):
                    now, before, after = tell[k, t, n], states[k, t, n, h:], states[k, t + 1, n, h:]
                    copy(told[n], now)
                    add(bias[k], now)
                    if dnc:
                        dnc_rows.forwards(s, w, r, now, before, after, keep[k, t, n])
                    else:
                        ntm_rows.forwards(s, w, r, now, before, after, keep[k, t, n])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@cache
def _backwards() -> KeptLoop:
    """`loop(dnc, s, w, r, weight, reading, asking, states, gate, tell, keep, of_shown, of_inputs, of_product, of_tell,
    of_state)`, the last four in place; `of_state` `[K, N, H + M]` is of the last one and becomes of the first.
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
        through, to_reads = np.empty((rows, h), kind), np.empty((rows, r * w), kind)
        room, work = np.empty(states.shape[-1] - h, kind), np.empty(3 * s, kind)
        for k in range(sets):
            for back in range(steps):
                t = steps - 1 - back
                for n in range(rows):
                    now, before, after = of_state[k, n], states[k, t, n, h:], states[k, t + 1, n, h:]
                    add(of_shown[k, t, n], now[:shown])
                    told, of_told = tell[k, t, n], of_tell[k, t, n]
                    if dnc:
                        dnc_rows.backwards(s, w, r, told, before, after, keep[k, t, n], now[h:], room, of_told, work)
                    else:
                        ntm_rows.backwards(s, w, r, told, before, after, keep[k, t, n], now[h:], room, of_told, work)
                    copy(room, now[h:])
                np.dot(of_tell[k, t], asking[k].T, through)
                for n in range(rows):
                    now = of_state[k, n]
                    add(through[n], now[:h])
                    _through_unit(gate[k, t, n], states[k, t, n, :h], now[:h], of_inputs[k, t, n], of_product[k, t, n])
                np.dot(of_product[k, t], weight[k].T, through)
                np.dot(of_inputs[k, t], reading[k].T, to_reads)
                for n in range(rows):
                    add(through[n], of_state[k, n, :h])
                    add(to_reads[n], of_state[k, n, h : h + r * w])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})
