"""Functions of numbers in compiled loops, beside the libraries'."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from lwmecps_core.algorithms import loops


@pytest.mark.parametrize(("kind", "within"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_powers_of_e_and_logarithms_are_those_of_numpy(kind: DTypeLike, within: float) -> None:
    x = np.linspace(-87.0, 87.0, 20_011).astype(kind)
    found = x.copy()
    loops.exp(found)
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1.0).max() < within
    powers = np.exp(np.concatenate([x[::7], np.linspace(-1e-2, 1e-2, 101)])).astype(kind)
    found = powers.copy()
    loops.log(found)
    expected = np.log(powers.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=within, atol=1e-9)


def test_exponents_beyond_all_measure_are_taken_for_the_last_and_none_is_made_of_none() -> None:
    x = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan, 0.0], np.float32)
    loops.exp(x)
    assert x[0] == x[1] > 0.0 and np.isfinite(x[2]) and x[2] == x[3] and np.isnan(x[4]) and x[5] == 1.0
