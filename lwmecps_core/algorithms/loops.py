"""What compiled loops of networks are made of: hyperbolic tangents, and sums and maxima over the cells of a grid.

A grid is `[F, G·C]`: features of G cells in each of C samples, the samples of a cell side by side, so that every
innermost loop runs over samples. Rows of it are `[F, R·C]` likewise; `row_of` `[G]` says which of them a cell is in.

Nothing here allocates. Who caches a loop that calls these takes `sources_digest` of its files into its closure.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from zlib import crc32

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

ODD = (
    4.89352455891786e-03,
    6.37261928875436e-04,
    1.48572235717979e-05,
    5.12229709037114e-08,
    -8.60467152213735e-11,
    2.00018790482477e-13,
    -2.76076847742355e-16,
)
EVEN = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
"""Coefficients of x, x³, … above and of 1, x², … below the fraction that stands for the tangent in single precision;
those of the rational approximation in Eigen, https://eigen.tuxfamily.org."""
SATURATED = 7.90531110763549805
"""From here on the fraction is taken as it is here."""
POWERS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""Coefficients of x⁷ … x² in e^x for |x| ≤ ½ log 2, in single precision."""
LOGARITHMS = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""Those of x¹¹ … x³ in log(1 + x) for 1 + x from ½√2 to √2; all of them, and the two parts of log 2, are those of
Cephes, https://www.netlib.org/cephes."""
LOG_2 = (0.693359375, -2.12194440e-4)
"""In two parts, so that multiples of the first are exact."""
LARGEST = 87.3
"""Exponents beyond ± that are taken for it."""


def sources_digest(*files: str) -> int:
    """A number that changes with the source of these functions and of `files`: see `sim.simulator`."""
    return crc32(b"".join(Path(source).read_bytes() for source in (__file__, *files)))


def compiled(function: F) -> F:
    """Compile a part of a loop with numba."""
    return _compiled(function, {"contract", "arcp", "nsz", "reassoc"})


def in_order(function: F) -> F:
    """As `compiled`, but sums are made as they are written: parts of a number that belong together stay apart."""
    return _compiled(function, {"contract", "nsz"})


def _compiled(function: F, fast: set[str]) -> F:
    untyped = dict[str, Any](_nrt=False)
    return cast(F, njit(nogil=True, error_model="numpy", fastmath=fast, **untyped)(function))


@compiled
def tanh(x: Any, y: Any) -> None:
    """Hyperbolic tangents of `x` into `y`, of one length; in single precision within 3e-7."""
    if y.itemsize != 4:
        for i in range(len(y)):
            y[i] = np.tanh(x[i])
        return
    of = y.dtype.type
    a1, a3, a5, a7 = of(ODD[0]), of(ODD[1]), of(ODD[2]), of(ODD[3])
    a9, a11, a13 = of(ODD[4]), of(ODD[5]), of(ODD[6])
    b0, b2, b4, b6 = of(EVEN[0]), of(EVEN[1]), of(EVEN[2]), of(EVEN[3])
    most = of(SATURATED)
    for i in range(len(y)):
        z = min(max(x[i], -most), most)
        s = z * z
        above = z * (a1 + s * (a3 + s * (a5 + s * (a7 + s * (a9 + s * (a11 + s * a13))))))
        y[i] = above / (b0 + s * (b2 + s * (b4 + s * b6)))


@compiled
def through_tanh(of_y: Any, y: Any, of_x: Any) -> None:
    """Gradients before a tangent that came to `y`."""
    one = y.dtype.type(1)
    for i in range(len(y)):
        of_x[i] = of_y[i] * (one - y[i] * y[i])


@in_order
def exp(x: Any) -> None:
    """`e^x` in place; in single precision within a share of 1e-7, and several at a time, where no call stands."""
    if x.itemsize != 4:
        for i in range(len(x)):
            x[i] = np.exp(x[i])
        return
    of, one = x.dtype.type, x.dtype.type(1)
    c0, c1, c2 = of(POWERS[0]), of(POWERS[1]), of(POWERS[2])
    c3, c4, c5 = of(POWERS[3]), of(POWERS[4]), of(POWERS[5])
    high, low, by, most, half = of(LOG_2[0]), of(LOG_2[1]), of(1 / np.log(2)), of(LARGEST), of(0.5)
    for i in range(len(x)):
        z = min(max(x[i], -most), most)
        k = np.floor(z * by + half)
        r = (z - k * high) - k * low
        found = ((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + c5
        power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
        x[i] = (found * r * r + r + one) * power


@in_order
def log(x: Any) -> None:
    """Logarithms in place, of normal numbers above 0 (of others something finite); likewise, within a share of 2e-7."""
    if x.itemsize != 4:
        for i in range(len(x)):
            x[i] = np.log(x[i])
        return
    of, one, half = x.dtype.type, x.dtype.type(1), x.dtype.type(0.5)
    c0, c1, c2 = of(LOGARITHMS[0]), of(LOGARITHMS[1]), of(LOGARITHMS[2])
    c3, c4, c5 = of(LOGARITHMS[3]), of(LOGARITHMS[4]), of(LOGARITHMS[5])
    c6, c7, c8 = of(LOGARITHMS[6]), of(LOGARITHMS[7]), of(LOGARITHMS[8])
    high, low, middle = of(LOG_2[0]), of(LOG_2[1]), of(np.sqrt(0.5))
    for i in range(len(x)):
        stored = np.float32(x[i]).view(np.int32)
        z = np.int32((stored & np.int32(0x7FFFFF)) | np.int32(0x3F000000)).view(np.float32)
        less = z < middle
        k = of((stored >> np.int32(23)) - np.int32(126)) - (one if less else of(0))
        z = (z + z if less else z) - one
        cubic = (((((((c0 * z + c1) * z + c2) * z + c3) * z + c4) * z + c5) * z + c6) * z + c7) * z + c8
        square = z * z
        x[i] = (z + (z * square * cubic + k * low - half * square)) + k * high


@compiled
def copy(x: Any, y: Any) -> None:
    """`y = x`."""
    for i in range(len(y)):
        y[i] = x[i]


@compiled
def add(x: Any, y: Any) -> None:
    """`y += x`."""
    for i in range(len(y)):
        y[i] += x[i]


@compiled
def add_halves(x: Any, y: Any, z: Any) -> None:
    """`z = (x + y) / 2`: the logistic function is half of 1 and the tangent of this."""
    half = z.dtype.type(0.5)
    for i in range(len(z)):
        z[i] = half * (x[i] + y[i])


@compiled
def add_scalar(x: Any, y: Any) -> None:
    """`y += x` for a number `x`."""
    for i in range(len(y)):
        y[i] += x


@compiled
def add_product(weight: Any, x: Any, y: Any) -> None:
    """`y` `[O, C] += weight` `[F, O]`ᵀ `@ x` `[F, C]`, for few outputs: then a library's product is slow."""
    for o in range(len(y)):
        to = y[o]
        for f in range(len(x)):
            of, share = x[f], weight[f, o]
            for i in range(len(to)):
                to[i] += share * of[i]


@compiled
def add_narrow_products(x: Any, y: Any, weight: Any) -> None:
    """`weight` `[F, O] += x` `[F, C] @ y` `[O, C]`ᵀ, for few outputs."""
    for f in range(len(x)):
        for o in range(len(y)):
            weight[f, o] += inner(x[f], y[o])


@compiled
def inner(x: Any, y: Any) -> Any:
    """The inner product of two vectors."""
    total = x.dtype.type(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@compiled
def total(x: Any) -> Any:
    """The sum of a vector."""
    found = x.dtype.type(0)
    for i in range(len(x)):
        found += x[i]
    return found


@compiled
def turned(x: Any, y: Any) -> None:
    """`y` `[F, C]` = the transpose of `x` `[C, F]`."""
    for i in range(len(y)):
        row = y[i]
        for c in range(len(row)):
            row[c] = x[c, i]


@compiled
def gather(x: Any, at: Any, y: Any) -> None:
    """Rows `y` `[F, R·C]` of features from vectors `x` `[V, C]`: those `at` `[R, F]`."""
    rows, size = at.shape
    c = x.shape[1]
    for f in range(size):
        for r in range(rows):
            copy(x[at[r, f]], y[f, r * c : (r + 1) * c])


@compiled
def scatter(y: Any, at: Any, x: Any) -> None:
    """Add `y` to where `gather` took it from."""
    rows, size = at.shape
    c = x.shape[1]
    for f in range(size):
        for r in range(rows):
            add(y[f, r * c : (r + 1) * c], x[at[r, f]])


@compiled
def spread(y: Any, row_of: Any, grid: Any) -> None:
    """Add to every cell of `grid` `[F, G·C]` its row of `y` `[F, R·C]`."""
    c = grid.shape[1] // len(row_of)
    for f in range(len(grid)):
        for g in range(len(row_of)):
            r = row_of[g]
            add(y[f, r * c : (r + 1) * c], grid[f, g * c : (g + 1) * c])


@compiled
def collect(grid: Any, row_of: Any, y: Any) -> None:
    """Sums of the cells of `grid` `[F, G·C]` by their rows: `y` `[F, R·C]`."""
    c = grid.shape[1] // len(row_of)
    y[:] = 0
    for f in range(len(grid)):
        for g in range(len(row_of)):
            r = row_of[g]
            add(grid[f, g * c : (g + 1) * c], y[f, r * c : (r + 1) * c])


@compiled
def scale(share: Any, y: Any) -> None:
    """`y *= share` for a number."""
    for f in range(len(y)):
        row = y[f]
        for i in range(len(row)):
            row[i] *= share


@compiled
def largest(grid: Any, y: Any) -> None:
    """Maxima over all cells of `grid` `[F, G·C]`: `y` `[F, C]`."""
    c = y.shape[1]
    for f in range(len(grid)):
        found = y[f]
        copy(grid[f, :c], found)
        for start in range(c, grid.shape[1], c):
            cell = grid[f, start : start + c]
            for i in range(c):
                found[i] = cell[i] if cell[i] > found[i] else found[i]


@compiled
def share_largest(of_y: Any, y: Any, grid: Any, count: Any, of_grid: Any) -> None:
    """Add the gradients `of_y` of `largest` to those of the grid; several that are largest share one.

    `count` `[C]` is overwritten.
    """
    c = y.shape[1]
    one, zero = of_y.dtype.type(1), of_y.dtype.type(0)
    for f in range(len(grid)):
        found, of_found = y[f], of_y[f]
        count[:] = 0
        for start in range(0, grid.shape[1], c):
            cell = grid[f, start : start + c]
            for i in range(c):
                count[i] += one if cell[i] == found[i] else zero
        for i in range(c):
            count[i] = of_found[i] / count[i]
        for start in range(0, grid.shape[1], c):
            cell, of_cell = grid[f, start : start + c], of_grid[f, start : start + c]
            for i in range(c):
                of_cell[i] += count[i] if cell[i] == found[i] else zero
