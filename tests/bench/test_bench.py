"""The frame of the benchmarks: rounds that alternate, and result files of a fixed form."""

import json
from pathlib import Path

from bench.__main__ import BENCHMARKS
from bench.report import BenchRow, write
from bench.timing import interleave, median_latency_us, rate

ROOT = Path(__file__).resolve().parents[2]


def test_measured_and_reference_rounds_alternate_and_warm_up_does_not_count() -> None:
    order: list[str] = []
    figures = iter([1000.0, 10.0, 20.0, 90.0])

    def ours() -> float:
        order.append("ours")
        return next(figures)

    def theirs() -> float:
        order.append("theirs")
        return 10.0

    pair = interleave(ours, theirs, rounds=3, warm_up=1)
    assert order == ["ours", "theirs"] * 4
    assert (pair.measured, pair.reference, pair.ratio) == (20.0, 10.0, 2.0)


def test_rate_counts_the_units_of_the_work() -> None:
    calls = []

    def work() -> int:
        calls.append(sum(range(1000)))
        return 7

    assert rate(work, 0.01) > 0
    assert calls
    assert median_latency_us(lambda: None, 10) >= 0


def test_results_have_the_agreed_form(tmp_path: Path) -> None:
    row = BenchRow("step_unary", 500.0, "us", 1.5, "an empty echo", "<= 2 times", True, {"reference": 333.0})
    write([row], {"bench": 1}, tmp_path / "latest.json")
    assert json.loads((tmp_path / "latest.json").read_text()) == [
        {
            "name": "step_unary",
            "value": 500.0,
            "unit": "us",
            "ratio": 1.5,
            "against": "an empty echo",
            "floor": "<= 2 times",
            "met": True,
        }
    ]
    meta = json.loads((tmp_path / "latest.meta.json").read_text())
    assert meta["seeds"] == {"bench": 1}
    assert meta["details"]["step_unary"] == {"reference": 333.0}
    assert meta["machine"]["cores"] >= 1
    assert "numba" in meta["versions"]


def test_every_benchmark_has_a_file_and_a_place_in_the_readme() -> None:
    readme = (ROOT / "bench" / "README.md").read_text()
    for name in BENCHMARKS:
        assert (ROOT / "bench" / f"{name}.py").is_file()
        assert f"`{name}`" in readme
