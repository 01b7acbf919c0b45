"""The distribution of replica counts as compiled loops: see `heads.log_probs` for what they calculate.

Components of actions go through some at a time, while they are in the cache: of each choice all of them side by side.
"""

from functools import cache
from math import log
from typing import Any

import numpy as np
from numba import njit

from lwmecps_core.algorithms.loops import compiled, sources_digest, tanh
from lwmecps_core.compiling import KeptLoop, kept
from lwmecps_core.sim import powers
from lwmecps_core.sim.powers import exp

FORBIDDEN = -1e9
LOG_HALF = log(0.5)
LOG_SCALE_RANGE = 2.0
AT_ONCE = 256
"""Components that go through together."""
WORK = 10
"""Rows that the loops need beside one or two for each choice."""


@njit(nogil=True, forceinline=True)
def _rows(room: Any, first: Any, rows: Any, c: Any) -> Any:
    return room[first * c : (first + rows) * c].reshape((rows, c))


@compiled
def _log_softmax(v: Any, work: Any, bits: Any) -> None:
    """Logarithms of shares, in place, of choices `v` `[n, C]`; `work` `[4, C]` is overwritten."""
    most, total, each, power = work[0], work[1], work[2], work[3]
    for i in range(len(most)):
        most[i], total[i] = v[0, i], 0
    for j in range(1, len(v)):
        row = v[j]
        for i in range(len(most)):
            most[i] = row[i] if row[i] > most[i] else most[i]
    for j in range(len(v)):
        row = v[j]
        for i in range(len(most)):
            each[i] = row[i] - most[i]
        exp(each, power, bits)
        for i in range(len(most)):
            total[i] += power[i]
    for i in range(len(most)):
        most[i] += np.log(total[i])
    for j in range(len(v)):
        row = v[j]
        for i in range(len(most)):
            row[i] -= most[i]


@compiled
def _log_probs(out: Any, mask: Any, v: Any, q: Any, work: Any, bits: Any) -> None:
    """Log-probabilities `v` `[n, C]` from outputs `[C, 3]` and masks `[C, n]`.

    `q` `[n, C]`, unless it is `[0, C]`, becomes how likely each number but 0 would be if some ran and all were allowed.

    `work` `[8, C]` is overwritten: first come the tangents of the outputs for centre and width, the mean, and the
    reciprocal of the scale.
    """
    n, of = len(v), v.dtype.type
    half, usual, span, forbidden = of(0.5), of(-log(n / 6)), of(LOG_SCALE_RANGE), of(FORBIDDEN)
    centre, width, mean, sharp = work[0], work[1], work[2], work[3]
    asked, asked_too = work[4], work[5]  # a loop whose result lies elsewhere is one of vectors
    for i in range(len(mean)):
        asked[i], asked_too[i] = half * out[i, 0], half * out[i, 1]
    tanh(asked, centre)
    tanh(asked_too, width)
    for i in range(len(mean)):
        mean[i], asked[i] = of(n) * (half + half * centre[i]), usual - span * width[i]
    exp(asked, sharp, bits)
    for j in range(1, n):
        row, count = v[j], of(j)
        for i in range(len(mean)):
            far = (count - mean[i]) * sharp[i]
            row[i] = -half * far * far
    _log_softmax(v[1:], work[4:], bits)
    for j in range(1, len(q)):
        exp(v[j], q[j], bits)
    for i in range(len(mean)):
        v[0, i] = out[i, 2]
    for j in range(n):
        row = v[j]
        for i in range(len(mean)):
            row[i] = row[i] if mask[i, j] else forbidden
    _log_softmax(v, work[4:], bits)


@compiled
def _entropies(v: Any, each: Any, found: Any, bits: Any) -> None:
    """Those of distributions whose log-probabilities are `v` `[n, C]`: `[C]`; `each` `[C]` is overwritten."""
    for i in range(len(found)):
        found[i] = 0
    for j in range(len(v)):
        row = v[j]
        exp(row, each, bits)
        for i in range(len(found)):
            found[i] -= each[i] * row[i]


@cache
def judging() -> KeptLoop:
    """`loop(out, mask, action, bits, log_prob, entropy)`: log-probabilities of the choices `[C]` made, and entropies,
    from outputs `[C, 3]` and masks `[C, n]`. `bits` `[AT_ONCE]`: see `exp`.
    """
    digest = sources_digest(__file__, powers.__file__)

    def loop(out: Any, mask: Any, action: Any, bits: Any, log_prob: Any, entropy: Any) -> int:
        n, room = mask.shape[1], np.empty((mask.shape[1] + WORK) * AT_ONCE, out.dtype)
        for start in range(0, len(out), AT_ONCE):
            stop = min(start + AT_ONCE, len(out))
            c = stop - start
            v, work = _rows(room, 0, n, c), _rows(room, n, WORK, c)
            _log_probs(out[start:stop], mask[start:stop], v, v[:0], work, bits)
            _entropies(v, work[4], entropy[start:stop], bits)
            for i in range(c):
                log_prob[start + i] = v[action[start + i], i]
        return digest

    return kept(loop, fastmath={"contract", "nsz"})


@cache
def blaming() -> KeptLoop:
    """`loop(out, mask, action, bits, of_log_prob, of_entropy, of_out)`: gradients `[C, 3]` from those of `judging`."""
    digest = sources_digest(__file__, powers.__file__)

    def loop(out: Any, mask: Any, action: Any, bits: Any, of_log_prob: Any, of_entropy: Any, of_out: Any) -> int:
        n, of = mask.shape[1], out.dtype.type
        quarter, one, zero, limit = of(0.25), of(1), of(0), of(FORBIDDEN / 2)
        room = np.empty((2 * n + WORK) * AT_ONCE, out.dtype)
        for start in range(0, len(out), AT_ONCE):
            stop = min(start + AT_ONCE, len(out))
            c = stop - start
            v, q, work = _rows(room, 0, n, c), _rows(room, n, n, c), _rows(room, 2 * n, WORK, c)
            _log_probs(out[start:stop], mask[start:stop], v, q, work, bits)
            centre, width, mean, sharp, each, spread = work[0], work[1], work[2], work[3], work[4], work[5]
            some, of_mean, of_scale = work[6], work[7], work[8]
            _entropies(v, each, spread, bits)
            of_chosen, of_spread, chosen = of_log_prob[start:stop], of_entropy[start:stop], action[start:stop]
            for i in range(c):
                some[i] = of_mean[i] = of_scale[i] = zero
            for j in range(n):
                row = v[j]
                exp(row, each, bits)
                for i in range(c):
                    pull = of_chosen[i] if chosen[i] == j else zero
                    pull -= each[i] * (of_chosen[i] + of_spread[i] * (row[i] + spread[i]))
                    row[i] = pull if row[i] > limit else zero
                    some[i] += row[i]
            for i in range(c):
                some[i] -= v[0, i]
            for j in range(1, n):
                row, share, count = v[j], q[j], of(j)
                for i in range(c):
                    far = (count - mean[i]) * sharp[i] * sharp[i] * (row[i] - share[i] * some[i])
                    of_mean[i] += far
                    of_scale[i] += far * (count - mean[i])
            for i in range(c):
                of_out[start + i, 0] = of_mean[i] * of(n) * quarter * (one - centre[i] * centre[i])
                of_out[start + i, 1] = of_scale[i] * (one - width[i] * width[i])
                of_out[start + i, 2] = v[0, i]
        return digest

    return kept(loop, fastmath={"contract", "nsz"})


@cache
def choosing() -> KeptLoop:
    """`loop(out, mask, noise, bits, action, log_prob)`: choices `[C]` by inversion of the distribution function at
    `noise` `[C]`, or without chance if that is empty (see `heads.mode`), and their log-probabilities.
    """
    digest = sources_digest(__file__, powers.__file__)

    def loop(out: Any, mask: Any, noise: Any, bits: Any, action: Any, log_prob: Any) -> int:
        n, room = mask.shape[1], np.empty((2 * mask.shape[1] + WORK) * AT_ONCE, out.dtype)
        limit, log_half = out.dtype.type(FORBIDDEN / 2), out.dtype.type(LOG_HALF)
        for start in range(0, len(out), AT_ONCE):
            stop = min(start + AT_ONCE, len(out))
            c = stop - start
            v, share, work = _rows(room, 0, n, c), _rows(room, n, n, c), _rows(room, 2 * n, WORK, c)
            _log_probs(out[start:stop], mask[start:stop], v, v[:0], work, bits)
            for j in range(n if len(noise) else 0):
                exp(v[j], share[j], bits)
            for i in range(c):
                found = 0
                if len(noise):
                    below = out.dtype.type(0)
                    for j in range(n):  # rounding may leave the sum short of 1: then the last possible one is meant
                        if v[j, i] > limit:
                            found = j
                            below += share[j, i]
                            if below >= noise[start + i]:
                                break
                elif v[0, i] <= log_half:
                    found = 1
                    for j in range(2, n):
                        found = j if v[j, i] > v[found, i] else found
                action[start + i], log_prob[start + i] = found, v[found, i]
        return digest

    return kept(loop, fastmath={"contract", "nsz"})
