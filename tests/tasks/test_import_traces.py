"""Load in the formats of Azure Functions 2019, of Prometheus and of Alibaba 2022."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.importers.alibaba import read_alibaba
from lwmecps_core.tasks.importers.assemble import with_load
from lwmecps_core.tasks.importers.azure import read_azure
from lwmecps_core.tasks.importers.loads import Load, stations_wanted
from lwmecps_core.tasks.importers.options import AlibabaOptions, AzureOptions, LoadOptions, PrometheusOptions
from lwmecps_core.tasks.importers.prometheus import read_prometheus, refuse_nothing_named
from tests.tasks.imported import requests_of, task_in, task_of

CLUSTER = "node_name: [bs1, bs2]\nmax_hardware: {cpu: 8, ram: 16Gi}\ndeployments: [web, {name: db, node: bs2}]\n"
FUNCTIONS = [
    ("o1", "a1", "f1", "http"),
    ("o1", "a1", "f2", "queue"),
    ("o1", "a2", "f3", "http"),
    ("o2", "a3", "f4", "timer"),
]


def hashed(name: str) -> str:
    return name.ljust(64, "0")


def azure_day(folder: Path, day: int, functions: list[Any], counts: np.ndarray) -> Path:
    file = folder / f"invocations_per_function_md.anon.d{day:02d}.csv"
    lines = ["HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, range(1, 1441)))]
    for (owner, app, function, trigger), row in zip(functions, counts, strict=True):
        lines.append(",".join([*map(hashed, (owner, app, function)), trigger, *map(str, row.tolist())]))
    file.write_text("\n".join(lines) + "\n")
    return file


def azure_durations(folder: Path, rows: list[tuple[str, str, str, float, int]]) -> Path:
    file = folder / "function_durations_percentiles.anon.d01.csv"
    percentiles = [f"percentile_Average_{p}" for p in (0, 1, 25, 50, 75, 99, 100)]
    lines = [",".join(["HashOwner", "HashApp", "HashFunction", "Average", "Count", "Minimum", "Maximum", *percentiles])]
    for owner, app, function, average, count in rows:
        lines.append(",".join([*map(hashed, (owner, app, function)), str(average), str(count), *["1"] * 9]))
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def azure(tmp_path: Path) -> tuple[list[Path], np.ndarray]:
    counts = np.random.default_rng(0).poisson(3.0, (4, 1440))
    files = [azure_day(tmp_path, 2, FUNCTIONS[:3], counts[:3]), azure_day(tmp_path, 1, FUNCTIONS, counts)]
    durations = azure_durations(
        tmp_path, [("o1", "a1", "f1", 100.0, 3), ("o1", "a1", "f2", 20.0, 1), ("o9", "x", "y", 1, 1)]
    )
    return [*files, durations], counts


def cluster(folder: Path) -> TaskSpec:
    return task_in(folder, CLUSTER)


def test_azure_applications_follow_their_days_and_keep_every_invocation(azure: tuple[list[Path], np.ndarray]) -> None:
    files, counts = azure
    load = read_azure(files, AzureOptions())
    assert sorted(one.node for one in load.series) == ["app-a1000000", "app-a2000000", "app-a3000000"]
    task = task_of(load)
    assert requests_of(task) == pytest.approx(counts.sum() + counts[:3].sum(), rel=1e-9) == load.requests
    assert len(task.workload.recorded_users) == 2880 and task.workload.recorded_step_s == 60.0
    first = [one.node for one in load.series].index("app-a1000000")
    assert (60 * load.rps[:1440, first]).tolist() == pytest.approx((counts[0] + counts[1]).tolist())
    assert load.cpu_time_ms[first] == pytest.approx(80.0) and load.cpu_time_ms.count(None) == 2
    assert task.deployments[first].cpu_time_ms == pytest.approx(80.0)


def test_azure_functions_and_triggers_are_chosen_and_what_is_dropped_is_counted(
    azure: tuple[list[Path], np.ndarray],
) -> None:
    files, counts = azure
    load = read_azure(files[:2], AzureOptions(group="function", trigger=("http",)))
    assert len(load.series) == 2
    dropped = counts[1].sum() * 2 + counts[3].sum()
    assert any(f"other triggers are left out: {dropped:,}" in note for note in load.notes)
    assert any("no file of durations" in note for note in load.notes)
    busiest = read_azure(files, AzureOptions(group="owner"), top=1)
    assert [one.node for one in busiest.series] == ["owner-o1000000"]
    assert any("is dropped" in note for note in busiest.notes)


def test_azure_applications_are_dealt_to_a_clusters_nodes(azure: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    files, counts = azure
    template, options = cluster(tmp_path), LoadOptions()
    load = read_azure(files, AzureOptions(), stations=stations_wanted(options, ["bs1", "bs2"], False))
    imported = with_load(load, template, options)
    assert isinstance(imported.item, TaskSpec) and imported.item.cluster == template.cluster
    assert requests_of(imported.item) == pytest.approx(counts.sum() + counts[:3].sum(), rel=1e-9)
    assert any("the data has no places: 3 series are dealt to 2 stations" in note for note in imported.notes)


def test_azure_files_that_are_not_what_they_should_be_are_named(tmp_path: Path) -> None:
    counts = np.ones((4, 1440), int)
    first, third = (azure_day(tmp_path, day, FUNCTIONS, counts) for day in (1, 3))
    with pytest.raises(InvalidInput, match="days 1, 3 don't follow each other"):
        read_azure([first, third], AzureOptions())
    (tmp_path / "memory.csv").write_text("HashOwner,HashApp,SampleCount\n")
    with pytest.raises(InvalidInput, match=r"memory.csv: line 1: has columns HashOwner, HashApp, SampleCount"):
        read_azure([first, tmp_path / "memory.csv"], AzureOptions())
    with pytest.raises(InvalidInput, match="a file of invocations is needed"):
        read_azure([azure_durations(tmp_path, [])], AzureOptions())
    first.write_text(first.read_text().replace("http,1,1", "http,1,-1", 1))
    with pytest.raises(InvalidInput, match=r"d01.csv: line 2, 2: '-1' is below 0"):
        read_azure([first], AzureOptions())


def matrix(*series: tuple[dict[str, str], list[Any]], **more: Any) -> dict[str, Any]:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


def samples(values: list[Any], start: float = 1767225600.0) -> list[Any]:
    return [[start + 60 * i, str(value)] for i, value in enumerate(values)]


def prometheus(folder: Path, answer: Any, **options: Any) -> Load:
    (folder / "answer.json").write_text(json.dumps(answer))
    given = {"unit": "rps", "step": "60s", "node": "node"} | options
    return read_prometheus([folder / "answer.json"], PrometheusOptions(**given))


def test_prometheus_series_come_to_the_nodes_and_deployments_that_labels_name(tmp_path: Path) -> None:
    answer = matrix(
        ({"node": "bs2", "svc": "db"}, samples([1, 2])),
        ({"node": "bs1", "svc": "web"}, samples(["1e1", 20])),
        ({"node": "bs2", "svc": "web"}, samples([3, 3])),
        warnings=["took long"],
    )
    load = prometheus(tmp_path, answer, deployment="svc")
    task = task_of(load, cluster(tmp_path))
    assert task.workload.recorded_users == ((10.0, 4.0), (20.0, 5.0))
    assert task.workload.share[1] == pytest.approx((6 / 9, 3 / 9))
    assert load.requests == pytest.approx(60 * 39.0) and requests_of(task) == pytest.approx(60 * 39.0)
    assert any("Prometheus warned: took long" in note for note in load.notes)


PROMETHEUS_BAD = {
    "vector": ({"status": "success", "data": {"resultType": "vector", "result": []}}, {}, "ask /api/v1/query_range"),
    "error": ({"status": "error", "errorType": "bad_data", "error": "parse"}, {}, "the query failed: bad_data: parse"),
    "nan": (
        matrix(({"node": "a"}, samples([1, "NaN"]))),
        {},
        "data.result[0].values[1]: 'NaN' is no requests per second",
    ),
    "negative": (matrix(({"node": "a"}, samples([-1]))), {}, "values[0]: '-1' is no"),
    "counter": (
        matrix(({"__name__": "http_requests_total", "node": "a"}, samples([1]))),
        {},
        "query rate(http_requests_tot",
    ),
    "label": (matrix(({"instance": "a"}, samples([1]))), {}, "--node: no label 'node' among instance"),
    "duplicate": (matrix(*[({"node": "a", "x": x}, samples([1])) for x in "12"]), {}, "has a value already"),
    "gap": (
        matrix(({"node": "a"}, samples([1])), ({"node": "b"}, samples([1, 2]))),
        {},
        "a has no value at 2026-01-01T00:01",
    ),
    "step": (matrix(({"node": "a"}, samples([1, 2]))), {"step": "25s"}, "no whole number of steps"),
    "list": ([1], {}, "is no answer of Prometheus"),
    "odd sample": (
        matrix(({"node": "a"}, [[1, 2, 3], "x"])),
        {},
        "data.result[0].values[1]: 'x' is no time with a value",
    ),
    "no result": (matrix(), {}, "holds no value"),
}


@pytest.mark.parametrize("kind", PROMETHEUS_BAD)
def test_answers_of_prometheus_that_are_no_load_are_named(tmp_path: Path, kind: str) -> None:
    answer, options, said = PROMETHEUS_BAD[kind]
    with pytest.raises(InvalidInput) as caught:
        prometheus(tmp_path, answer, **options)
    assert said in str(caught.value)


def test_prometheus_without_labels_is_one_load_only_if_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--node"):
        refuse_nothing_named(PrometheusOptions(unit="rps", step="60s"))
    answer = matrix(*[({"instance": x}, samples([1, 2])) for x in "ab"])
    load = prometheus(tmp_path, answer, node="", duplicates="sum")
    assert load.rps[:, 0].tolist() == [2, 4]


ALIBABA = "timestamp,msname,msinstanceid,nodeid,providerrpc_rt,providerrpc_mcr,consumerrpc_rt,consumerrpc_mcr"
ALIBABA += ",http_mcr,http_rt"


def alibaba(folder: Path, rows: list[str], **options: Any) -> Load:
    (folder / "MSRTMCR_0.csv").write_text("\n".join([ALIBABA, *rows]) + "\n")
    return read_alibaba([folder / "MSRTMCR_0.csv"], AlibabaOptions(**({"calls_per_s": 1000.0} | options)))


def test_alibabas_call_rates_are_summed_over_instances_and_scaled_as_told(tmp_path: Path) -> None:
    rows = [
        "60000,MS_1,MS_1_POD_0,NODE_1,10.0,0.002,9,0.5,0.0,0.0",
        "60000,MS_1,MS_1_POD_1,NODE_2,30.0,0.001,9,0.5,0.001,2.0",
        "120000,MS_1,MS_1_POD_0,NODE_1,10.0,1e-3,9,0.5,,",
        "60000,MS_2,MS_2_POD_0,NODE_1,,,9,0.5,0.004,5",
    ]
    load = alibaba(tmp_path, rows)
    assert [one.node for one in load.series] == ["MS_1", "MS_2"]
    assert load.rps.ravel().tolist() == pytest.approx([4.0, 4.0, 1.0, 0.0])
    assert load.requests == pytest.approx(60 * 9.0) and requests_of(task_of(load)) == pytest.approx(60 * 9.0)
    assert load.cpu_time_ms == pytest.approx(((20 + 30 + 2 + 10) / 5, 5.0))
    with pytest.raises(InvalidInput, match="MS_2 has no value at 120000 ms"):
        alibaba(tmp_path, rows, gaps="refuse")


def test_alibabas_tables_that_are_not_as_published_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"line 2, timestamp: '61000' is no multiple of 60,000 ms"):
        alibaba(tmp_path, ["61000,MS_1,P,N,1,0.1,1,1,1,1"])
    with pytest.raises(InvalidInput, match="no column 'consumermq_mcr'"):
        alibaba(tmp_path, ["60000,MS_1,P,N,1,0.1,1,1,1,1"], calls=("consumermq",))
