"""Places, links and scenarios that are odd: no traceback; nothing is lost, counted twice or mixed up in silence."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.importers import graphs
from lwmecps_core.tasks.importers.csv_load import read_csv
from lwmecps_core.tasks.importers.edgesimpy import read_edgesimpy
from lwmecps_core.tasks.importers.eua import read_eua
from lwmecps_core.tasks.importers.matrix import read_matrix
from lwmecps_core.tasks.importers.options import (
    CsvOptions,
    Distance,
    EdgeSimPyOptions,
    EuaOptions,
    MatrixOptions,
    PlacesOptions,
    YafsOptions,
)
from lwmecps_core.tasks.importers.places import Places, unique, with_places
from lwmecps_core.tasks.importers.topology_zoo import read_topology_zoo
from lwmecps_core.tasks.importers.yafs import read_yafs
from lwmecps_core.tasks.user_form import to_task
from tests.tasks.imported import refusal, task_of, written

RTT = MatrixOptions(unit="ms", direction="rtt")
PAIRS = MatrixOptions(unit="ms", direction="rtt", source="a", target="b", value="v")
ESP = EdgeSimPyOptions(cpu_unit="cores", memory_unit="MiB", delay_unit="ms")
YAFS = YafsOptions(time_unit="ms", ram_unit="MiB", ipt_per_core=1000.0)
HUGE = 10**400


def made(places: Places) -> TaskSpec:
    item = with_places(places, None, PlacesOptions()).item
    assert isinstance(item, TaskSpec)
    return item


def one(id_: Any, relations: Any = None, **attributes: Any) -> dict[str, Any]:
    return {"attributes": {"id": id_, **attributes}, "relationships": relations}


def ref(id_: Any) -> dict[str, Any]:
    return {"class": "X", "id": id_}


WORLD: dict[str, Any] = {
    "EdgeServer": [one(i, {"base_station": ref(i)}, cpu=8, memory=1000) for i in (1, 2)],
    "NetworkSwitch": [one(1), one(2)],
    "NetworkLink": [one(1, {"nodes": [ref(1), ref(2)]}, delay=3)],
    "BaseStation": [one(i, {"network_switch": ref(i), "edge_servers": [ref(i)]}, wireless_delay=1) for i in (1, 2)],
    "Service": [one(1, {"server": ref(1)}, label="web", cpu_demand=1, memory_demand=100)],
    "Application": [one(1, {"services": [ref(1)]})],
    "User": [one(1, {"base_station": ref(1), "applications": [ref(1)]})],
}
SCENARIO: dict[str, Any] = {
    "entity": [{"id": 0, "IPT": 8000, "RAM": 1000}, {"id": 1, "IPT": 8000, "RAM": 1000}],
    "link": [{"s": 0, "d": 1, "BW": 1, "PR": 2}],
    "initialAllocation": [{"app": 0, "module_name": "m", "id_resource": 0}],
    "sources": [{"id_resource": 0, "app": 0, "message": "M.M", "lambda": 200}],
}
APPLICATIONS: list[Any] = [
    {
        "id": 0,
        "module": [{"name": "m", "RAM": 10}, {"name": "k", "RAM": 10}],
        "message": [
            {"name": "M.M", "s": "None", "d": "m", "bytes": 20, "instructions": 30},
            {"name": "M.K", "s": "None", "d": "k", "bytes": 20, "instructions": 30},
        ],
    }
]


def changed(data: Any, path: list[Any], value: Any) -> Any:
    data = copy.deepcopy(data)
    at: Any = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


def yafs(folder: Path, scenario: Any = SCENARIO, applications: Any = APPLICATIONS) -> Places:
    files = [written(folder, f"{i}.json", json.dumps(part)) for i, part in enumerate((scenario, applications))]
    return read_yafs(files, YAFS)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["EdgeServer", 0, "attributes", "cpu"], HUGE, r"EdgeServer 1: cpu: 10{59}… is over 1e\+18: .*unit"),
        (["EdgeServer", 0, "attributes", "cpu"], 1e300, r"EdgeServer 1: cpu: 1e\+300 is over 1e\+18"),
        (["EdgeServer", 0, "attributes", "id"], 1.7, r"EdgeServer.0..attributes.id: 1.7 is no id"),
        (["EdgeServer", 0, "attributes", "id"], True, r"EdgeServer.0..attributes.id: True is no id"),
        (["BaseStation", 0, "relationships"], {"base_station": ref(1)}, "BaseStation 1: has no network_switch"),
        (["NetworkLink", 0, "relationships", "nodes"], [ref(1), ref([1])], r"NetworkLink 1: nodes: \[1\] is no id"),
        (["NetworkLink", 0, "attributes", "delay"], 1e9, "is 2e.09 ms: is its unit right"),
    ],
)
def test_what_is_odd_in_edgesimpy_is_named(tmp_path: Path, path: list[Any], value: Any, said: str) -> None:
    file = written(tmp_path, "e.json", json.dumps(changed(WORLD, path, value)))
    with pytest.raises(InvalidInput, match=said):
        made(read_edgesimpy(file, ESP))


def test_labels_of_services_that_collide_get_their_ids_and_a_scenario_needs_no_service(tmp_path: Path) -> None:
    labels = ["web", "Web", "web-1", None]
    services = [
        one(i + 1, {"server": ref(1)}, label=label, cpu_demand=1, memory_demand=1) for i, label in enumerate(labels)
    ]
    file = written(tmp_path, "e.json", json.dumps(changed(WORLD, ["Service"], services)))
    assert [d.name for d in made(read_edgesimpy(file, ESP)).deployments] == ["web-1-1", "Web-2", "web-1", "service-4"]
    file = written(tmp_path, "e.json", json.dumps(changed(WORLD, ["Service"], [])))
    assert made(read_edgesimpy(file, ESP)).workload.base_users == (1.0, 0.0)


@pytest.mark.parametrize("read", [lambda file: read_edgesimpy(file, ESP), lambda file: read_yafs([file], YAFS)])
def test_a_key_that_stands_twice_in_a_scenario_is_refused(tmp_path: Path, read: Callable[[Path], Places]) -> None:
    text = json.dumps(WORLD | SCENARIO, indent=1).replace('"cpu": 8', '"cpu": 8,\n"cpu": 80', 1)
    assert "x.json: cpu: stands 2 times, in lines 6, 7" in refusal(lambda: read(written(tmp_path, "x.json", text)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["entity", 0, "RAM"], HUGE, r"entity 0.RAM: 10{59}… is over 1e\+18"),
        (["entity", 0, "id"], None, r"entity.0..id: None is no id"),
        (["entity", 0, "id"], 0.0, r"entity.0..id: 0.0 is no id"),
        (["link", 0, "BW"], 1e-300, "between node-0 and node-1 is .* ms: is its unit right"),
        (["link", 0, "PR"], 1e308, r"link.0..PR: 1e\+308 is over 1e\+18"),
        (["sources", 0, "lambda"], 1e-300, "sources.0.: .* is no source"),
        (["sources", 0, "message"], "M.NO", "sources.0.: .* is no source at a linked entity, of a message to a module"),
    ],
)
def test_what_is_odd_in_yafs_is_named(tmp_path: Path, path: list[Any], value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        made(yafs(tmp_path, changed(SCENARIO, path, value)))


def test_applications_of_yafs_that_are_one_or_send_nowhere_are_named(tmp_path: Path) -> None:
    assert "[1]: name 0 stands twice" in refusal(lambda: yafs(tmp_path, SCENARIO, APPLICATIONS * 2))
    modules = [{"name": "m", "RAM": 1}] * 2
    twice = changed(APPLICATIONS, [0, "module"], modules)
    assert "[0].module[1]: name m stands twice" in refusal(lambda: yafs(tmp_path, SCENARIO, twice))
    nowhere = changed(APPLICATIONS, [0, "message", 0, "d"], "ghost")
    assert "sources[0]" in refusal(lambda: yafs(tmp_path, SCENARIO, nowhere))


def test_applications_of_yafs_are_called_by_their_names_as_in_its_own_code(tmp_path: Path) -> None:
    first, second = ({**APPLICATIONS[0], "name": name} for name in ("0", "1"))  # published files have one id for all
    second["message"] = [{**second["message"][1], "instructions": 0}]
    scenario = changed(SCENARIO, ["sources", 0], {"id_resource": 1, "app": "1", "message": "M.K", "lambda": 100})
    places = yafs(tmp_path, scenario, [first, second])
    assert made(places).workload.share[1] == (0.0, 0.0, 0.0, 1.0)
    assert [d.cpu_time_ms for d in made(places).deployments] == [0.03, 0.03, 50.0, 0.001]
    assert "no message reaches, so the usual CPU time per request: app-1-m" in places.notes


@pytest.mark.parametrize(("message", "share"), [("M.M", (1.0, 0.0)), ("M.K", (0.0, 1.0))])
def test_a_source_of_yafs_asks_the_module_of_its_message(tmp_path: Path, message: str, share: Any) -> None:
    task = made(yafs(tmp_path, changed(SCENARIO, ["sources", 0, "message"], message)))
    assert task.workload.share[0] == share and task.workload.base_users == (5.0, 0.0)


def test_allocations_after_a_modules_first_are_said(tmp_path: Path) -> None:
    both = [{"app": 0, "module_name": "m", "id_resource": i} for i in (1, 0)]
    places = yafs(tmp_path, changed(SCENARIO, ["initialAllocation"], both))
    assert "allocated to several entities, of which the first counts: app-0-m" in places.notes
    assert made(places).deployments[0].allowed_nodes == ("node-1",)


def test_homes_are_found_by_the_very_name_before_one_that_is_alike(tmp_path: Path) -> None:
    entities = [{"id": id_, "IPT": 8000, "RAM": 1000} for id_ in ("A", "a")]
    data = SCENARIO | {"entity": entities, "link": [{"s": "A", "d": "a", "BW": 1, "PR": 2}], "sources": []}
    data["initialAllocation"] = [{"app": 0, "module_name": m, "id_resource": e} for m, e in (("m", "A"), ("k", "a"))]
    assert [d.allowed_nodes for d in made(yafs(tmp_path, data)).deployments] == [("node-A",), ("node-a",)]


CLUSTER = {"name": "c", "max_hardware": {"cpu": 8, "ram": 16000, "avg_latency": 5}, "deployments": ["web"]}


def test_columns_go_to_the_very_node_and_two_that_are_one_name_are_refused(tmp_path: Path) -> None:
    load = read_csv([written(tmp_path, "l.csv", "n_1,n-1\n1,2\n")], CsvOptions(unit="rps", step="60s"))
    both, _ = to_task({**CLUSTER, "node_name": ["n-1", "n_1"]}, "c")
    assert task_of(load, both).workload.recorded_users == ((2.0, 1.0),)
    single, _ = to_task({**CLUSTER, "node_name": ["n-1"]}, "c")
    assert "'n_1' and 'n-1' are one name" in refusal(lambda: task_of(load, single))
    assert task_of(load, single, at=("n_1=n-1",)).workload.recorded_users == ((3.0,),)


GRAPH = (
    '<graphml><key id="a" attr.name="Latitude"/><key id="o" attr.name="Longitude"/><key id="l" attr.name="label"/>'
    "<graph>{}</graph></graphml>"
)


def spot(id_: str, longitude: Any, label: str = "") -> str:
    data = {"a": 0, "o": longitude, "l": label}
    return f'<node id="{id_}">{"".join(f"<data key={k!r}>{v}</data>" for k, v in data.items())}</node>'


LINKED = spot("1", 0) + spot("2", 9) + '<edge source="1" target="2"/>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GRAPH.format(LINKED.replace(' id="2"', "")), "node: has no id"),
        (GRAPH.format(LINKED).replace("<graph>", "<graph/><graph>"), "has 2 graphs, not one"),
        (GRAPH.format(LINKED.replace(">9<", ">1_0<")), "'0', '1_0' are no degrees"),
        (GRAPH.format("".join(spot(str(i), 0) for i in range(graphs.MOST_POINTS + 1))), "2,001 nodes are too many"),
    ],
)
def test_what_is_odd_in_the_zoo_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_topology_zoo(written(tmp_path, "z.graphml", text), Distance())


def test_labels_of_the_zoo_stand_in_one_line_and_once_whatever_their_case(tmp_path: Path) -> None:
    nodes = spot("1", 0, "New\n York") + spot("2", 9, "Rome") + spot("3", 9, "rome")
    links = '<edge source="1" target="2"/><edge source="2" target="3"/>'
    places = read_topology_zoo(written(tmp_path, "z.graphml", GRAPH.format(nodes + links)), Distance())
    assert places.names == ("New York", "Rome-2", "rome-3")
    assert unique(["A", "a", "A-1", ""], ["1", "2", "3", "1"]) == ["A-1-1", "a-2", "A-1", "node-1"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (",a,b,c\na,0,1,2\nb,1,0,3\nc,2", RTT, "line 4: has 1 numbers, but there are 3 nodes"),
        (",a,b\na,0,1e308\nb,1e308,0\n", RTT, r"a latency is 1e\+308 ms: is its unit right"),
        (",a,b\na,0,4e6\nb,4e6,0\n", RTT, r"the round trip between a and b is 4e\+06 ms: is its unit right"),
        ("a,b,v\nn,m,1\nm,n,1\nn,m,2\n", PAIRS, "line 4, v: n to m has a latency already"),
    ],
)
def test_what_is_odd_in_a_matrix_is_named(tmp_path: Path, text: str, options: MatrixOptions, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        made(read_matrix(written(tmp_path, "m.csv", text), options))


def test_a_matrix_may_have_delimiters_at_line_ends_and_what_nodes_measured_to_themselves(tmp_path: Path) -> None:
    places = read_matrix(written(tmp_path, "m.csv", ",a,b,\na,7,1,\nb,1,0,\n"), RTT)
    assert places.names == ("a", "b") and places.rtt_ms.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert "left out: what 1 nodes measured to themselves" in places.notes
    assert "round trips are 1 to 1 ms long" in with_places(places, None, PlacesOptions()).notes


def test_a_long_matrix_of_many_nodes_is_read_as_it_stands(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(150)]
    values = np.random.default_rng(0).uniform(1.0, 9.0, (150, 150)).round(3)
    text = "".join(f"{a},{b},{values[i, j]}\n" for i, a in enumerate(names) for j, b in enumerate(names) if i != j)
    places = read_matrix(written(tmp_path, "m.csv", "a,b,v\n" + text), PAIRS)
    order = [names.index(name) for name in places.names]
    expected = (values + values.T) / 2.0
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(places.rtt_ms, expected[np.ix_(order, order)])


def test_users_go_to_the_nearest_of_very_many_sites_and_columns_that_are_one_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sites, users = (np.stack([rng.uniform(-90, 90, n), rng.uniform(-180, 180, n)], 1) for n in (3000, 200))
    text = "SITE_ID,LATITUDE,LONGITUDE\n" + "".join(f"{i},{a},{o}\n" for i, (a, o) in enumerate(sites.tolist()))
    people = "Latitude,Longitude\n" + "".join(f"{a},{o}\n" for a, o in users.tolist())
    files = [written(tmp_path, "s.csv", text), written(tmp_path, "u.csv", people)]
    busiest = np.bincount(graphs.great_circle_km(users, sites).argmin(axis=1), minlength=3000).argsort(kind="stable")
    assert f"site-{busiest[-1]}" in read_eua(files, EuaOptions(top=5)).names
    twice = written(tmp_path, "t.csv", "Site_id,SITE_ID,Latitude,Longitude\n1,2,3,4\n")
    assert "columns stand twice: 'SITE_ID'" in refusal(lambda: read_eua([twice], EuaOptions()))


def test_pipes_and_devices_are_refused_since_files_are_read_more_than_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/null")):
        for read in (
            lambda path=path: read_csv([path], CsvOptions(unit="rps", step="60s")),
            lambda path=path: read_matrix(path, RTT),
            lambda path=path: read_edgesimpy(path, ESP),
        ):
            assert "is no file, but a pipe or device" in refusal(read)
