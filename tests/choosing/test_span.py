"""Numbers are drawn from their range on their scale, and varied within it."""

import numpy as np
import pytest

from lwmecps_core.choosing.span import Span
from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput

RNG = np.random.default_rng(0)


def test_each_order_of_magnitude_is_as_likely_on_the_scale_log() -> None:
    drawn = np.array([Span(low=1e-4, high=1e-1).drawn(RNG) for _ in range(3000)])
    assert drawn.min() >= 1e-4 and drawn.max() <= 1e-1
    np.testing.assert_allclose(np.histogram(np.log10(drawn), (-4, -3, -2, -1))[0] / 3000, 1 / 3, atol=0.04)


def test_a_discount_is_drawn_and_varied_by_what_it_lacks_to_1() -> None:
    span = Span(low=0.9, high=0.999, scale="complement")
    drawn = np.array([span.drawn(RNG) for _ in range(3000)])
    assert drawn.min() >= 0.9 and drawn.max() <= 0.999
    assert np.median(drawn) == pytest.approx(0.99, abs=0.002)
    assert span.varied(0.95, 1.2) == pytest.approx(0.94) and span.varied(0.95, 0.8) == pytest.approx(0.96)
    assert span.varied(0.91, 1.2) == pytest.approx(0.9)


def test_on_the_scale_linear_each_part_is_as_likely() -> None:
    drawn = np.array([Span(low=0.0, high=2.0, scale="linear").drawn(RNG) for _ in range(3000)])
    np.testing.assert_allclose(np.histogram(drawn, (0, 0.5, 1, 1.5, 2))[0] / 3000, 0.25, atol=0.04)
    assert Span(low=0.0, high=2.0, scale="linear").varied(1.9, 1.2) == 2.0


def test_a_whole_number_stays_one_and_moves() -> None:
    span = Span(low=1, high=8, whole=True)
    assert {span.drawn(RNG) for _ in range(300)} == set(range(1, 9))
    assert [span.varied(x, 1.2) for x in (1, 2, 5, 8)] == [2, 3, 6, 8]
    assert [span.varied(x, 0.8) for x in (1, 2, 5, 8)] == [1, 1, 4, 6]
    assert type(span.varied(2, 1.2)) is int


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"low": 2, "high": 1}, "low 2 must be below high 1"),
        ({"low": 0, "high": 1}, "low 0 must be above 0 on the scale log"),
        ({"low": 0.5, "high": 1, "scale": "complement"}, "high 1 must be below 1"),
        ({"low": 1.5, "high": 3, "whole": True}, "must be whole numbers"),
        ({"low": float("nan"), "high": 3}, "low"),
        ({"low": 1, "high": 3, "scale": "square"}, "scale"),
    ],
)
def test_a_range_that_can_not_be_is_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse(Span, given, "numbers.x")
