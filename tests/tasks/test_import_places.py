"""Places, links and scenarios of others: distances, round trips, capacities and users as publishers define them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.files import load_task
from lwmecps_core.tasks.importers.edgesimpy import read_edgesimpy
from lwmecps_core.tasks.importers.eua import read_eua
from lwmecps_core.tasks.importers.graphs import great_circle_km
from lwmecps_core.tasks.importers.matrix import read_matrix
from lwmecps_core.tasks.importers.options import (
    Distance,
    EdgeSimPyOptions,
    EuaOptions,
    MatrixOptions,
    PlacesOptions,
    YafsOptions,
)
from lwmecps_core.tasks.importers.output import to_yaml
from lwmecps_core.tasks.importers.places import Places, with_places
from lwmecps_core.tasks.importers.topology_zoo import read_topology_zoo
from lwmecps_core.tasks.importers.yafs import read_yafs


def made(places: Places, template: TaskSpec | None = None) -> TaskSpec:
    item = with_places(places, template, PlacesOptions()).item
    assert isinstance(item, TaskSpec)
    return item


def capacity(task: TaskSpec) -> tuple[float, float]:
    return sum(n.cpu_millicores for n in task.cluster.nodes) / 1e3, sum(n.ram_mib for n in task.cluster.nodes)


def matrix(folder: Path, text: str, name: str = "m.csv", **options: Any) -> Places:
    (folder / name).write_text(text)
    return read_matrix(folder / name, MatrixOptions(**({"unit": "ms", "direction": "rtt"} | options)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a,b,c\n0,4,6\n4,0,8\n6,8,0\n", "m.csv"),
        (",a,b,c\na,0,4,6\nb,4,0,8\nc,6,8,0\n", "m.csv"),
        ("\ta\tb\tc\na\t0\t4\t6\nb\t4\t0\t8\nc\t\t8\t0\n", "m.tsv"),
    ],
)
def test_square_matrices_are_read_with_and_without_names_of_rows(tmp_path: Path, text: str, name: str) -> None:
    places = matrix(tmp_path, text, name)
    assert places.names == ("a", "b", "c")
    assert places.rtt_ms.tolist() == [[0, 4, 6], [4, 0, 8], [6, 8, 0]]
    assert made(places).cluster.rtt_ms == ((0, 4, 6), (4, 0, 8), (6, 8, 0))


def test_names_of_a_matrix_may_be_numbers(tmp_path: Path) -> None:
    assert matrix(tmp_path, ",7,9\n7,0,4\n9,4,0\n").names == ("7", "9")


def test_matrices_have_the_unit_and_direction_that_are_named(tmp_path: Path) -> None:
    bare = "0\t0.002\n0.004\t0\n"
    assert matrix(tmp_path, bare, "m.tsv", unit="s").rtt_ms[0, 1] == pytest.approx(3.0)
    assert matrix(tmp_path, bare, "m.tsv", unit="s", symmetrise="max").rtt_ms[0, 1] == pytest.approx(4.0)
    one_way = matrix(tmp_path, bare, "m.tsv", unit="s", direction="one-way")
    assert one_way.names == ("node-1", "node-2") and one_way.rtt_ms[0, 1] == pytest.approx(6.0)
    assert any("1 pairs were measured differently" in note for note in matrix(tmp_path, bare, "m.tsv").notes)


def test_long_matrices_name_their_columns(tmp_path: Path) -> None:
    text = "when,from,to,us\n1,a,b,4000\n1,b,c,8000\n1,c,a,6000\n1,c,b,9000\n"
    options = {"unit": "us", "source": "from", "target": "to", "value": "us"}
    assert matrix(tmp_path, text, **options).rtt_ms.tolist() == [[0, 4, 6], [4, 0, 8.5], [6, 8.5, 0]]
    with pytest.raises(InvalidInput, match=r"no latency, both ways of 2 pairs \(a to b, a to c\)"):
        matrix(tmp_path, text, **options, direction="one-way")
    assert matrix(tmp_path, text, **options, only=("b", "a")).names == ("b", "a")


MATRIX_BAD = {
    "negative": ("a,b\n0,-4\n4,0\n", {}, "line 2, b: '-4' is no latency"),
    "text": ("a,b\n0,x\n4,0\n", {}, "line 2, b: 'x' is no latency"),
    "missing": ("a,b\n0,\n,0\n", {}, "no latency of 1 pairs (a to b)"),
    "rows": ("a,b,c\n0,1,1\n1,0,1\n", {}, "has 2 rows of 3 nodes"),
    "fields": ("a,b\n0,1\n1\n", {}, "line 3: has 1 numbers, but there are 2 nodes"),
    "order": (",a,b\nb,0,1\na,1,0\n", {}, "names columns a, b, but rows are b, a"),
    "half long": ("a,b\n0,1\n1,0\n", {"source": "a"}, "--source, --target and --value"),
    "only": ("a,b\n0,1\n1,0\n", {"only": ("x",)}, "--only: x is none of a, b"),
    "twice": ("a,a\n0,1\n1,0\n", {}, "must be different"),
}


@pytest.mark.parametrize("kind", MATRIX_BAD)
def test_matrices_that_are_none_are_named(tmp_path: Path, kind: str) -> None:
    text, options, said = MATRIX_BAD[kind]
    with pytest.raises(InvalidInput) as caught:
        matrix(tmp_path, text, **options)
    assert said in str(caught.value)


def test_round_trips_come_to_a_clusters_nodes_by_name(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(
        "node_name: [c, a, b]\nmax_hardware: {cpu: 4, ram: 8Gi}\nworkload: {base_users: {a: 1, b: 2, c: 3}}\n"
    )
    template = load_task(tmp_path / "cluster.yaml")
    assert isinstance(template, TaskSpec)
    places = matrix(tmp_path, "a,b,c\n0,4,6\n4,0,8\n6,8,0\n")
    task = made(places, template)
    assert task.cluster.rtt_ms == ((0, 6, 8), (6, 0, 4), (8, 4, 0)) and task.workload == template.workload
    with pytest.raises(InvalidInput, match=r"places \(a, b\) and the cluster's nodes \(c, a, b\) must be the same"):
        made(matrix(tmp_path, "a,b\n0,4\n4,0\n"), template)


GRAPHML = """<?xml version="1.0" encoding="utf-8"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key attr.name="LinkSpeedRaw" attr.type="double" for="edge" id="d34" />
  <key attr.name="label" attr.type="string" for="node" id="d33" />
  <key attr.name="Longitude" attr.type="double" for="node" id="d32" />
  <key attr.name="Internal" attr.type="int" for="node" id="d31" />
  <key attr.name="Latitude" attr.type="double" for="node" id="d29" />
  <graph edgedefault="undirected">{nodes}{edges}</graph></graphml>"""


def graphml(folder: Path, nodes: list[tuple[str, str, Any, int]], edges: list[tuple[str, str]]) -> Path:
    text = []
    for id_, label, at, internal in nodes:
        place = f'<data key="d29">{at[0]}</data><data key="d32">{at[1]}</data>' if at else ""
        text.append(f'<node id="{id_}">{place}<data key="d31">{internal}</data><data key="d33">{label}</data></node>')
    lines = [f'<edge source="{a}" target="{b}"><data key="d34">1e9</data></edge>' for a, b in edges]
    file = folder / "Zoo.graphml"
    file.write_text(GRAPHML.format(nodes="".join(text), edges="".join(lines)))
    return file


def test_a_network_of_the_zoo_has_round_trips_over_its_shortest_links(tmp_path: Path) -> None:
    nodes = [
        ("0", "Quito", (0.0, 0.0), 1),
        ("1", "East", (0.0, 9.0), 1),
        ("2", "Far", (0.0, 18.0), 1),
        ("3", "hyperedge", None, 1),
        ("4", "Peer", (10.0, 10.0), 0),
        ("5", "East", (1.0, 9.0), 1),
        ("6", "Island", (50.0, 50.0), 1),
    ]
    edges = [("0", "1"), ("1", "3"), ("3", "2"), ("0", "4"), ("1", "0"), ("5", "1"), ("1", "1")]
    places = read_topology_zoo(graphml(tmp_path, nodes, edges), Distance(base_ms=0.5, detour=2.0))
    assert places.names == ("Quito", "East-1", "Far", "East-5")
    nine = 9.0 * np.pi / 180.0 * 6371.0 * 2.0 * 2.0 / 200.0  # there and back, twice as long as the crow flies
    assert places.rtt_ms[0, 1] == pytest.approx(0.5 + nine) and places.rtt_ms[0, 2] == pytest.approx(0.5 + 2 * nine)
    said = " ".join(places.notes)
    for what in ("other networks: Peer", "no link leads there: Island", "joined directly: 3", "link speeds"):
        assert what in said
    assert (made(places).cluster.rtt_ms[0][2], len(made(places).deployments)) == (pytest.approx(0.5 + 2 * nine), 4)


def test_networks_without_places_or_links_and_other_files_are_named(tmp_path: Path) -> None:
    for nodes, edges, said in (
        ([("0", "a", None, 1), ("1", "b", None, 1)], [("0", "1")], "no node of the network has Latitude"),
        ([("0", "a", (0, 0), 1), ("1", "b", (1, 1), 1)], [], "has no link between"),
        ([("0", "a", (0, 0), 1)], [("0", "7")], "leads to '7', which is no node"),
        ([("0", "a", ("x", 0), 1)], [], "node 0: Latitude and Longitude 'x', '0' are no degrees"),
        ([("0", "a", ("nan", 0), 1)], [], "'nan', '0' are no degrees"),
        ([("0", "a", (0, 200), 1)], [], "'0', '200' are no degrees"),
        ([("0", "a", (0, 0), 1), ("0", "b", (1, 1), 1)], [("0", "0")], "node 0: stands twice"),
    ):
        with pytest.raises(InvalidInput, match=said):
            read_topology_zoo(graphml(tmp_path, nodes, edges), Distance())
    (tmp_path / "x.graphml").write_text("graph [\n]")
    with pytest.raises(InvalidInput, match="not readable as GraphML"):
        read_topology_zoo(tmp_path / "x.graphml", Distance())


SITES = """SITE_ID,LATITUDE,LONGITUDE,NAME,STATE,LICENSING_AREA_ID,POSTCODE,SITE_PRECISION,ELEVATION,HCIS_L2\r
101,-37.81,144.97,"Corner, of two",VIC,2,,Within 10 meters,,KX3P\r
102,-37.82,144.97,b,VIC,2,3000,Within 10 meters,,KX3P\r
103,-37.90,144.97,c,VIC,2,,Within 10 meters,,KX3P\r
"""
USERS = "Latitude,Longitude\r\n-37.811,144.97\r\n-37.812,144.971\r\n-37.821,144.97\r\n-37.87,144.97\r\n"


def eua(folder: Path, sites: str = SITES, users: str = USERS, **options: Any) -> Places:
    (folder / "sites.csv").write_text(sites)
    (folder / "users.csv").write_text(users)
    return read_eua([folder / "users.csv", folder / "sites.csv"], EuaOptions(**options))


def test_users_of_eua_are_at_the_nearest_site(tmp_path: Path) -> None:
    task = made(eua(tmp_path))
    assert [node.name for node in task.cluster.nodes] == ["site-101", "site-102", "site-103"]
    assert task.workload.base_users == (2.0, 1.0, 1.0) and task.workload.pattern == "uniform"
    km = great_circle_km(np.array([[-37.81, 144.97]]), np.array([[-37.82, 144.97]]))[0, 0]
    assert km == pytest.approx(1.112, abs=1e-3) and task.cluster.rtt_ms[0][1] == pytest.approx(1.0 + 2 * km / 200)
    fewer = eua(tmp_path, top=2)
    assert made(fewer).workload.base_users == (2.0, 2.0) and any("top 2 of 3 sites" in note for note in fewer.notes)


def test_tables_of_eua_that_are_not_as_published_are_named(tmp_path: Path) -> None:
    for sites, users, said in (
        (SITES.replace("102,", "101,"), USERS, "line 3, SITE_ID: '101' stands twice"),
        (SITES.replace("-37.82,", "-137.82,"), USERS, "line 3, LATITUDE: '-137.82' is no latitude or longitude"),
        (SITES, USERS.replace("-37.811,", ","), "line 2, LATITUDE: '' is no latitude"),
        (SITES, USERS.replace("Latitude", "Lat"), "no column 'LATITUDE'"),
        (SITES.split("\n")[0] + "\n", USERS, "sites.csv: holds no site"),
        (SITES.replace("102,", '"101 ",'), USERS, "line 3, SITE_ID: '101' stands twice"),
        (SITES, USERS.replace("-37.811", "-200"), "'-200' is below -180: degrees"),
        (USERS, USERS, "holds users"),
    ):
        with pytest.raises(InvalidInput, match=said):
            eua(tmp_path, sites, users)


def one(id_: int, relationships: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return {"attributes": {"id": id_, **attributes}, "relationships": relationships or {}}


def ref(kind: str, id_: int) -> dict[str, Any]:
    return {"class": kind, "id": id_}


def edgesimpy() -> dict[str, Any]:
    """Three switches in a row, servers at both ends, five units of delay a link."""
    switches = [one(i, {"base_station": ref("BaseStation", i)}) for i in (1, 2, 3)]
    stations = [
        one(i, {"network_switch": ref("NetworkSwitch", i), "edge_servers": servers, "users": []}, wireless_delay=1)
        for i, servers in ((1, [ref("EdgeServer", 1)]), (2, []), (3, [ref("EdgeServer", 2)]))
    ]
    links = [
        one(i, {"nodes": [ref("NetworkSwitch", a), ref("NetworkSwitch", b)]}, delay=delay, bandwidth=12.5)
        for i, (a, b, delay) in enumerate([(1, 2, 5), (2, 3, 4), (1, 2, 9)], 1)
    ]
    servers = [
        one(
            i, {"base_station": ref("BaseStation", at), "network_switch": ref("NetworkSwitch", at)}, cpu=cpu, memory=ram
        )
        for i, at, cpu, ram in ((1, 1, 8, 16384), (2, 3, 12, 8192))
    ]
    services = [
        one(i, {"application": ref("Application", i), "server": at}, label="", cpu_demand=1, memory_demand=1024)
        for i, at in ((1, ref("EdgeServer", 2)), (2, None))
    ]
    applications = [one(i, {"services": [ref("Service", i)], "users": []}, label="") for i in (1, 2)]
    users = [
        one(i, {"base_station": ref("BaseStation", at), "applications": [ref("Application", app)]})
        for i, (at, app) in enumerate([(1, 1), (1, 2), (2, 1)], 1)
    ]
    return {
        "NetworkSwitch": switches,
        "BaseStation": stations,
        "NetworkLink": links,
        "EdgeServer": servers,
        "Service": services,
        "Application": applications,
        "User": users,
        "Topology": [one(1)],
    }


ESP = EdgeSimPyOptions(cpu_unit="cores", memory_unit="MiB", delay_unit="ms")


def read_scenario(folder: Path, data: dict[str, Any], options: EdgeSimPyOptions = ESP) -> Places:
    (folder / "scenario.json").write_text(json.dumps(data))
    return read_edgesimpy(folder / "scenario.json", options)


def test_a_scenario_of_edgesimpy_keeps_capacity_delays_and_users(tmp_path: Path) -> None:
    places = read_scenario(tmp_path, edgesimpy())
    task = made(places)
    assert capacity(task) == (20.0, 24576.0)
    assert task.cluster.rtt_ms[0][1] == pytest.approx(2 * (5 + 4))
    assert [node.access_latency_ms for node in task.cluster.nodes] == [2.0, 2.0]
    assert task.workload.base_users == (2.0, 1.0)  # the user at station 2 is nearer to the second server
    assert task.workload.share == ((0.5, 0.5), (1.0, 0.0))
    assert [d.cpu_millicores for d in task.deployments] == [1000.0, 1000.0]
    assert task.deployments[0].allowed_nodes == ("edge-server-2",)
    assert any("1 users at base stations without a server" in note for note in places.notes)
    assert any("services without a server" in note for note in places.notes)
    other = read_scenario(tmp_path, edgesimpy(), EdgeSimPyOptions(cpu_unit="cores", memory_unit="GiB", delay_unit="s"))
    assert made(other).cluster.rtt_ms[0][1] == pytest.approx(18_000.0) and capacity(made(other))[1] == 1024 * 24576.0
    (tmp_path / "task.yaml").write_text("".join(to_yaml(task, places.notes)))
    assert load_task(tmp_path / "task.yaml") == task


def test_objects_of_edgesimpy_that_are_odd_are_named(tmp_path: Path) -> None:
    for kind, index, key, value, said in (
        ("EdgeServer", 0, "cpu", -1, "EdgeServer 1: cpu: -1 is no number of 0 or more"),
        ("NetworkLink", 1, "delay", None, "NetworkLink 2: delay: None is no number"),
        ("EdgeServer", 0, "id", None, r"EdgeServer\[0\]: has no attributes with an id"),
    ):
        data = edgesimpy()
        data[kind][index]["attributes"][key] = value
        with pytest.raises(InvalidInput, match=said):
            read_scenario(tmp_path, data)
    data = edgesimpy()
    data["NetworkLink"] = data["NetworkLink"][:1]
    with pytest.raises(InvalidInput, match="has no link between any two"):
        read_scenario(tmp_path, data)
    with pytest.raises(InvalidInput, match="is no scenario of EdgeSimPy"):
        read_scenario(tmp_path, {"entity": []})


NETWORK = {
    "entity": [
        {"id": 0, "RAM": 11, "HD": 1, "IPT": 1000},
        {"id": 1, "RAM": 14, "IPT": 4000},
        {"id": 2, "RAM": 99999999, "IPT": 1000, "type": "CLOUD"},
    ],
    "link": [{"s": 0, "d": 1, "PR": 3, "BW": 2}, {"s": 1, "d": 2, "PR": 1, "BW": 1000}],
}
APPLICATIONS = [
    {
        "id": 0,
        "name": 0,
        "transmission": [],
        "module": [{"id": 1, "name": "0_01", "type": "MODULE", "RAM": 1}, {"id": 2, "name": "0_02", "RAM": 2}],
        "message": [
            {"id": 0, "name": "M.USER.APP.0", "s": "None", "d": "0_01", "bytes": 2000000, "instructions": 30},
            {"id": 1, "name": "M.0", "s": "0_01", "d": "0_02", "bytes": 20, "instructions": 50},
        ],
    }
]
ALLOCATION = {"initialAllocation": [{"module_name": "0_01", "app": 0, "id_resource": 1}]}
SOURCES = {"sources": [{"id_resource": 0, "app": "0", "message": "M.USER.APP.0", "lambda": 200}]}


def yafs(folder: Path, *parts: Any) -> Places:
    files = []
    for i, part in enumerate(parts):
        files.append(folder / f"{i}.json")
        files[-1].write_text(json.dumps(part))
    return read_yafs(files, YafsOptions(time_unit="ms", ram_unit="GiB", ipt_per_core=1000))


def test_a_scenario_of_yafs_keeps_capacity_delays_and_messages(tmp_path: Path) -> None:
    places = yafs(tmp_path, ALLOCATION, NETWORK, APPLICATIONS, SOURCES)
    task = made(places)
    assert capacity(task) == pytest.approx((6.0, 1024.0 * (11 + 14 + 99999999)), rel=1e-9)
    # 2 MB over a link of 2 MB per ms take 1 ms, and 0.002 ms over one of 1000.
    assert task.cluster.rtt_ms[0][1] == pytest.approx(2 * (3 + 1))
    assert task.cluster.rtt_ms[0][2] == pytest.approx(2 * (3 + 1 + 1 + 0.002))
    assert [d.name for d in task.deployments] == ["app-0-0_01", "app-0-0_02"]
    assert [d.cpu_time_ms for d in task.deployments] == pytest.approx([0.03, 0.05])
    assert task.deployments[0].allowed_nodes == ("node-1",)
    assert task.workload.base_users == pytest.approx((5.0, 0.0, 0.0)) and task.workload.share[0] == (1.0, 0.0)
    assert any("sources send 5 requests per second" in note for note in places.notes)


def test_a_network_of_yafs_alone_has_default_load(tmp_path: Path) -> None:
    task = made(yafs(tmp_path, NETWORK))
    assert task.cluster.rtt_ms[0][1] == pytest.approx(6.0) and len(task.deployments) == 3


def test_files_of_yafs_that_are_not_as_it_writes_them_are_named(tmp_path: Path) -> None:
    loose = {**NETWORK, "link": [{"s": 0, "d": 7, "PR": 3, "BW": 2}]}
    bare = {**NETWORK, "link": NETWORK["link"][:1]}
    for parts, said in (
        ((APPLICATIONS,), "is no network"),
        ((NETWORK, NETWORK), "is a second file with network"),
        (({"x": 1},), "is no file of YAFS"),
        ((loose,), r"link\[0\]: leads to 7, which is no entity"),
        (({"entity": [{"RAM": 1, "IPT": 1}], "link": []},), r"entity\[0\]: has no id"),
        (({"entity": [{"id": 1, "RAM": 1, "IPT": "fast"}], "link": []},), "IPT: 'fast' is no number of 0 or more"),
        (
            (bare, APPLICATIONS, {"initialAllocation": [{"module_name": "0_01", "app": 0, "id_resource": 2}]}),
            "0_01 is at 2",
        ),
        ((NETWORK, APPLICATIONS, {"sources": [{"id_resource": 0, "app": "9", "lambda": 1}]}), "of a known application"),
    ):
        with pytest.raises(InvalidInput, match=said):
            yafs(tmp_path, *parts)
    assert any("no link leads there: node-2" in note for note in yafs(tmp_path, bare).notes)
