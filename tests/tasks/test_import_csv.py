"""Load from tables of text: totals stay, and what a table leaves open is asked for."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.files import load_task
from lwmecps_core.tasks.importers import tables
from lwmecps_core.tasks.importers.assemble import with_load
from lwmecps_core.tasks.importers.csv_load import read_csv
from lwmecps_core.tasks.importers.loads import Load, stations_wanted
from lwmecps_core.tasks.importers.options import CsvOptions, LoadOptions
from lwmecps_core.tasks.importers.output import to_json, to_yaml
from lwmecps_core.tasks.workload import users_table
from tests.tasks.imported import refusal, requests_of, task_in, task_of

WIDE = "time,bs1,bs2,bs10\n2026-01-01T00:00:00Z,1,2,3\n2026-01-01T00:01:00Z,4,5,6\n2026-01-01T00:02:00Z,7,8,9.5\n"
LONG = """\
t;node;svc;v
01/01/2026 00:00;bs1;web;10
01/01/2026 00:00;bs2;web;20
01/01/2026 00:00;bs2;db;20
01/01/2026 00:01;bs2;db;10
01/01/2026 00:01;bs1;web;10
01/01/2026 00:01;bs2;web;30
"""
AT_WIDE: dict[str, Any] = {"unit": "requests", "step": "60s", "time": "time", "time_format": "iso"}
AT_LONG: dict[str, Any] = {
    "unit": "rps",
    "step": "1min",
    "time": "t",
    "time_format": "%d/%m/%Y %H:%M",
    "timezone": "UTC",
    "value": "v",
    "node": "node",
    "deployment": "svc",
    "delimiter": ";",
}
CLUSTER = """\
node_name: [bs1, bs2, bs10]
max_hardware: {cpu: 8, ram: 16Gi}
deployments: [{name: web, node: bs2}, {name: db, node: bs2}, {name: cdn, node: bs10}]
workload: {pattern: uniform, base_users: {bs1: 1, bs2: 2, bs10: 5}}
"""


def read(folder: Path, text: str, options: dict[str, Any], top: int | None = None, stations: Any = ()) -> Load:
    (folder / "load.csv").write_text(text)
    return read_csv([folder / "load.csv"], CsvOptions(**options), top, stations)


def cluster(folder: Path) -> TaskSpec:
    return task_in(folder, CLUSTER)


def refused(folder: Path, text: str, options: dict[str, Any]) -> str:
    return refusal(lambda: read(folder, text, options))


def test_a_wide_table_is_a_column_per_node_and_keeps_its_requests(tmp_path: Path) -> None:
    task = task_of(read(tmp_path, WIDE, AT_WIDE))
    assert [node.name for node in task.cluster.nodes] == ["bs1", "bs2", "bs10"]
    assert task.workload.recorded_step_s == 60.0
    assert requests_of(task) == pytest.approx(45.5, rel=1e-9)
    assert users_table(task)[:, 2].tolist() == pytest.approx([3 / 60] * 6 + [6 / 60] * 6 + [9.5 / 60] * 6)


def test_a_long_table_has_nodes_and_deployments(tmp_path: Path) -> None:
    load = read(tmp_path, LONG, AT_LONG)
    task = task_of(load)
    assert [d.name for d in task.deployments] == ["web", "db"]
    assert [d.allowed_nodes for d in task.deployments] == [("bs2",), ("bs2",)]
    assert task.workload.recorded_users == ((10.0, 40.0), (10.0, 40.0))
    assert task.workload.share == ((1.0, 0.0), (0.625, 0.375))
    assert load.requests == requests_of(task) == 6000.0


@pytest.mark.parametrize(("unit", "factor"), [("rps", 60.0), ("requests", 1.0), ("users", 6.0)])
def test_what_numbers_are_is_their_unit(tmp_path: Path, unit: str, factor: float) -> None:
    task = task_of(read(tmp_path, WIDE, {**AT_WIDE, "unit": unit, "request_interval": "10s"}))
    assert requests_of(task) == pytest.approx(45.5 * factor, rel=1e-9)
    if unit == "users":
        assert task.workload.recorded_users[0] == pytest.approx((1.0, 2.0, 3.0))


def test_users_without_their_interval_are_refused(tmp_path: Path) -> None:
    assert "--request-interval 10s" in refused(tmp_path, WIDE, {**AT_WIDE, "unit": "users"})


def test_load_comes_to_the_nodes_of_a_cluster_by_name(tmp_path: Path) -> None:
    mixed = "\n".join(",".join(row.split(",")[i] for i in (0, 3, 1, 2)) for row in WIDE.split())
    template = cluster(tmp_path)
    task = task_of(read(tmp_path, mixed, AT_WIDE), template)
    assert task.cluster == template.cluster and task.deployments == template.deployments
    assert task.workload.share == template.workload.share
    assert task.workload.recorded_users[0] == pytest.approx((1 / 60, 2 / 60, 3 / 60))


def test_other_names_are_refused_with_both_lists_and_joined_as_told(tmp_path: Path) -> None:
    other = read(tmp_path, WIDE.replace("bs10", "x"), AT_WIDE)
    template = cluster(tmp_path)
    with pytest.raises(InvalidInput, match=r"series without a node: x; nodes without load: bs10.*--at SERIES=NODE"):
        task_of(other, template)
    assert task_of(other, template, at=("x=bs10",)).workload.recorded_users[2][2] == pytest.approx(9.5 / 60)
    with pytest.raises(InvalidInput, match="is no SERIES=NODE"):
        task_of(other, template, at=("y=bs10",))
    fewer = read(tmp_path, WIDE, {**AT_WIDE, "columns": ("bs1", "bs2")})
    with pytest.raises(InvalidInput, match="nodes without load: bs10"):
        task_of(fewer, template)
    assert task_of(fewer, template, idle_nodes=True).workload.recorded_users[0][2] == 0.0


def test_a_load_without_places_is_spread_as_the_clusters_users_are(tmp_path: Path) -> None:
    table = "t,value\n0,80\n1,160\n"
    options = {"unit": "rps", "step": "5min", "time": "t", "time_format": "steps", "value": "value"}
    made = with_load(read(tmp_path, table, options), cluster(tmp_path), LoadOptions())
    assert isinstance(made.item, TaskSpec)
    assert made.item.workload.recorded_users == ((10.0, 20.0, 50.0), (20.0, 40.0, 100.0))
    assert any("in proportion to the cluster file's users" in note for note in made.notes)


def test_deployments_without_a_node_are_asked_at_their_homes(tmp_path: Path) -> None:
    load = read(tmp_path, LONG.replace("node;", "place;"), {**AT_LONG, "node": "", "duplicates": "sum"})
    task = task_of(load, cluster(tmp_path), idle_nodes=True)
    assert task.workload.recorded_users == ((0.0, 50.0, 0.0), (0.0, 50.0, 0.0))
    assert task.workload.share[1] == pytest.approx((0.7, 0.3, 0.0))
    with pytest.raises(InvalidInput, match="deployments web are none of the cluster file's"):
        (tmp_path / "cluster.yaml").write_text(CLUSTER.replace("name: web", "name: app"))
        task_of(load, load_task(tmp_path / "cluster.yaml"), idle_nodes=True)  # type: ignore[arg-type]


def test_series_that_are_too_many_are_dealt_or_dropped_with_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{t},n{i},{i}\n" for t in range(3) for i in range(1, 301))
    options = {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps", "value": "v", "node": "n"}
    table = f"t,n,v\n{rows}"
    with pytest.raises(InvalidInput, match="300 series would be as many nodes"):
        task_of(read(tmp_path, table, options))
    stations = stations_wanted(LoadOptions(stations=3), None, True)
    dealt = read(tmp_path, table, options, stations=stations)
    assert requests_of(task_of(dealt)) == dealt.requests == 3 * 45_150
    assert dealt.rps[0].tolist() == pytest.approx([15_050] * 3, rel=0.01)
    busiest = read(tmp_path, table, options, top=2)
    assert [one.node for one in busiest.series] == ["n300", "n299"]
    assert any("1.33% of the load is kept" in note for note in busiest.notes)
    assert any("135,450 in the source, 1,797 in the task" in n for n in with_load(busiest, None, LoadOptions()).notes)


def test_a_distribution_is_under_the_load_too(tmp_path: Path) -> None:
    item = with_load(read(tmp_path, WIDE, AT_WIDE), None, LoadOptions(family="load_balancing", horizon=30)).item
    assert isinstance(item, TaskDistribution) and item.nodes == 3 and item.recorded_step_s == 60.0
    (tmp_path / "d.yaml").write_text("".join(to_yaml(item)))
    assert load_task(tmp_path / "d.yaml") == item
    with pytest.raises(InvalidInput, match="--speedup can't hold"):
        with_load(read(tmp_path, WIDE, AT_WIDE), None, LoadOptions(family="mec_city", speedup=2.0))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_file_that_is_written_is_read_back_equal(tmp_path: Path, form: str) -> None:
    table = "t,no\n0,1e-7\n1,0.1\n2,123456789.125\n"
    task = task_of(read(tmp_path, table, {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps"}))
    text = "".join(to_yaml(task, ["one\nnote"]) if form == "yaml" else to_json(task))
    (tmp_path / f"task.{form}").write_text(text)
    assert load_task(tmp_path / f"task.{form}") == task


def test_pieces_of_any_size_give_the_same_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    names = ["a", '"b, c"', '"d ""e"""', "f"]
    rows = [(t, name, round(rng.expovariate(0.01), 5)) for t in range(50) for name in names]
    table = "\ufeff" + "t,n,v\r\n" + "\r\n".join(f"{t},{name},{v}" for t, name, v in rows)
    options = {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps", "value": "v", "node": "n"}
    whole = read(tmp_path, table, options)
    assert [one.node for one in whole.series] == ["a", "b, c", 'd "e"', "f"]
    assert whole.rps.sum() == pytest.approx(sum(v for *_, v in rows), rel=1e-12)
    for piece, most in ((32, 2), (61, 1000), (1 << 22, 7)):
        monkeypatch.setattr(tables, "PIECE", piece)
        monkeypatch.setattr(tables, "MOST_ROWS", most)
        again = read(tmp_path, table, options)
        assert again.series == whole.series and np.array_equal(again.rps, whole.rps)


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_compressed_tables_are_read_as_they_are(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"load.csv.{ending}"
    with tables.OPEN[f".{ending}"](file, "wb") as out:
        out.write(WIDE.encode())
    assert read_csv([file], CsvOptions(**AT_WIDE)).requests == pytest.approx(45.5)


def test_days_in_files_of_their_own_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(WIDE)
    (tmp_path / "2.csv").write_text(
        WIDE.replace("T00:0", "T00:1").replace("T00:10", "T00:03").replace("T00:11", "T00:04")
    )
    (tmp_path / "2.csv").write_text((tmp_path / "2.csv").read_text().replace("T00:12", "T00:05"))
    load = read_csv([tmp_path / "1.csv", tmp_path / "2.csv"], CsvOptions(**AT_WIDE))
    assert len(load.rps) == 6 and load.requests == 91.0


TIMES = {
    "unix-s": ["1767225600", "1767225660"],
    "unix-ms": ["1767225600000", "1767225660000"],
    "unix-ns": ["1767225600000000000", "1767225660000000000"],
    "iso": ["2026-01-01T01:00:00+01:00", "2026-01-01 00:01:00.000Z"],
    "%Y%m%d %H%M %z": ["20260101 0000 +0000", "20260101 0501 +0500"],
}


@pytest.mark.parametrize("form", TIMES)
def test_times_are_read_in_the_format_that_is_named(tmp_path: Path, form: str) -> None:
    table = "time,a\n" + "".join(f"{time},{i}\n" for i, time in enumerate(TIMES[form]))
    load = read(tmp_path, table, {**AT_WIDE, "time_format": form})
    assert load.rps.shape == (2, 1) and any("2026-01-01T00:00:00Z to 2026-01-01T00:02:00Z" in n for n in load.notes)


def test_local_times_need_their_zone_and_follow_its_clocks(tmp_path: Path) -> None:
    hours = ["2026-03-29 01:00", "2026-03-29 03:00"]  # the clocks go forward in between
    table = "time,a\n" + "".join(f"{hour},1\n" for hour in hours)
    options = {**AT_WIDE, "step": "1h"}
    assert "names no time zone: say --timezone UTC" in refused(tmp_path, table, options)
    assert len(read(tmp_path, table, {**options, "timezone": "Europe/Berlin"}).rps) == 2
    assert "1 gaps" in refused(tmp_path, table, {**options, "timezone": "UTC"})
    twice = "time,a\n2026-10-25 02:00,1\n2026-10-25 02:00,2\n"
    assert "clocks that go back" in refused(tmp_path, twice, {**options, "timezone": "Europe/Berlin"})
    assert "no time zone" in refused(tmp_path, table, {**options, "timezone": "Mars/Base"})


def test_gaps_are_refused_or_filled_as_told(tmp_path: Path) -> None:
    table = "t,a,b\n0,1,8\n1,,8\n3,4,8\n"
    options = {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps"}
    assert "a has no value at step 1, one of 3 gaps in 4 steps" in refused(tmp_path, table, options)
    for gaps, column in (("zero", [1, 0, 0, 4]), ("last", [1, 1, 1, 4]), ("linear", [1, 2, 3, 4])):
        load = read(tmp_path, table, {**options, "gaps": gaps})
        assert load.rps[:, 0].tolist() == pytest.approx(column)
        assert any("3 steps of series had no value" in note for note in load.notes)
    late = "t,a,b\n0,,8\n1,4,8\n"
    assert "a has no value before step 1" in refused(tmp_path, late, {**options, "gaps": "last"})


def test_duplicates_are_refused_or_joined_as_told(tmp_path: Path) -> None:
    table = "t,n,v\n0,a,1\n0,a,3\n1,a,5\n"
    options = {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps", "value": "v", "node": "n"}
    assert "line 3: a at step 0 has a value already" in refused(tmp_path, table, options)
    for how, first in (("sum", 4), ("mean", 2), ("max", 3), ("last", 3)):
        load = read(tmp_path, table, {**options, "duplicates": how})
        assert load.rps[:, 0].tolist() == [first, 5]


def test_rows_out_of_order_go_where_their_time_is_and_are_said(tmp_path: Path) -> None:
    table = "t,n,v\n5,a,1\n7,a,3\n6,a,2\n4,a,0\n"
    options = {"unit": "rps", "step": "1s", "time": "t", "time_format": "steps", "value": "v", "node": "n"}
    load = read(tmp_path, table, options)
    assert load.rps[:, 0].tolist() == [0, 1, 2, 3]
    assert any("2 values are older than one before (load.csv, line 4)" in note for note in load.notes)


def test_times_between_steps_are_refused_or_aligned_as_told(tmp_path: Path) -> None:
    table = "time,n,v\n2026-01-01T00:00:10Z,a,1\n2026-01-01T00:00:50Z,a,2\n2026-01-01T00:01:05Z,a,4\n"
    options = {**AT_WIDE, "value": "v", "node": "n"}
    assert "line 3: 2026-01-01T00:00:50Z is no whole number of steps of 60 s" in refused(tmp_path, table, options)
    load = read(tmp_path, table, {**options, "align": "floor", "duplicates": "sum"})
    assert (60 * load.rps[:, 0]).tolist() == pytest.approx([3, 4])
    jitter = "time,n,v\n2026-01-01T00:00:00Z,a,1\n2026-01-01T00:00:59Z,a,2\n2026-01-01T00:02:01Z,a,4\n"
    assert read(tmp_path, jitter, {**options, "align": "nearest"}).rps.shape == (3, 1)


BAD = {
    "negative": (WIDE.replace(",5,", ",-5,"), {}, "load.csv: line 3, bs2: '-5' is below 0"),
    "nan": (WIDE.replace("9.5", "NaN"), {}, "line 4, bs10: 'NaN' is no finite number"),
    "text": (WIDE.replace(",2,", ",2 apples,"), {}, "line 2, bs2: '2 apples' is no number"),
    "infinite": (WIDE.replace(",2,", ",1e999,"), {}, "line 2, bs2: '1e999' is no finite number"),
    "time": (WIDE.replace("T00:01:00Z", "T00:61:00Z"), {}, "line 3, time: '2026-01-01T00:61:00Z' is no date and time"),
    "date": (WIDE.replace("2026-01-01T00:01", "2026-02-30T00:01"), {}, "line 3, time"),
    "fields": (WIDE.replace(",4,5,6", ",4,5"), {}, "line 3: has 3 fields, but the header has 4 columns"),
    "quote": (WIDE.replace(",4,", ',"4,'), {}, "a quote that nothing closes"),
    "behind a quote": (WIDE.replace(",4,", ',"4"x,'), {}, "line 3: a quote"),
    "empty": ("", {}, "line 1: must be a header"),
    "no rows": ("time,a\n", {}, "holds no value"),
    "column": (WIDE, {"time": "t"}, "--time: no column 't' among time, bs1, bs2, bs10"),
    "twice": (WIDE.replace("bs2", "bs1"), {}, "columns stand twice: 'bs1'"),
    "no unit of time": (WIDE, {"step": "60"}, "--step: '60' is no length of time with a unit"),
    "no format": (WIDE, {"time_format": ""}, "say how times are written"),
    "unknown format": (WIDE, {"time_format": "rfc"}, "'rfc' is none of unix-s"),
    "seconds for milliseconds": (WIDE, {"time_format": "unix-ms"}, "is no number"),
    "wide with a node": (WIDE, {"node": "bs1"}, "--value must say where its number stands"),
    "delimiter": (WIDE, {"delimiter": "ab"}, "is not one plain character"),
    "other delimiter": (WIDE, {"delimiter": ";"}, "no column 'time' among time,bs1,bs2,bs10"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_named_with_file_line_and_value(tmp_path: Path, kind: str) -> None:
    table, changed, said = BAD[kind]
    assert said in refused(tmp_path, table, {**AT_WIDE, **changed})


def test_an_empty_name_and_a_wrong_unit_of_time_are_named(tmp_path: Path) -> None:
    assert "line 2, node: is empty" in refused(tmp_path, LONG.replace("00;bs1;web", "00;;web", 1), AT_LONG)
    table = "time,a\n" + "".join(f"{1767225600000 + 60000 * i},1\n" for i in range(3))
    said = refused(tmp_path, table, {**AT_WIDE, "time_format": "unix-s", "gaps": "zero", "step": "1ms"})
    assert "is past the year 9999: is its unit right" in said
    said = refused(tmp_path, table, {**AT_WIDE, "time_format": "unix-ms", "gaps": "zero", "step": "1us"})
    assert "too many" in said and "is the unit of times right?" in said


def test_a_missing_file_and_one_of_other_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not readable"):
        read_csv([tmp_path / "nowhere.csv"], CsvOptions(**AT_WIDE))
    (tmp_path / "a.csv").write_text(WIDE)
    (tmp_path / "b.csv").write_text(WIDE.replace("bs2", "bs3"))
    with pytest.raises(InvalidInput, match="has other columns than a"):
        read_csv([tmp_path / "a.csv", tmp_path / "b.csv"], CsvOptions(**AT_WIDE))
