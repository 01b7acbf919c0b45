"""Set networks as two compiled loops, forwards and backwards: see `networks.plain_set_rows` for what they calculate.

In PyTorch that is some fifty operations forwards and as many backwards, on tensors that leave the processor's caches
in between. Here some samples at a time go through all of it, as grids (see `loops`).
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from lwmecps_core.algorithms.loops import (
    add,
    add_narrow_products,
    add_product,
    add_scalar,
    collect,
    compiled,
    copy,
    gather,
    largest,
    scale,
    scatter,
    share_largest,
    sources_digest,
    spread,
    tanh,
    through_tanh,
    total,
    turned,
)
from lwmecps_core.compiling import KeptLoop, kept

AT_ONCE = 768
"""Cells, of all samples, that go through the network together."""


@njit(nogil=True, forceinline=True)
def _matrix(room: Any, rows: Any, columns: Any) -> Any:
    return room[: rows * columns].reshape((rows, columns))


@njit(nogil=True)
def _product(weight: Any, x: Any, y: Any) -> None:
    """`y` = `weight`ᵀ `@ x`: compiled once, as the next two, not at each of its many places."""
    np.dot(weight.T, x, y)


@njit(nogil=True)
def _back(weight: Any, of_y: Any, of_x: Any) -> None:
    np.dot(weight, of_y, of_x)


@njit(nogil=True)
def _add_outer(x: Any, of_y: Any, of_weight: Any) -> None:
    product = np.dot(x, of_y.T)
    for f in range(len(product)):
        add(product[f], of_weight[f])


@compiled
def _pool(grid: Any, v: Any, row_of: Any, y: Any) -> None:
    """What cells see of one another in view `v`: means by rows and, in view 0, maxima below them."""
    size = len(grid)
    collect(grid, row_of, y[:size])
    scale(y.dtype.type(y.shape[1]) / y.dtype.type(grid.shape[1]), y[:size])
    if v == 0:
        largest(grid, y[size:])


@compiled
def _unpool(of_y: Any, y: Any, grid: Any, v: Any, row_of: Any, count: Any, of_grid: Any) -> None:
    """Add the gradients `of_y` of a view that came to `y` to those of the grid; `of_y` is overwritten."""
    size = len(grid)
    scale(y.dtype.type(y.shape[1]) / y.dtype.type(grid.shape[1]), of_y[:size])
    spread(of_y[:size], row_of, of_grid)
    if v == 0:
        share_largest(of_y[size:], y[size:], grid, count[: y.shape[1]], of_grid)


@compiled
def _add_bias(bias: Any, y: Any) -> None:
    for f in range(len(y)):
        add_scalar(bias[f], y[f])


@compiled
def _add_sums(y: Any, sums: Any) -> None:
    for f in range(len(y)):
        sums[f] += total(y[f])


@compiled
def _room(cells: Any, samples: Any, parts: Any, first: Any, last: Any, outs: Any) -> Any:
    """How many samples go together, and how many numbers the largest matrix of theirs has."""
    most = min(samples, max(1, AT_ONCE // cells))
    widest = max(2 * first, first + outs, last)
    for p in range(len(parts)):
        widest = max(widest, 2 * parts[p, 2])
    return most, most * cells * widest


@njit(nogil=True)
def _through_views(
    grid: Any,
    features: Any,
    layout: Any,
    weights: Any,
    of_weights: Any,
    room: Any,
    count: Any,
    of_layers: Any,
    asked: Any,
) -> None:
    """Add the gradients of what cells see of one another, of the features only if that is `asked`."""
    _, _, _, view_rows, view_of = layout
    (direct, mix), (of_direct, of_mix) = weights, of_weights
    of_h2, of_found, of_h, of_features = of_layers
    first, own, last, outs, above = len(grid), len(features), len(of_h2), len(of_found), 0
    for v in range(len(view_rows)):
        rows, views = len(count) * view_rows[v], 2 if v == 0 else 1
        low, high = 1 + above, 1 + above + views
        weight, of_weight = mix[low:high].reshape((-1, last)), of_mix[low:high].reshape((-1, last))
        pooled, of_product = _matrix(room[3], views * first, rows), _matrix(room[4], last, rows)
        of_pooled = _matrix(room[5], views * first, rows)
        _pool(grid, v, view_of[v], pooled)
        collect(of_h2, view_of[v], of_product)
        _add_outer(pooled, of_product, of_weight)
        _back(weight, of_product, of_pooled)
        _unpool(of_pooled, pooled, grid, v, view_of[v], count, of_h)
        low, high = above * own, (above + views) * own
        pooled, of_product = _matrix(room[3], views * own, rows), _matrix(room[4], outs, rows)
        _pool(features, v, view_of[v], pooled)
        collect(of_found, view_of[v], of_product)
        add_narrow_products(pooled, of_product, of_direct[low:high])
        if asked:
            of_pooled = _matrix(room[5], views * own, rows)
            _back(direct[low:high], of_product, of_pooled)
            _unpool(of_pooled, pooled, features, v, view_of[v], count, of_features)
        above += views


@njit(nogil=True)
def _through_parts(
    seen: Any, layout: Any, of_z: Any, wide: Any, of_wide: Any, room: Any, of_seen: Any, asked: Any
) -> None:
    """Add the gradients of the first layer's weights, and of what the parts saw if that is `asked`."""
    at, parts, row_of = layout
    c = seen.shape[1]
    for p in range(len(parts)):
        start, rows, width, above = parts[p]
        where = at[start : start + rows * width].reshape((rows, width))
        part, of_product = _matrix(room[3], width, c * rows), _matrix(room[4], len(of_z), c * rows)
        gather(seen, where, part)
        collect(of_z, row_of[p], of_product)
        _add_outer(part, of_product, of_wide[above : above + width])
        if asked:
            of_part = _matrix(room[5], width, c * rows)
            _back(wide[above : above + width], of_product, of_part)
            scatter(of_part, where, of_seen)


@cache
def forwards() -> KeptLoop:
    """`loop(x, layout, weights, hidden, result)`: outputs `[K, S, G, n_out]` from the vectors `x` `[K, S, V]`.

    `layout`, `weights`: see `fused`. `hidden`: `[K, H·S·G]` and `[K, H′·S·G]`, overwritten with the hidden layers.
    """
    digest = sources_digest(__file__)

    def loop(x: Any, layout: Any, weights: Any, hidden: Any, result: Any) -> int:
        at, parts, row_of, view_rows, view_of = layout
        wide, wide_bias, direct, mix, mix_bias, out = weights
        cells, own, first, last, outs = row_of.shape[1], parts[0, 2], mix.shape[2], mix.shape[3], result.shape[3]
        most, size = _room(cells, x.shape[1], parts, first, last, outs)
        room, turn = np.empty((5, size), x.dtype), np.empty(x.shape[2] * most, x.dtype)
        for k in range(x.shape[0]):
            for s in range(0, x.shape[1], most):
                c = min(most, x.shape[1] - s)
                r, here = c * cells, s * cells
                seen = _matrix(turn, x.shape[2], c)
                turned(x[k, s : s + c], seen)
                h = hidden[0][k, here * first : (here + r) * first]
                h2 = hidden[1][k, here * last : (here + r) * last]
                z, features = _matrix(room[0], first + outs, r), _matrix(room[1], own, r)
                gather(seen, at[: cells * own].reshape((cells, own)), features)
                _product(wide[k, :own], features, z)
                for p in range(1, len(parts)):
                    start, rows, width, above = parts[p]
                    part, product = _matrix(room[2], width, c * rows), _matrix(room[3], first + outs, c * rows)
                    gather(seen, at[start : start + rows * width].reshape((rows, width)), part)
                    _product(wide[k, above : above + width], part, product)
                    if rows == 1:
                        _add_bias(wide_bias[k], product)
                    spread(product, row_of[p], z)
                tanh(room[0, : first * r], h)
                found = _matrix(room[4], outs, r)
                copy(room[0, first * r : (first + outs) * r], room[4, : outs * r])
                grid, z2 = h.reshape((first, r)), _matrix(room[0], last, r)
                _product(mix[k, 0], grid, z2)
                above = 0
                for v in range(len(view_rows)):
                    rows, views = view_rows[v], 2 if v == 0 else 1
                    pooled, product = _matrix(room[2], views * first, c * rows), _matrix(room[3], last, c * rows)
                    _pool(grid, v, view_of[v], pooled)
                    of_view = mix[k, 1 + above : 1 + above + views].reshape((views * first, last))
                    _product(of_view, pooled, product)
                    if v == 0:
                        _add_bias(mix_bias[k], product)
                    spread(product, view_of[v], z2)
                    pooled, product = _matrix(room[2], views * own, c * rows), _matrix(room[3], outs, c * rows)
                    _pool(features, v, view_of[v], pooled)
                    product[:] = 0
                    add_product(direct[k, above * own : (above + views) * own], pooled, product)
                    spread(product, view_of[v], found)
                    above += views
                tanh(room[0, : last * r], h2)
                add_product(out[k], h2.reshape((last, r)), found)
                for g in range(cells):
                    turned(found[:, g * c : (g + 1) * c], result[k, s : s + c, g])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})


@cache
def backwards() -> KeptLoop:
    """`loop(x, layout, weights, hidden, of_result, of_weights, of_x)`: gradients from that of the result.

    `of_weights` have the shapes of `weights`, and are added to; so is `of_x`, unless it is empty.
    """
    digest = sources_digest(__file__)

    def loop(x: Any, layout: Any, weights: Any, hidden: Any, of_result: Any, of_weights: Any, of_x: Any) -> int:
        at, parts, row_of, _, _ = layout
        wide, _, direct, mix, _, out = weights
        of_wide, of_wide_bias, of_direct, of_mix, of_mix_bias, of_out = of_weights
        cells, own, first, last, outs = row_of.shape[1], parts[0, 2], mix.shape[2], mix.shape[3], of_result.shape[3]
        most, size = _room(cells, x.shape[1], parts, first, last, outs)
        room, count = np.empty((8, size), x.dtype), np.empty(most, x.dtype)
        turn, of_turn = np.empty(x.shape[2] * most, x.dtype), np.empty(x.shape[2] * most, x.dtype)
        asked = of_x.size > 0
        for k in range(x.shape[0]):
            for s in range(0, x.shape[1], most):
                c = min(most, x.shape[1] - s)
                r, here = c * cells, s * cells
                seen, of_seen = _matrix(turn, x.shape[2], c), _matrix(of_turn, x.shape[2], c)
                turned(x[k, s : s + c], seen)
                h = hidden[0][k, here * first : (here + r) * first]
                h2 = hidden[1][k, here * last : (here + r) * last]
                grid, of_found = h.reshape((first, r)), _matrix(room[7], outs, r)
                for g in range(cells):
                    turned(of_result[k, s : s + c, g], of_found[:, g * c : (g + 1) * c])
                features = _matrix(room[0], own, r)
                gather(seen, at[: cells * own].reshape((cells, own)), features)
                add_narrow_products(h2.reshape((last, r)), of_found, of_out[k])
                of_h2, of_h = _matrix(room[1], last, r), _matrix(room[2], first, r)
                _back(out[k], of_found, of_h2)
                through_tanh(room[1, : last * r], h2, room[1, : last * r])
                _add_sums(of_h2, of_mix_bias[k])
                _add_outer(grid, of_h2, of_mix[k, 0])
                _back(mix[k, 0], of_h2, of_h)
                of_features = _matrix(room[6], own, r)
                of_features[:] = 0
                own_weights, of_own_weights = (direct[k], mix[k]), (of_direct[k], of_mix[k])
                of_layers = (of_h2, of_found, of_h, of_features)
                _through_views(grid, features, layout, own_weights, of_own_weights, room, count[:c], of_layers, asked)
                of_z = _matrix(room[1], first + outs, r)
                through_tanh(room[2, : first * r], h, room[1, : first * r])
                copy(room[7, : outs * r], room[1, first * r : (first + outs) * r])
                _add_sums(of_z, of_wide_bias[k])
                of_seen[:] = 0
                _through_parts(seen, (at, parts, row_of), of_z, wide[k], of_wide[k], room, of_seen, asked)
                if asked:
                    scatter(of_features, at[: cells * own].reshape((cells, own)), of_seen)
                    turned(of_seen, of_x[k, s : s + c])
        return digest

    return kept(loop, products=True, fastmath={"contract", "nsz"})
