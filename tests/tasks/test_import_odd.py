"""What people really have: files of other tools, saved by others, given twice, cut short. Nothing of it counts double,
is lost in silence or ends in a traceback."""

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.importers.alibaba import read_alibaba
from lwmecps_core.tasks.importers.assemble import with_load
from lwmecps_core.tasks.importers.azure import read_azure
from lwmecps_core.tasks.importers.csv_load import read_csv
from lwmecps_core.tasks.importers.edgesimpy import read_edgesimpy
from lwmecps_core.tasks.importers.eua import read_eua
from lwmecps_core.tasks.importers.loads import Load
from lwmecps_core.tasks.importers.matrix import read_matrix
from lwmecps_core.tasks.importers.options import (
    AlibabaOptions,
    AzureOptions,
    CsvOptions,
    Distance,
    EdgeSimPyOptions,
    EuaOptions,
    LoadOptions,
    MatrixOptions,
    PlacesOptions,
    PrometheusOptions,
    YafsOptions,
)
from lwmecps_core.tasks.importers.places import unique, with_places
from lwmecps_core.tasks.importers.prometheus import read_prometheus
from lwmecps_core.tasks.importers.topology_zoo import read_topology_zoo
from lwmecps_core.tasks.importers.yafs import read_yafs
from lwmecps_core.tasks.user_form import to_task
from tests.tasks.imported import refusal, written

WIDE = CsvOptions(unit="rps", step="60s", time="t", time_format="unix-s")
LONG = CsvOptions(unit="rps", step="60s", time="t", time_format="unix-s", value="v", node="n")
PROMETHEUS = PrometheusOptions(unit="rps", step="60s", node="node")
RTT = MatrixOptions(unit="ms", direction="rtt")
PAIRS = MatrixOptions(unit="ms", direction="rtt", source="a", target="b", value="v")
ESP = EdgeSimPyOptions(cpu_unit="cores", memory_unit="MiB", delay_unit="ms")
YAFS = YafsOptions(time_unit="ms", ram_unit="MiB", ipt_per_core=1000.0)
ALIBABA = AlibabaOptions(calls_per_s=10.0)
RATES = "timestamp,msname,providerrpc_rt,providerrpc_mcr,http_rt,http_mcr\n"
DAY = "HashOwner,HashApp,HashFunction,Trigger," + ",".join(str(i + 1) for i in range(1440)) + "\n"
ONES = ",".join(["1"] * 1440)


def answer(*series: tuple[str, list[Any]], **more: Any) -> str:
    result = [{"metric": {"node": node}, "values": values} for node, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}} | more)


@pytest.mark.parametrize("stations", [(), ("a", "b")])
@pytest.mark.parametrize("kind", ["csv", "azure", "alibaba", "prometheus"])
def test_a_source_without_values_is_named_however_it_is_to_be_made_less(
    tmp_path: Path, kind: str, stations: tuple[str, ...]
) -> None:
    read: dict[str, Callable[[], Load]] = {
        "csv": lambda: read_csv([written(tmp_path, "x", "t,a\n")], WIDE, 3, stations),
        "azure": lambda: read_azure([written(tmp_path, "x", DAY)], AzureOptions(), 3, stations),
        "alibaba": lambda: read_alibaba([written(tmp_path, "x", RATES)], ALIBABA, 3, stations),
        "prometheus": lambda: read_prometheus([written(tmp_path, "x", answer())], PROMETHEUS, 3, stations),
    }
    assert "x: holds no value" in refusal(read[kind])


def test_a_file_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    table, rates = written(tmp_path, "t.csv", "t,a\n0,1\n"), written(tmp_path, "r.csv", RATES + "0,m,1,1,1,1\n")
    day, series = written(tmp_path, "x.d01.csv", DAY + f"o,a,f,http,{ONES}\n"), written(tmp_path, "p", answer())
    places = written(tmp_path, "u.csv", "Latitude,Longitude\n1,1\n")
    summed = CsvOptions(unit="rps", step="60s", time="t", time_format="unix-s", duplicates="sum")
    for read in (
        lambda: read_csv([table, tmp_path / "." / "t.csv"], summed),
        lambda: read_alibaba([rates, rates], ALIBABA),
        lambda: read_azure([day, day], AzureOptions()),
        lambda: read_prometheus([series, series], PROMETHEUS),
        lambda: read_eua([places, places], EuaOptions()),
    ):
        assert "is given twice" in refusal(read)


def test_names_with_spaces_or_quotes_around_them_are_one_name(tmp_path: Path) -> None:
    two = written(tmp_path, "l.csv", 't,n,v\n0,a,1\n60,a ,2\n120,"a",3\n')
    load = read_csv([two], LONG)
    assert [one.node for one in load.series] == ["a"] and load.rps.ravel().tolist() == [1.0, 2.0, 3.0]
    twice = written(tmp_path, "m.csv", "t,n,v\n0,a,1\n0, a,2\n")
    assert "line 3: a at 1970-01-01T00:00:00Z has a value already" in refusal(lambda: read_csv([twice], LONG))


def test_series_of_azure_whose_short_names_are_one_stay_apart(tmp_path: Path) -> None:
    same = "a" * 8
    day = written(tmp_path, "x.d01.csv", DAY + f"o,{same}1,f,http,{ONES}\no,{same}2,f,http,{ONES}\n")
    for group in ("app", "function"):  # functions of one name in two applications have one hash
        load = read_azure([day], AzureOptions(group=group))
        task = with_load(load, None, LoadOptions()).item
        assert len({one.node for one in load.series}) == 2
        assert len(task.cluster.nodes) == 2  # type: ignore[union-attr]


def test_durations_of_other_days_are_said_and_unknown_triggers_named(tmp_path: Path) -> None:
    day = written(tmp_path, "x.d01.csv", DAY + f"o,a,f,http,{ONES}\n")
    late = written(tmp_path, "y.d05.csv", "HashOwner,HashApp,HashFunction,Average,Count\no,a,f,100,1\n")
    assert any("durations are of day 5 too" in note for note in read_azure([day, late], AzureOptions()).notes)
    said = refusal(lambda: read_azure([day], AzureOptions(trigger=("htpp",))))
    assert "no function has trigger htpp; there are http" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("t,a\r0,1\r60,2\r", "line 1: is no header: .* carriage return"),
        ("t;a\n0;1\n", "no column 't' among t;a .fields are separated by ','"),
        ("t,a\n0,1_000\n", "line 2, a: '1_000' is no number"),
        ("t,a\n0,-1\n", "'-1' is below 0"),
        ("t,a\n0,inf\n", "'inf' is no finite number"),
        ("t,a\n0,1\n".encode("utf-16"), "line 1: is not UTF-8"),
    ],
)
def test_tables_as_others_save_them_are_refused_for_what_is_wrong(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_csv([written(tmp_path, "x.csv", content)], WIDE)


@pytest.mark.parametrize(
    ("content", "changed", "said"),
    [
        ("t,a\n2026-03-29T02:30,1\n", {"timezone": "Europe/Berlin"}, "is no time in Europe/Berlin"),
        (
            "t,a\n29/03/2026 02:30,1\n",
            {"timezone": "Europe/Berlin", "time_format": "%d/%m/%Y %H:%M"},
            "line 2, t: '29/03/2026 02:30' is no time in Europe/Berlin, where clocks were put on past it",
        ),
        ("t,a\n1767225600000,1\n", {"time_format": "unix-s"}, "line 2: .* is past the year 9999: is its unit right"),
        ("t,a\n2026-01-01T00:00:00Z,1e300\n", {}, r"line 2: 1e\+300 is over 1e\+15: is this the right"),
        ("t,a\n2026-01-01T24:00:00Z,1\n", {}, "is no date and time of ISO 8601"),
    ],
)
def test_times_and_values_that_can_not_be_are_refused(
    tmp_path: Path, content: str, changed: dict[str, str], said: str
) -> None:
    options: dict[str, Any] = {"unit": "rps", "step": "60s", "time": "t", "time_format": "iso"} | changed
    with pytest.raises(InvalidInput, match=said):
        read_csv([written(tmp_path, "x.csv", content)], CsvOptions(**options))


@pytest.mark.parametrize(
    "content",
    [
        ",t,a\n7,2026-03-29T01:30,1\n8,2026-03-29T03:30,2\n",  # the index of a table
        "t,a,\n2026-03-29T01:30,1,\n2026-03-29T03:30,2,\n",  # lines that end with a delimiter
    ],
)
def test_columns_without_a_name_are_no_nodes(tmp_path: Path, content: str) -> None:
    options = CsvOptions(unit="requests", step="1h", time="t", time_format="iso", timezone="Europe/Berlin")
    load = read_csv([written(tmp_path, "x.csv", content)], options)
    assert load.requests == 3.0 and [one.node for one in load.series] == ["a"]
    assert any("(without a name)" in note for note in load.notes)


def test_a_timestamp_of_alibaba_in_another_unit_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "x.csv", RATES + "60000000000000000000,m,1,1,0,0\n")
    assert "line 2, timestamp: '60000000000000000000' is past the year 9999" in refusal(
        lambda: read_alibaba([file], ALIBABA)
    )


def test_archives_and_endings_in_capitals_are_told_apart(tmp_path: Path) -> None:
    packed = gzip.compress(b"t,a\n0,1\n")
    assert read_csv([written(tmp_path, "x.CSV.GZ", packed)], WIDE).requests == 60.0
    said = refusal(lambda: read_csv([written(tmp_path, "x.tar.gz", packed)], WIDE))
    assert "is an archive: unpack it" in said


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_other_formats_than_tables_may_have_a_byte_order_mark_or_be_compressed(tmp_path: Path, ending: str) -> None:
    def file(name: str, text: str) -> Path:
        data = b"\xef\xbb\xbf" + text.encode()
        return written(tmp_path, name + ending, gzip.compress(data) if ending else data)

    assert read_prometheus([file("p.json", answer(("n", [[0, "1"]])))], PROMETHEUS).requests == 60.0
    assert read_matrix(file("m.tsv", "\tn1\tn2\nn1\t0\t5\nn2\t5\t0\n"), RTT).names == ("n1", "n2")
    assert read_matrix(file("M.TSV", "a\tb\tv\nn1\tn2\t5\n"), PAIRS).rtt_ms[0, 1] == 5.0
    assert len(read_edgesimpy(file("e.json", json.dumps(SCENARIO)), ESP).names) == 2
    assert len(read_yafs([file("y.json", json.dumps(NETWORK))], YAFS).names) == 2
    graph = '<graphml><key id="a" attr.name="Latitude"/><key id="o" attr.name="Longitude"/><graph>{}</graph></graphml>'
    node = '<node id="{0}"><data key="a">{0}</data><data key="o">0</data></node>'
    linked = node.format(1) + node.format(2) + '<edge source="1" target="2"/>'
    assert read_topology_zoo(file("z.graphml", graph.format(linked)), Distance()).names == ("node-1", "node-2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (answer(("n", [[0, "1"]]), ("n", [[0, "2"]])), "data.result.1..values.0.: n at .* has a value already"),
        (answer(("n", [[0, "1"], [7, "2"]])), "data.result.0..values.1.: .* is no whole number of steps"),
        (answer(("n", [[0, 10**400]])), "data.result.0..values.0.: .* is no time with a value"),
    ],
)
def test_samples_of_prometheus_that_are_odd_are_named_by_their_path(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_prometheus([written(tmp_path, "p.json", text)], PROMETHEUS)


def test_warnings_of_prometheus_that_are_no_list_are_said_whole(tmp_path: Path) -> None:
    file = written(tmp_path, "p.json", answer(("n", [[0, "1"]]), warnings="slow"))
    assert "Prometheus warned: slow" in read_prometheus([file], PROMETHEUS).notes


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a,b,v\n", PAIRS, "holds no value"),
        ("a,b,v\nn1,,5\n", PAIRS, "line 2, b: is empty"),
        (",n1,n2\nn1,0,1_0\nn2,7,0\n", RTT, "line 2, n2: '1_0' is no latency"),
    ],
)
def test_matrices_that_are_odd_are_named(tmp_path: Path, text: str, options: MatrixOptions, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_matrix(written(tmp_path, "m.csv", text), options)


@pytest.mark.parametrize("more", [{}, {"source": "a", "target": "b", "value": "v"}])
def test_a_delimiter_of_two_characters_is_refused_by_every_table(tmp_path: Path, more: dict[str, str]) -> None:
    options = MatrixOptions(unit="ms", direction="rtt", delimiter=";;", **more)
    said = refusal(lambda: read_matrix(written(tmp_path, "m.csv", "a,b,v\n"), options))
    assert "--delimiter: ';;' is not one plain character" in said


def test_places_whose_names_are_one_to_a_cluster_are_refused(tmp_path: Path) -> None:
    text = ",n1,N1,n2\nn1,0,5,1\nN1,5,0,100\nn2,1,100,0\n"
    places = read_matrix(written(tmp_path, "m.csv", text), RTT)
    user_form = {
        "name": "c",
        "node_name": ["n1", "n2"],
        "max_hardware": {"cpu": 8, "ram": 16000, "avg_latency": 5},
        "deployments": ["web"],
    }
    task, _ = to_task(user_form, "c")
    assert "'n1' and 'N1' are one name" in refusal(lambda: with_places(places, task, PlacesOptions()))


def test_names_that_get_their_id_stand_once() -> None:
    assert unique(["A", "A", "A-1"], ["0", "1", "2"]) == ["A-0", "A-1-2", "A-1"]
    assert unique(["", "B"], ["0", "1"]) == ["node-0", "B"]


def one(id_: Any, relations: Any = None, **attributes: Any) -> dict[str, Any]:
    return {"attributes": {"id": id_, **attributes}, "relationships": relations}


def ref(id_: int) -> dict[str, Any]:
    return {"class": "X", "id": id_}


SCENARIO: dict[str, Any] = {
    "EdgeServer": [one(i, {"base_station": ref(i), "network_switch": ref(i)}, cpu=8, memory=1000) for i in (1, 2)],
    "NetworkSwitch": [one(1), one(2), one(3)],
    "NetworkLink": [one(1, {"nodes": [ref(1), ref(2)]}, delay=3)],
    "BaseStation": [one(i, {"network_switch": ref(i), "edge_servers": []}, wireless_delay=1) for i in (1, 2, 3)],
    "Service": [one(1, {"server": ref(1)}, label="web", cpu_demand=1, memory_demand=100)],
    "Application": [one(1, {"services": [ref(1)]})],
    "User": [one(1, {"base_station": ref(1), "applications": [ref(1)]})],
}


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(SCENARIO)
    at: Any = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["EdgeServer", 0, "relationships"], None, "EdgeServer 1: has no network_switch"),
        (["EdgeServer", 0, "relationships"], [1], "EdgeServer.0.: has relationships that name nothing"),
        (["EdgeServer", 0, "relationships", "base_station"], ref(9), "EdgeServer 1: .* no BaseStation 9"),
        (["EdgeServer", 1, "attributes", "id"], 1, "EdgeServer.1.: id 1 stands twice"),
        (["EdgeServer", 1, "attributes", "id"], float("inf"), "EdgeServer.1..attributes.id: inf is no id"),
        (["User"], 5, "User: is no list"),
        (["User", 0, "relationships", "base_station"], ref(3), "User 1: .* no link leads from there"),
    ],
)
def test_a_scenario_of_edgesimpy_that_is_odd_is_named(tmp_path: Path, path: list[Any], value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_edgesimpy(written(tmp_path, "e.json", json.dumps(changed(path, value))), ESP)


@pytest.mark.parametrize("applications", [[ref(9)], []])
def test_users_of_edgesimpy_who_ask_for_nothing_are_said(tmp_path: Path, applications: list[Any]) -> None:
    data = changed(["User", 0, "relationships", "applications"], applications)
    notes = read_edgesimpy(written(tmp_path, "e.json", json.dumps(data)), ESP).notes
    assert any(note.startswith("1 users have no application with a service") for note in notes)


NETWORK: dict[str, Any] = {
    "entity": [{"id": 0, "IPT": 8000, "RAM": 1000}, {"id": 1, "IPT": 8000, "RAM": 1000}],
    "link": [{"s": 0, "d": 1, "BW": 1, "PR": 2}],
}
APPLICATION: dict[str, Any] = {"id": 0, "module": [{"name": "m", "RAM": 10}], "message": []}


@pytest.mark.parametrize(
    ("network", "application", "said"),
    [
        ({"entity": [*NETWORK["entity"], NETWORK["entity"][0]]}, {}, "entity.2.: id 0 stands twice"),
        ({"entity": [], "link": []}, {}, "entity: there is none"),
        ({"link": 5}, {}, "link: 5 is no list"),
        ({}, {"message": None}, "0..message: None is no list"),
        ({}, {"module": 5}, "0..module: 5 is no list"),
        ({}, {"module": []}, "initialAllocation.0.: application 0 with a module m is in no file"),
    ],
)
def test_files_of_yafs_that_are_odd_are_named(
    tmp_path: Path, network: dict[str, Any], application: dict[str, Any], said: str
) -> None:
    parts = [
        NETWORK | network,
        [APPLICATION | application],
        {"initialAllocation": [{"app": 0, "module_name": "m", "id_resource": 0}]},
    ]
    files = [written(tmp_path, f"{i}.json", json.dumps(part)) for i, part in enumerate(parts)]
    with pytest.raises(InvalidInput, match=said):
        read_yafs(files, YAFS)
