"""The demo's arithmetic and files."""

import csv
import json
from dataclasses import replace
from io import StringIO
from math import isnan
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from scipy import stats

from lwmecps_core.reporting.texts import signed
from lwmecps_core.results import POWER, SIGNED, Row
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.statistics import interval, paired_difference, summarise
from lwmecps_core.tasks.families import draw
from services.cli.demo_plots import plot_adaptation, plot_placement
from services.cli.render import WIDE
from services.cli.results import comparison_table, gap_closed, matrix_table, summary_table, write_results

KEYS = {
    "method",
    "inner_steps",
    "reward_mean",
    "reward_ci95",
    "latency_mean_ms",
    "latency_p95_ms",
    "replicas_mean",
    "sla_miss_share",
    "moves_mean",
    "load_correlation",
    "env_steps",
    "wall_s",
    "episode",
    "support_reward_mean",
    *SIGNED,
    *POWER,
}


def _row(task: str, method: str, steps: int, reward: float) -> Row:
    return Row(
        task,
        method,
        steps,
        reward,
        latency_mean_ms=80.0,
        latency_p95_ms=200.0,
        replicas_mean=6.0,
        sla_miss_share=0.01,
        moves_mean=0.5,
        load_correlation=0.7,
        env_steps=480,
        wall_s=0.1,
    )


@pytest.fixture
def rows() -> list[Row]:
    """Three tasks that differ a lot, on each of which adapting gains about the same."""
    base = {"a": -100.0, "b": -50.0, "c": -10.0}
    gains = {("multi_task", 0): 0.0, ("context", 0): 20.0, ("scratch", 5): -40.0, ("oracle", 0): 30.0}
    jitter = {"a": 0.5, "b": 0.0, "c": -0.5}
    return [
        _row(task, method, steps, reward + gain + (jitter[task] if method == "context" else 0.0))
        for (method, steps), gain in gains.items()
        for task, reward in base.items()
    ]


def test_interval_is_students_t_over_tasks() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.95, 3, loc=3.75, scale=stats.sem(values))
    got = interval(values)
    assert got.mean == pytest.approx(3.75)
    assert (got.mean - got.ci95, got.mean + got.ci95) == pytest.approx((low, high))


def test_one_task_gives_no_finite_interval() -> None:
    assert interval([3.0]).ci95 == float("inf")


@pytest.mark.filterwarnings("error")
def test_methods_without_a_task_in_common_differ_by_nothing(rows: list[Row]) -> None:
    apart = [replace(row, task=row.task + row.method) for row in rows]
    found = paired_difference(apart, ("context", 0, 1), ("oracle", 0, 1))
    assert isnan(found.mean) and signed(found) == ""


def test_pairing_over_tasks_finds_what_means_alone_would_hide(rows: list[Row]) -> None:
    knowing = next(s for s in summarise(rows) if s.method == "context")
    paired = paired_difference(rows, ("context", 0), ("multi_task", 0))
    assert knowing.reward_ci95 > 100
    assert paired.mean == pytest.approx(20.0)
    assert paired.excludes_zero and paired.ci95 < 2


def test_gap_is_measured_from_scratch_to_oracle(rows: list[Row]) -> None:
    assert gap_closed(summarise(rows), ("context", 0, 1), ("scratch", 5)) == pytest.approx(60 / 70)


def test_results_have_exactly_the_agreed_keys(rows: list[Row], tmp_path: Path) -> None:
    write_results(tmp_path, 7, rows, summarise(rows))
    result = json.loads((tmp_path / "results.json").read_text())
    assert set(result) == {"seed", "tasks", "rows"}
    assert (result["seed"], result["tasks"]) == (7, 3)
    assert all(set(row) == KEYS for row in result["rows"])
    with (tmp_path / "results.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["multi_task", "context", "scratch", "oracle"]


def test_table_marks_differences_that_exclude_zero(rows: list[Row]) -> None:
    (table,) = comparison_table(rows, summarise(rows)).renderables
    assert isinstance(table, Table)
    advantage = list(table.columns[4].cells)
    assert advantage[0].startswith("+20.0") and advantage[0].endswith("*")
    assert advantage[1] == ""


def test_what_operators_sign_is_cut_nowhere(rows: list[Row]) -> None:
    dear = [replace(row, **dict.fromkeys((*SIGNED, *POWER), 1234.5)) for row in rows]
    printed = Console(file=StringIO(), width=WIDE)
    printed.print(summary_table(dear))
    text = printed.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text and "steady cost/h" in text and text.count("123450.0 %") == 8
    assert len(summary_table(rows).renderables) == 1


def test_both_pictures_are_written(rows: list[Row], tmp_path: Path) -> None:
    plot_adaptation(rows, summarise(rows), tmp_path / "adaptation.png")
    task = draw(TaskDistribution(nodes=2, deployments=2), 0)
    day = {f"{d.name}/{of}": [1.0, 2.0] for d in task.deployments for of in ("rate", "ready", "failed_share")}
    day |= {f"{d.name}/latency_ms": [0.0, 80.0] for d in task.deployments} | {"reward": [-1.0, -2.0]}
    plot_placement("a cluster", task, {"context": day, "hpa_calibrated": day}, tmp_path / "placement.png")
    for name in ("adaptation", "placement"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_episodes_on_a_cluster_are_told_apart(rows: list[Row]) -> None:
    knowing = [r for r in rows if r.method == "context"]
    again = [replace(r, episode=5, reward=r.reward + 1.0, support_reward_mean=-3.0) for r in knowing]
    first, fifth = (s for s in summarise([*rows, *again]) if s.method == "context")
    assert (first.episode, first.support_reward_mean) == (1, None)
    assert (fifth.episode, fifth.support_reward_mean) == (5, -3.0)
    assert paired_difference([*rows, *again], ("context", 0, 5), ("context", 0, 1)).mean == pytest.approx(1.0)


def _shown(rows: list[Row]) -> str:
    out = StringIO()
    Console(file=out, width=WIDE).print(matrix_table(rows))
    return out.getvalue()


def test_a_stream_is_printed_as_its_matrix_with_the_names_of_its_clusters() -> None:
    rows = [_row(task, "m", met, -float(10 * met + j)) for met in range(3) for j, task in enumerate("ab")]
    text = _shown(rows)
    assert "forgetting" in text and "1 a, 2 b" in text
    assert "(-11.00)" in text and "(-21.00)" not in text and "-21.00" in text


def test_of_a_long_stream_only_what_is_read_off_the_matrix_is_printed() -> None:
    rows = [_row(f"t{j}", "m", met, -1.0) for met in range(3) for j in range(13)]
    text = _shown(rows)
    assert "t12" not in text and "average" in text and "(-1.00)" not in text
