"""Scenarios of YAFS, JSON (github.com/acsicuib/YAFS): a network, and optionally applications, their places and sources.

Files, told apart by what they hold: `entity` and `link` (network), a list of applications with `module` and `message`,
`initialAllocation`, `sources`. Maps: entities to nodes with IPT / `ipt_per_core` cores and RAM; links to round trips,
twice PR + bytes / (BW · 10⁶) (BW is megabytes per unit of time in YAFS's code, though a comment says Mbit), over the
shortest paths; modules to deployments of one core per pod, whose requests cost the instructions of the message that
reaches them first; allocations to homes; a source's lambda, the mean time between its messages, to requests per second
at its entity, to the module that its message reaches. Assumes: units, which are asked for; that messages of the most
bytes decide what a link costs. Drops: messages between modules (a request ends at the first one), allocations of a
module after the first, answers, HD, costs, power, MaxLatency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lwmecps_core.tasks.importers.graphs import reachable, round_trips, shortest
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import MIB, MS, YafsOptions
from lwmecps_core.tasks.importers.places import Places
from lwmecps_core.tasks.importers.scenario import MOST, field, identity, number, scenario
from lwmecps_core.tasks.importers.tables import Floats, refused

KINDS = {"entity": "network", "initialAllocation": "allocation", "sources": "users"}
BYTES_PER_BW = 1e6
POD_CORES, POD_MIB = 1.0, 1.0
"""Of a module: it is served at the speed of one core; RAM where it says 0."""
LEAST_MS = 1e-3
"""Of a request whose message has no instructions."""

Item = Mapping[str, Any]
Parts = Mapping[str, tuple[Path, Any]]
Module = tuple[str, str]
"""Application and name."""


@dataclass(frozen=True)
class _Message:
    name: str
    to: Module
    bytes: float
    instructions: float


def read_yafs(files: Sequence[Path], options: YafsOptions) -> Places:
    """A scenario; raises `InvalidInput` with the file and the path inside it for what YAFS would not write."""
    parts = _parts(files)
    file, network = parts["network"]
    entities: dict[str, Item] = {}
    for i, one in enumerate(network["entity"]):
        if (key := _id(file, f"entity[{i}]", one, "id")) in entities:
            raise refused(file, f"entity[{i}]", f"id {key} stands twice")
        entities[key] = one
    if not entities:
        raise refused(file, "entity", "there is none")
    messages = _messages(parts)
    most_bytes = max([message.bytes for message in messages], default=0.0)
    ids = list(entities)
    delays: dict[tuple[int, int], float] = {}
    unit_ms = MS[options.time_unit]
    for i, link in enumerate(_list(file, "link", network.get("link") or [])):
        ends = [_id(file, f"link[{i}]", link, key) for key in "sd"]
        if unknown := [end for end in ends if end not in entities]:
            raise refused(file, f"link[{i}]", f"leads to {unknown[0]}, which is no entity")
        pr, bw = (_number(file, f"link[{i}]", link, key) for key in ("PR", "BW"))
        if most_bytes and not bw:
            raise refused(file, f"link[{i}].BW", "is 0: no message gets through")
        delay = pr + (most_bytes / (bw * BYTES_PER_BW) if most_bytes else 0.0)
        shortest(delays, ids.index(ends[0]), ids.index(ends[1]), unit_ms * delay)
    rtt_ms, component = round_trips(len(ids), delays, file)
    names = [f"node-{id_}" for id_ in ids]
    kept, lost = reachable(component, names, file)
    node_of = {ids[i]: names[i] for i in kept}
    nodes = {
        node_of[id_]: {
            "cpu": _number(file, f"entity {id_}", entities[id_], "IPT") / options.ipt_per_core,
            "ram": MIB[options.ram_unit] * _number(file, f"entity {id_}", entities[id_], "RAM"),
            "avg_latency": 0.0,
        }
        for id_ in node_of
    }
    modules, spread = _deployments(parts, messages, node_of, options)
    workload, asked = _workload(parts, messages, node_of, list(modules), options)
    unasked = [str(one["name"]) for one in modules.values() if "cpu_time_ms" not in one]
    notes = (
        f"{len(node_of)} entities and {len(delays)} links: {listed(list(node_of.values()))}",
        f"time in {options.time_unit}, RAM in {options.ram_unit}, {options.ipt_per_core:g} IPT a core, BW in MB",
        f"a link costs PR and the time of {most_bytes:g} bytes, there and back",
        f"{len(modules)} modules as deployments of one core a pod; {asked}",
        *lost,
        *([f"no message reaches, so the usual CPU time per request: {listed(unasked)}"] if unasked else []),
        *([f"allocated to several entities, of which the first counts: {listed(spread)}"] if spread else []),
        "left out: messages between modules, answers, HD, costs, MaxLatency; there is no access latency",
    )
    between = rtt_ms[np.ix_(kept, kept)]
    return Places(file, tuple(node_of.values()), between, notes, nodes, list(modules.values()), workload)


def _parts(files: Sequence[Path]) -> dict[str, tuple[Path, Any]]:
    """What the files hold, by kind; one file may hold several."""
    parts: dict[str, tuple[Path, Any]] = {}
    for path in files:
        data = scenario(path)
        kinds = [kind for key, kind in KINDS.items() if isinstance(data, dict) and isinstance(data.get(key), list)]
        if not (found := ["applications"] if isinstance(data, list) else kinds):
            raise refused(path, ".", f"is no file of YAFS: neither a list of applications, nor {', '.join(KINDS)}")
        for kind in found:
            if kind in parts:
                raise refused(path, ".", f"is a second file with {kind}, beside {parts[kind][0].name}")
            parts[kind] = path, data
    if "network" not in parts:
        raise refused(files[0], ".", "is no network: a file with entity and link is needed")
    return parts


def _list(file: Path, where: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise refused(file, where, f"{found!r} is no list")
    return found


def _id(file: Path, where: str, one: Any, key: str) -> str:
    return identity(file, f"{where}.{key}", field(file, where, one, key))


def _number(file: Path, where: str, one: Any, key: str) -> float:
    return number(file, f"{where}.{key}", field(file, where, one, key))


def _messages(parts: Parts) -> list[_Message]:
    """The messages of all applications, in their order; raises `InvalidInput` for an application that stands twice."""
    found: list[_Message] = []
    file, applications = parts.get("applications", (Path(), []))
    seen: set[str] = set()
    for i, app in enumerate(applications):
        if (name := _app(file, i, app)) in seen:
            raise refused(file, f"[{i}]", f"name {name} stands twice")
        seen.add(name)
        for k, message in enumerate(_list(file, f"[{i}].message", field(file, f"[{i}]", app, "message"))):
            where = f"[{i}].message[{k}]"
            to, called = _id(file, where, message, "d"), str(message.get("name", ""))
            sizes = (_number(file, where, message, key) for key in ("bytes", "instructions"))
            found.append(_Message(called, (name, to), *sizes))
    return found


def _app(file: Path, i: int, app: Any) -> str:
    """What others call an application: its name, as in YAFS's code, and only where it has none its id."""
    return _id(file, f"[{i}]", app, "name" if isinstance(app, Mapping) and "name" in app else "id")


def _deployments(
    parts: Parts, messages: Sequence[_Message], node_of: Mapping[str, str], options: YafsOptions
) -> tuple[dict[Module, dict[str, Any]], list[str]]:
    """A deployment per module, in their order, at home where it is allocated first; and those elsewhere, too."""
    homes = _homes(parts, node_of)
    cost = {message.to: message.instructions for message in reversed(messages)}
    found: dict[Module, dict[str, Any]] = {}
    file, applications = parts.get("applications", (Path(), []))
    for i, app in enumerate(applications):
        for k, module in enumerate(_list(file, f"[{i}].module", field(file, f"[{i}]", app, "module"))):
            where = f"[{i}].module[{k}]"
            key = _app(file, i, app), _id(file, where, module, "name")
            if key in found:
                raise refused(file, where, f"name {key[1]} stands twice")
            ram = MIB[options.ram_unit] * _number(file, where, module, "RAM") if "RAM" in module else POD_MIB
            one: dict[str, Any] = {
                "name": f"app-{key[0]}-{key[1]}",
                "pod_usage": {"cpu": POD_CORES, "ram": ram or POD_MIB},
            }
            if key in cost:
                one["cpu_time_ms"] = max(cost[key] / options.ipt_per_core * MS[options.time_unit], LEAST_MS)
            if home := [node for _, node in homes.get(key, ())]:
                one |= {"node": home[0], "replicas": home.count(home[0])}
            found[key] = one
    for (app, module), at in homes.items():
        if (app, module) not in found:
            raise refused(parts["allocation"][0], at[0][0], f"application {app} with a module {module} is in no file")
    return found, [str(found[key]["name"]) for key, at in homes.items() if len({node for _, node in at}) > 1]


def _homes(parts: Parts, node_of: Mapping[str, str]) -> dict[Module, list[tuple[str, str]]]:
    """Of every module that is allocated, where the file says so, and the node."""
    homes: dict[Module, list[tuple[str, str]]] = {}
    file, allocation = parts.get("allocation", (Path(), {"initialAllocation": []}))
    for i, one in enumerate(allocation["initialAllocation"]):
        where = f"initialAllocation[{i}]"
        app, module, id_ = (_id(file, where, one, key) for key in ("app", "module_name", "id_resource"))
        if id_ not in node_of:
            raise refused(file, where, f"{module} is at {id_}, which is no entity that others are linked to")
        homes.setdefault((app, module), []).append((where, node_of[id_]))
    return homes


def _workload(
    parts: Parts,
    messages: Sequence[_Message],
    node_of: Mapping[str, str],
    modules: Sequence[Module],
    options: YafsOptions,
) -> tuple[dict[str, Any], str]:
    """The sources' requests at their entities, and what is said of them."""
    if "users" not in parts or not modules:
        return {}, "no sources"
    file, sources = parts["users"]
    nodes = list(node_of.values())
    rates: Floats = np.zeros((len(nodes), len(modules)))
    for i, one in enumerate(sources["sources"]):
        where = f"sources[{i}]"
        app, id_ = (_id(file, where, one, key) for key in ("app", "id_resource"))
        every_s = _number(file, where, one, "lambda") * MS[options.time_unit] / 1e3
        of = [m for m in messages if m.to[0] == app and m.to in modules and m.name == str(one.get("message", m.name))]
        if id_ not in node_of or not of or every_s * MOST < 1.0:
            reason = "is no source at a linked entity, of a message to a module of a known application"
            raise refused(file, where, f"{dict(one)} {reason}")
        rates[nodes.index(node_of[id_]), modules.index(of[0].to)] += 1.0 / every_s
    total = rates.sum(axis=1)
    share = np.floor(rates / np.maximum(total, 1e-300)[:, None] * 1e9) / 1e9
    workload = {"pattern": "uniform", "base_users": total.tolist(), "request_interval_s": 1.0, "noise": 0.0}
    workload |= {"share": share.tolist()}
    return workload, f"{len(sources['sources'])} sources send {total.sum():.6g} requests per second"
