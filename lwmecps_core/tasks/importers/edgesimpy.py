"""Scenarios of EdgeSimPy, JSON (github.com/EdgeSimPy/EdgeSimPy): objects by class, each with attributes and
relationships.

Maps: EdgeServer to nodes (cpu, memory); NetworkLink delays between the servers' switches to round trips, twice the
delay of the shortest path, as EdgeSimPy counts a request's way and back; twice the wireless delay of a server's base
station to its access latency; Service to deployments (cpu_demand, memory_demand), at home at their server; User to
users of the server at their base station, or nearest to it, who ask the first service of their applications. Assumes:
units, which are asked for, since the format has none; how often a user asks. Drops: further services of an application,
movement, access patterns, delay_slas, disks, images, power, bandwidth.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lwmecps_core.tasks.importers.graphs import reachable, round_trips, shortest
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import MIB, MS, EdgeSimPyOptions, seconds
from lwmecps_core.tasks.importers.places import Places, unique
from lwmecps_core.tasks.importers.scenario import identity, number, scenario
from lwmecps_core.tasks.importers.tables import Floats, refused

CORES = {"cores": 1.0, "millicores": 1e-3}
LEAST = {"cpu": 1e-3, "ram": 1.0}
"""Of a pod that demands nothing: cores, MiB."""


def read_edgesimpy(file: Path, options: EdgeSimPyOptions) -> Places:
    """A scenario; raises `InvalidInput` naming the class and id of an object that is not as EdgeSimPy writes it."""
    world = _World(file, options)
    servers: list[str] = []
    off: list[str] = []
    for id_, server in world.of["EdgeServer"].items():
        attributes = server["attributes"]
        usable = attributes.get("available", True) is not False and attributes.get("active", True) is not False
        (servers if usable else off).append(id_)
    if not servers:
        raise refused(file, "EdgeServer", "there is none that is available and active")
    rtt_ms, component = world.switch_round_trips()
    switch_of = {id_: world.switch("EdgeServer", id_) for id_ in servers}
    at = [world.switches.index(switch_of[id_]) for id_ in servers]
    names = [f"edge-server-{id_}" for id_ in servers]
    kept, lost = reachable(component[at], names, file)
    servers, at, names = [servers[i] for i in kept], [at[i] for i in kept], [names[i] for i in kept]
    nodes = {name: world.node(id_) for name, id_ in zip(names, servers, strict=True)}
    deployments, homeless = world.services(dict(zip(servers, names, strict=True)))
    users, share, moved, mute = world.users(servers, rtt_ms[:, at], [str(one["name"]) for one in deployments])
    workload = {
        "pattern": "uniform",
        "base_users": users.tolist(),
        "request_interval_s": seconds(options.request_interval, "--request-interval"),
    } | ({"share": share.tolist()} if users.any() and deployments else {})
    notes = [
        f"{len(names)} edge servers, cpu in {options.cpu_unit}, memory in {options.memory_unit}: {listed(names)}",
        f"{len(deployments)} services, {int(users.sum())} users; delays in {options.delay_unit}, there and back",
        *lost,
        *([f"left out, not available or not active: {listed([f'edge-server-{i}' for i in off])}"] if off else []),
        *([f"services without a server, which go to the nodes in turn: {listed(homeless)}"] if homeless else []),
        *(
            [f"{moved} users at base stations without a server are at the nearest one's, without the way there"]
            if moved
            else []
        ),
        *([f"{mute} users have no application with a service, and ask for nothing"] if mute else []),
        f"each user asks the first service of its application, once per {options.request_interval}",
        "left out: further services of applications, movement, access patterns, delay SLAs, disks, images, power",
    ]
    between = rtt_ms[np.ix_(at, at)]
    return Places(file, tuple(names), between, tuple(notes), nodes, deployments, workload)


class _World:
    """The objects of a scenario."""

    def __init__(self, file: Path, options: EdgeSimPyOptions) -> None:
        self.file, self.options = file, options
        data = scenario(file)
        if not isinstance(data, dict) or "EdgeServer" not in data:
            raise refused(file, ".", "is no scenario of EdgeSimPy: it has no EdgeServer")
        self.of: dict[str, dict[str, Mapping[str, Any]]] = {}
        for kind in ("EdgeServer", "NetworkSwitch", "NetworkLink", "BaseStation", "Service", "Application", "User"):
            self.of[kind] = {}
            objects = data.get(kind) or []
            if not isinstance(objects, list):
                raise refused(file, kind, "is no list of objects")
            for i, one in enumerate(objects):
                attributes = one.get("attributes") if isinstance(one, Mapping) else None
                if not isinstance(attributes, Mapping) or attributes.get("id") is None:
                    raise refused(file, f"{kind}[{i}]", "has no attributes with an id")
                id_ = identity(file, f"{kind}[{i}].attributes.id", attributes["id"])
                if id_ in self.of[kind]:
                    raise refused(file, f"{kind}[{i}]", f"id {id_} stands twice")
                if not isinstance(one.get("relationships") or {}, Mapping):
                    raise refused(file, f"{kind}[{i}]", "has relationships that name nothing")
                self.of[kind][id_] = one
        self.switches = list(self.of["NetworkSwitch"])

    def number(self, kind: str, id_: str, key: str) -> float:
        """An attribute that must be a number of 0 or more."""
        return number(self.file, f"{kind} {id_}: {key}", self.of[kind][id_]["attributes"].get(key))

    def related(self, kind: str, id_: str, key: str) -> list[str]:
        """Ids of the objects that a relationship names."""
        found = (self.of[kind][id_].get("relationships") or {}).get(key) or []
        several = found if isinstance(found, list) else [found]
        if not all(isinstance(one, Mapping) and "id" in one for one in several):
            raise refused(self.file, f"{kind} {id_}: {key}", f"{found!r} names no objects by id")
        return [identity(self.file, f"{kind} {id_}: {key}", one["id"]) for one in several]

    def switch(self, kind: str, id_: str) -> str:
        """The switch of a base station, or of a server: its own, or its base station's."""
        for other in self.related(kind, id_, "network_switch"):
            if other in self.of["NetworkSwitch"]:
                return other
        for other in self.related(kind, id_, "base_station") if kind != "BaseStation" else []:
            if other in self.of["BaseStation"]:
                return self.switch("BaseStation", other)
        raise refused(self.file, f"{kind} {id_}", "has no network_switch, so nothing is known about its links")

    def switch_round_trips(self) -> tuple[Floats, Any]:
        """Round trips between switches, and the component of each."""
        delays: dict[tuple[int, int], float] = {}
        for id_ in self.of["NetworkLink"]:
            ends = self.related("NetworkLink", id_, "nodes")
            if len(ends) != 2 or any(end not in self.switches for end in ends):
                raise refused(self.file, f"NetworkLink {id_}: nodes", f"{ends} are no two switches")
            a, b = (self.switches.index(end) for end in ends)
            shortest(delays, a, b, MS[self.options.delay_unit] * self.number("NetworkLink", id_, "delay"))
        return round_trips(len(self.switches), delays, self.file)

    def node(self, id_: str) -> dict[str, float]:
        """What a server has, in the units of the users' form."""
        stations = self.related("EdgeServer", id_, "base_station")
        if unknown := [f"BaseStation {i}" for i in stations if i not in self.of["BaseStation"]]:
            raise refused(self.file, f"EdgeServer {id_}: base_station", f"there is no {unknown[0]}")
        wireless = self.number("BaseStation", stations[0], "wireless_delay") if stations else 0.0
        return {
            "cpu": CORES[self.options.cpu_unit] * self.number("EdgeServer", id_, "cpu"),
            "ram": MIB[self.options.memory_unit] * self.number("EdgeServer", id_, "memory"),
            "avg_latency": 2.0 * MS[self.options.delay_unit] * wireless,
        }

    def services(self, node_of: Mapping[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
        """Deployments, one per service and in their order, and those without a server that is a node."""
        found, homeless = [], []
        ids = list(self.of["Service"])
        labels = [str(self.of["Service"][i]["attributes"].get("label") or f"service-{i}") for i in ids]
        for id_, name in zip(ids, unique(labels, ids), strict=True):
            home = [node_of[i] for i in self.related("Service", id_, "server") if i in node_of]
            cpu = CORES[self.options.cpu_unit] * self.number("Service", id_, "cpu_demand")
            ram = MIB[self.options.memory_unit] * self.number("Service", id_, "memory_demand")
            one: dict[str, Any] = {
                "name": name,
                "pod_usage": {"cpu": max(cpu, LEAST["cpu"]), "ram": max(ram, LEAST["ram"])},
            }
            if home:
                one["node"] = home[0]
            else:
                homeless.append(one["name"])
            found.append(one)
        return found, homeless

    def users(self, servers: Sequence[str], ways: Floats, services: Sequence[str]) -> tuple[Floats, Floats, int, int]:
        """Users at each server, the part of them that asks each service; how many have no server of their own, and how
        many no application with a service.
        """
        asked = np.zeros((len(servers), max(1, len(services))))
        users, ids, moved, mute = np.zeros(len(servers)), list(self.of["Service"]), 0, 0
        for id_ in self.of["User"]:
            stations = [i for i in self.related("User", id_, "base_station") if i in self.of["BaseStation"]]
            if not stations:
                raise refused(self.file, f"User {id_}: base_station", "names no base station")
            here = [i for i in self.related("BaseStation", stations[0], "edge_servers") if i in servers]
            if here:
                node = list(servers).index(here[0])
            else:
                way = ways[self.switches.index(self.switch("BaseStation", stations[0]))]
                if not np.isfinite(way.min()):
                    raise refused(self.file, f"User {id_}: base_station", "no link leads from there to a server")
                node, moved = int(way.argmin()), moved + 1
            users[node] += 1.0
            first = [
                self.related("Application", app, "services")[:1]
                for app in self.related("User", id_, "applications")
                if app in self.of["Application"]
            ]
            chosen = [ids.index(one[0]) for one in first if one and one[0] in ids]
            mute += not chosen
            for service in chosen:
                asked[node, service] += 1.0 / len(chosen)
        share = np.floor(asked / np.maximum(users, 1.0)[:, None] * 1e9) / 1e9
        return users, share, moved, mute
