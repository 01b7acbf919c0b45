"""Curves, as a real Chromium draws them: what stands at their axes."""

from collections.abc import Callable

import pytest

from tests.gateway.system import InProcess

pytest.importorskip("selenium", reason="pip install selenium brings the browser's remote control")
from tests.gateway.browser import MISSING, Page

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def _ends(page: Page, points: list[list[float]]) -> list[str]:
    """What stands at the axes of a curve through `points`: y from below, then x."""
    page.open("/")
    drawn = "return import('/static/charts.js').then((m) => {const made = m.lines([{points: arguments[0]}], 'it');"
    drawn += " document.body.prepend(made); return [...made.querySelectorAll('text')].map((t) => t.textContent)})"
    said: list[str] = page.driver.execute_script(drawn, points)
    return said


@pytest.mark.parametrize(
    ("points", "ends"),
    [
        ([[1, 0.1131], [1234, 0.1134]], ["0.1131", "0.1134", "1", "1234"]),
        ([[0, 1234.5], [12345678, -99.87654]], ["-99.9", "1235", "0", "12345678"]),
        ([[5, 1000.01], [6, 1000.04]], ["1000.01", "1000.04", "5", "6"]),
        ([[1, 0.00011], [2, 0.000141]], ["1.1e-4", "1.41e-4", "1", "2"]),
        ([[1, 0], [2, 0.123456789]], ["0", "0.123", "1", "2"]),
        ([[1, 0.5], [2, 0.5000000001]], ["0.5", "0.5000000001", "1", "2"]),
    ],
)
def test_the_ends_of_an_axis_are_told_apart_and_whole_numbers_are_whole(
    system: InProcess, window: Callable[..., Page], points: list[list[float]], ends: list[str]
) -> None:
    page = window(system.url)
    assert _ends(page, points) == ends
    least = "return Math.min(...[...document.querySelectorAll('svg text')].map((t) => t.getBBox().x))"
    assert page.driver.execute_script(least) >= 0, "no number may be cut"


def test_a_single_point_and_a_level_curve_have_one_tick(system: InProcess, window: Callable[..., Page]) -> None:
    page = window(system.url)
    assert _ends(page, [[6, 0.5]]) == ["0.5", "6"]
    middles = "return [...document.querySelectorAll('svg circle, svg text:last-of-type')].map((x) => x.getBBox())"
    tick, dot = (box["x"] + box["width"] / 2 for box in page.driver.execute_script(middles))
    assert abs(tick - dot) < 1, "the step stands under its point"
    assert _ends(page, [[1, 0], [3, 0]]) == ["0", "1", "3"]
    assert _ends(page, [[0, 7.25]]) == ["7.25", "0"]
