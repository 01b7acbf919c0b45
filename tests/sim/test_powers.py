"""Powers of e and logarithms of many numbers, against NumPy's in double precision."""

import numpy as np

from lwmecps_core.sim import powers


def test_powers_are_exact_to_single_precision() -> None:
    x = np.linspace(-86.9, 80.0, 4001, dtype=np.float32)
    y, bits = np.empty_like(x), np.empty(x.shape, np.int32)
    powers.exp(x, y, (bits, bits.view(np.float32)))
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=2e-7)


def test_logarithms_are_exact_to_single_precision_and_none_where_there_is_none() -> None:
    near = np.linspace(0.5, 2.0, 4001)
    x = np.concatenate([near, np.geomspace(1.2e-38, 3.4e38, 4001), [0.0, -1.0, np.inf, np.nan]]).astype(np.float32)
    y, bits = np.empty_like(x), np.empty(x.shape, np.int32)
    powers.log((x.view(np.int32), x), y, (bits, bits.view(np.float32)))
    expected = np.log(x[:-4].astype(np.float64))
    np.testing.assert_array_less(np.abs(y[:-4] - expected), 2e-7 * np.maximum(1.0, np.abs(expected)))
    assert np.isfinite(y[[-4, -2]]).all() and np.isnan(y[[-3, -1]]).all()
