"""What compiled loops of external memories are made of: one row's step of addressing, and its gradients.

Rows are vectors side by side, as `addressing.joined` lays them. Nothing here allocates. Gradients of parts are added to
what is there.
"""

from typing import Any

import numpy as np

from lwmecps_core.algorithms.external.addressing import SMALL
from lwmecps_core.algorithms.loops import compiled, exp, inner


@compiled
def logistic(x: Any, y: Any) -> None:
    """`y = 1 / (1 + e^−x)`."""
    one = y.dtype.type(1)
    for i in range(len(y)):
        y[i] = -x[i]
    exp(y)
    for i in range(len(y)):
        y[i] = one / (one + y[i])


@compiled
def through_logistic(of_y: Any, y: Any, of_x: Any) -> None:
    """Gradients before a logistic function that came to `y`."""
    one = y.dtype.type(1)
    for i in range(len(y)):
        of_x[i] = of_y[i] * y[i] * (one - y[i])


@compiled
def softplus(x: Any, least: Any, y: Any) -> None:
    """`y = least + log(1 + e^x)`."""
    none = y.dtype.type(0)
    for i in range(len(y)):
        y[i] = least + max(x[i], none) + np.log1p(np.exp(-abs(x[i])))


@compiled
def through_softplus(of_y: Any, x: Any, of_x: Any) -> None:
    """Gradients before `softplus` of `x`."""
    one = x.dtype.type(1)
    for i in range(len(x)):
        of_x[i] = of_y[i] / (one + np.exp(-x[i]))


@compiled
def softmax(x: Any) -> None:
    """In place."""
    most = x[0]
    for i in range(len(x)):
        most = max(most, x[i])
    whole = x.dtype.type(0)
    for i in range(len(x)):
        x[i] -= most
    exp(x)
    for i in range(len(x)):
        whole += x[i]
    for i in range(len(x)):
        x[i] /= whole


@compiled
def through_softmax(y: Any, of_y: Any, of_x: Any) -> None:
    """Gradients `of_x` (written) before a softmax that came to `y`."""
    mean = inner(y, of_y)
    for i in range(len(y)):
        of_x[i] = y[i] * (of_y[i] - mean)


@compiled
def by_content(memory: Any, key: Any, strength: Any, weights: Any) -> None:
    """See `addressing.by_content`, of one key."""
    small, width = key.dtype.type(SMALL), len(key)
    length = inner(key, key) + small
    for i in range(len(weights)):
        slot = memory[i * width : (i + 1) * width]
        weights[i] = strength * inner(slot, key) / np.sqrt(length * (inner(slot, slot) + small))
    softmax(weights)


@compiled
def through_content(
    memory: Any, key: Any, strength: Any, weights: Any, of_weights: Any, of_memory: Any, of_key: Any
) -> Any:
    """Gradients before `by_content`; returns that of the strength."""
    small, width = key.dtype.type(SMALL), len(key)
    length = inner(key, key) + small
    mean, of_strength = inner(weights, of_weights), key.dtype.type(0)
    for i in range(len(weights)):
        slot, of_slot = memory[i * width : (i + 1) * width], of_memory[i * width : (i + 1) * width]
        own = inner(slot, slot) + small
        scale = key.dtype.type(1) / np.sqrt(length * own)
        cosine = inner(slot, key) * scale
        of_logit = weights[i] * (of_weights[i] - mean)
        of_strength += of_logit * cosine
        g = of_logit * strength
        by, of_own, of_length = g * scale, g * cosine / own, g * cosine / length
        for w in range(width):
            of_slot[w] += by * key[w] - of_own * slot[w]
            of_key[w] += by * slot[w] - of_length * key[w]
    return of_strength


@compiled
def written(before: Any, weights: Any, erase: Any, vector: Any, after: Any) -> None:
    """See `addressing.written`."""
    width = len(erase)
    for i in range(len(weights)):
        was, now, by = before[i * width : (i + 1) * width], after[i * width : (i + 1) * width], weights[i]
        for w in range(width):
            now[w] = was[w] - by * erase[w] * was[w] + by * vector[w]


@compiled
def through_written(
    before: Any,
    weights: Any,
    erase: Any,
    vector: Any,
    of_after: Any,
    of_before: Any,
    of_weights: Any,
    of_erase: Any,
    of_vector: Any,
) -> None:
    """Gradients before `written`; `of_before` is written, not added to."""
    width = len(erase)
    for i in range(len(weights)):
        was, g = before[i * width : (i + 1) * width], of_after[i * width : (i + 1) * width]
        to, by, found = of_before[i * width : (i + 1) * width], weights[i], before.dtype.type(0)
        for w in range(width):
            found += g[w] * (vector[w] - was[w] * erase[w])
            of_erase[w] -= g[w] * by * was[w]
            of_vector[w] += g[w] * by
            to[w] = g[w] - g[w] * by * erase[w]
        of_weights[i] += found


@compiled
def read(memory: Any, weights: Any, reads: Any) -> None:
    """`reads` `[W] = weights` `[S] @ memory` `[S, W]`."""
    width = len(reads)
    reads[:] = 0
    for i in range(len(weights)):
        slot, by = memory[i * width : (i + 1) * width], weights[i]
        for w in range(width):
            reads[w] += by * slot[w]


@compiled
def through_read(memory: Any, weights: Any, of_reads: Any, of_memory: Any, of_weights: Any) -> None:
    """Gradients before `read`."""
    width = len(of_reads)
    for i in range(len(weights)):
        slot, to, by = memory[i * width : (i + 1) * width], of_memory[i * width : (i + 1) * width], weights[i]
        of_weights[i] += inner(slot, of_reads)
        for w in range(width):
            to[w] += by * of_reads[w]
