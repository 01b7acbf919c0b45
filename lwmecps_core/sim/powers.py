"""Powers of e and logarithms of many numbers in single precision, as compiled loops of vectors.

A library's are a call for each number, some five nanoseconds; these take half of one.
"""

from math import log as log_of_one
from typing import Any

import numpy as np
from numba import njit

POWERS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""Coefficients of r⁷, …, r² of e^r for |r| ≤ ln 2 / 2 in single precision; those of Cephes' expf,
https://www.netlib.org/cephes."""
LN_2 = (0.693359375, -2.12194440e-4)
"""In two parts, of which the first has so few digits that its multiples are exact."""
LEAST_EXPONENT = -87.0
"""Powers are taken no further down: below, numbers lose digits and time."""
LOGS = (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841)
"""Coefficients of s³, s⁵, s⁷, s⁹, beside 2s, of ln((1 + s) / (1 − s)); those of FreeBSD's logf,
https://git.musl-libc.org."""
ONE, ROOT_HALF, MANTISSA = 0x3F800000, 0x3F3504F3, 0x007FFFFF
"""Bits of 1 and of √½, and which of them are a number's digits."""


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})  # sums are in the order in which they stand
def exp(x: Any, y: Any, bits: Any) -> None:
    """`y = e^x` for x up to 80, in single precision within 2e-7 of the result, and e^-87 for lower x.

    `bits` `[≥ C]` int32 and the same memory as float32 are overwritten. `y` must lie elsewhere than `x`, or the loop
    is not one of vectors.
    """
    if y.itemsize != 4:
        for i in range(len(y)):
            y[i] = np.exp(x[i])
        return
    whole, power = bits
    of = y.dtype.type
    p0, p1, p2, p3, p4, p5 = of(POWERS[0]), of(POWERS[1]), of(POWERS[2]), of(POWERS[3]), of(POWERS[4]), of(POWERS[5])
    least, per, one, bias, above = of(LEAST_EXPONENT), of(1.0 / log_of_one(2.0)), of(1), of(128), of(128.5)
    high, low = of(LN_2[0]), of(LN_2[1])
    for i in range(len(y)):
        z = max(x[i], least)
        k = np.int32(z * per + above)  # of a positive number, so that this rounds downwards
        n = of(k) - bias
        r = (z - n * high) - n * low
        y[i] = one + r + r * r * (p5 + r * (p4 + r * (p3 + r * (p2 + r * (p1 + r * p0)))))
        whole[i] = (k - np.int32(1)) << np.int32(23)
    for i in range(len(y)):
        y[i] *= power[i]


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def log(x: Any, y: Any, bits: Any) -> None:
    """`y = ln x` in single precision, within 2e-7 of the result or of 1, of normal numbers above 0.

    Of those below, and of what is no number, it is no number; of others some finite one. `x` and `bits` `[≥ C]`: pairs
    of int32 and the same memory as float32, the latter overwritten.
    """
    (given, numbers), (whole, digits) = x, bits
    of = y.dtype.type
    l0, l1, l2, l3 = of(LOGS[0]), of(LOGS[1]), of(LOGS[2]), of(LOGS[3])
    half, two, one, high, low = of(0.5), of(2), of(1), of(LN_2[0]), of(LN_2[1])
    zero, none = of(0), of(np.nan)
    up, root, mask, bias = np.int32(ONE - ROOT_HALF), np.int32(ROOT_HALF), np.int32(MANTISSA), np.int32(127)
    for i in range(len(y)):
        shifted = given[i] + up
        y[i] = of((shifted >> np.int32(23)) - bias)
        whole[i] = (shifted & mask) + root
    for i in range(len(y)):
        f, k = digits[i] - one, y[i]
        s = f / (two + f)
        z = s * s
        half_square = half * f * f
        above = z * (l0 + z * (l1 + z * (l2 + z * l3)))
        found = k * high + (f - (half_square - (s * (half_square + above) + k * low)))
        y[i] = found if numbers[i] >= zero else none
