"""Places and links of the Internet Topology Zoo, GraphML (topology-zoo.org; github.com/mroughan/InternetTopologyZoo).

Maps: nodes with Latitude and Longitude to nodes named by their label; edges to links as long as the way between their
ends as the crow flies; round trips go over the shortest links. Assumes: how long light takes (`Distance`); that links
lead both ways; of a node without coordinates (a hyperedge, or a place that was not found) that it joins its neighbours
directly. Drops: nodes of other networks (Internal 0), link speeds and labels, countries, nodes that no link leads to.
The zoo has no capacities and no load.
"""

from collections import Counter
from itertools import combinations
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lwmecps_core.tasks.importers.graphs import (
    great_circle_km,
    one_way_ms,
    reachable,
    refuse_many,
    round_trips,
    said_of,
    shortest,
    with_base,
)
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import Distance
from lwmecps_core.tasks.importers.places import Places, unique
from lwmecps_core.tasks.importers.tables import MOST_WHOLE, refused, whole_bytes

SPACE = "{*}"
"""GraphML's name space, or none: some tools leave it out."""


def read_topology_zoo(file: Path, options: Distance) -> Places:
    """Nodes and round trips of a network; raises `InvalidInput` for what is no GraphML, or has no two linked places."""
    nodes, edges = _parsed(file)
    inside = {id_: data for id_, data in nodes.items() if data.get("Internal") != "0"}
    refuse_many(len(inside), file)
    where: dict[str, tuple[float, float]] = {}
    for id_, data in inside.items():
        if not {"Latitude", "Longitude"} <= data.keys():
            continue
        at = _degrees(data["Latitude"]), _degrees(data["Longitude"])
        if not (abs(at[0]) <= 90.0 and abs(at[1]) <= 180.0):
            found = f"{data['Latitude']!r}, {data['Longitude']!r}"
            raise refused(file, f"node {id_}", f"Latitude and Longitude {found} are no degrees")
        where[id_] = at
    if not where:
        raise refused(file, ".", "no node of the network has Latitude and Longitude: its links have no length")
    links = {frozenset(edge) for edge in edges if set(edge) <= inside.keys() and edge[0] != edge[1]}
    nowhere = [id_ for id_ in inside if id_ not in where]
    for id_ in nowhere:  # its neighbours are joined directly
        around = sorted({other for link in links if id_ in link for other in link} - {id_})
        links = {link for link in links if id_ not in link} | {frozenset(pair) for pair in combinations(around, 2)}
    ids = list(where)
    names = unique([nodes[id_].get("label", "") for id_ in ids], ids)
    km = great_circle_km(np.array(list(where.values())), np.array(list(where.values())))
    delays_ms: dict[tuple[int, int], float] = {}
    for link in links:
        a, b = (ids.index(id_) for id_ in link)
        shortest(delays_ms, a, b, float(one_way_ms(km[a, b], options)))
    rtt_ms, component = round_trips(len(ids), delays_ms, file)
    others = [data.get("label", id_) for id_, data in nodes.items() if id_ not in inside]
    kept, lost = reachable(component, names, file)
    notes = [
        f"{len(kept)} nodes and {len(delays_ms)} links: {listed([names[i] for i in kept])}",
        f"{said_of(options)}, over the shortest links, which lead both ways",
        *lost,
        *([f"left out, of other networks: {listed(others)}"] if others else []),
        *([f"without coordinates, so neighbours are joined directly: {listed(nowhere)}"] if nowhere else []),
        "left out: link speeds",
    ]
    return Places(file, tuple(names[i] for i in kept), with_base(rtt_ms[np.ix_(kept, kept)], options), tuple(notes))


def _degrees(text: str) -> float:
    try:
        return float(text) if "_" not in text else inf  # Python takes 1_0 for a number
    except ValueError:
        return inf


def _parsed(file: Path) -> tuple[dict[str, dict[str, str]], list[tuple[str, str]]]:
    """Attributes of nodes by id, and the ends of edges."""
    try:
        root = ElementTree.fromstring(whole_bytes(file, MOST_WHOLE))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise refused(file, ".", f"not readable as GraphML: {error}") from None
    graphs = root.findall(f"{SPACE}graph")
    if len(graphs) != 1:
        raise refused(file, ".", f"has {len(graphs)} graphs, not one" if graphs else "is no GraphML: it has no graph")
    (graph,) = graphs
    keys = {key.get("id"): key.get("attr.name", "") for key in root.iterfind(f".//{SPACE}key")}
    nodes = {
        str(node.get("id")): {
            keys.get(data.get("key"), ""): (data.text or "").strip()
            for data in node.iterfind(f".//{SPACE}data")
            if data.text
        }
        for node in graph.iterfind(f".//{SPACE}node")
    }
    if any(not node.get("id") for node in graph.iterfind(f".//{SPACE}node")):
        raise refused(file, "node", "has no id")
    ids = Counter(node.get("id") for node in graph.iterfind(f".//{SPACE}node"))
    if twice := [f"node {id_}" for id_, count in ids.items() if count > 1]:
        raise refused(file, twice[0], "stands twice: ids must differ")
    edges = [(str(edge.get("source")), str(edge.get("target"))) for edge in graph.iterfind(f".//{SPACE}edge")]
    if unknown := [end for edge in edges for end in edge if end not in nodes]:
        raise refused(file, "edge", f"leads to {unknown[0]!r}, which is no node")
    return nodes, edges
