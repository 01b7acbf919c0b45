"""Scenarios of YAFS, JSON (github.com/acsicuib/YAFS): a network, and optionally applications, their places and sources.

Files, told apart by what they hold: `entity` and `link` (network), a list of applications with `module` and `message`,
`initialAllocation`, `sources`. Maps: entities to nodes with IPT / `ipt_per_core` cores and RAM; links to round trips,
twice PR + bytes / (BW · 10⁶) (BW is megabytes per unit of time in YAFS's code, though a comment says Mbit), over the
shortest paths; modules to deployments of one core per pod, whose requests cost the instructions of the message that
reaches them; allocations to homes; a source's lambda, the mean time between its messages, to requests per second at its
entity. Assumes: units, which are asked for; that messages of the most bytes decide what a link costs. Drops: messages
between modules (a request ends at the first one), answers, HD, costs, power, MaxLatency.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lwmecps_core.tasks.importers.graphs import reachable, round_trips, shortest
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import MIB, MS, YafsOptions
from lwmecps_core.tasks.importers.places import Places
from lwmecps_core.tasks.importers.tables import Floats, refused, whole

KINDS = {"entity": "network", "initialAllocation": "allocation", "sources": "users"}
BYTES_PER_BW = 1e6
POD_CORES, POD_MIB = 1.0, 1.0
"""Of a module: it is served at the speed of one core; RAM where it says 0."""

Item = Mapping[str, Any]


def read_yafs(files: Sequence[Path], options: YafsOptions) -> Places:
    """A scenario; raises `InvalidInput` with the file and the path inside it for what YAFS would not write."""
    parts = _parts(files)
    file, network = parts["network"]
    entities: dict[str, Item] = {}
    for i, one in enumerate(network["entity"]):
        if (key := str(_get(file, f"entity[{i}]", one, "id"))) in entities:
            raise refused(file, f"entity[{i}]", f"id {key} stands twice")
        entities[key] = one
    if not entities:
        raise refused(file, "entity", "there is none")
    messages = _messages(parts)
    most_bytes = max([bytes_ for bytes_, _ in messages.values()], default=0.0)
    ids = list(entities)
    delays: dict[tuple[int, int], float] = {}
    unit_ms = MS[options.time_unit]
    for i, link in enumerate(_list(file, "link", network.get("link") or [])):
        ends = [str(_get(file, f"link[{i}]", link, key)) for key in "sd"]
        if unknown := [end for end in ends if end not in entities]:
            raise refused(file, f"link[{i}]", f"leads to {unknown[0]}, which is no entity")
        pr, bw = (_number(file, f"link[{i}]", link, key) for key in ("PR", "BW"))
        if most_bytes and not bw:
            raise refused(file, f"link[{i}].BW", "is 0: no message gets through")
        delay = pr + (most_bytes / (bw * BYTES_PER_BW) if most_bytes else 0.0)
        shortest(delays, ids.index(ends[0]), ids.index(ends[1]), unit_ms * delay)
    rtt_ms, component = round_trips(len(ids), delays)
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
    deployments = _deployments(parts, messages, node_of, options)
    workload, asked = _workload(parts, messages, node_of, [str(one["name"]) for one in deployments], options)
    notes = (
        f"{len(node_of)} entities and {len(delays)} links: {listed(list(node_of.values()))}",
        f"time in {options.time_unit}, RAM in {options.ram_unit}, {options.ipt_per_core:g} IPT a core, BW in MB",
        f"a link costs PR and the time of {most_bytes:g} bytes, there and back",
        f"{len(deployments)} modules as deployments of one core a pod; {asked}",
        *lost,
        "left out: messages between modules, answers, HD, costs, MaxLatency; there is no access latency",
    )
    return Places(file, tuple(node_of.values()), rtt_ms[np.ix_(kept, kept)], notes, nodes, deployments, workload)


def _parts(files: Sequence[Path]) -> dict[str, tuple[Path, Any]]:
    parts: dict[str, tuple[Path, Any]] = {}
    for path in files:
        try:
            data = json.loads(whole(path))
        except (ValueError, RecursionError) as error:
            raise refused(path, ".", f"not readable as JSON: {error}") from None
        kinds = [kind for key, kind in KINDS.items() if isinstance(data, dict) and isinstance(data.get(key), list)]
        kind = "applications" if isinstance(data, list) else kinds[0] if kinds else ""
        if not kind:
            raise refused(path, ".", f"is no file of YAFS: neither a list of applications, nor {', '.join(KINDS)}")
        if kind in parts:
            raise refused(path, ".", f"is a second file with {kind}, beside {parts[kind][0].name}")
        parts[kind] = path, data
    if "network" not in parts:
        raise refused(files[0], ".", "is no network: a file with entity and link is needed")
    return parts


def _get(file: Path, where: str, one: Any, key: str) -> Any:
    if not isinstance(one, Mapping) or key not in one:
        raise refused(file, where, f"has no {key}")
    return one[key]


def _list(file: Path, where: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise refused(file, where, f"{found!r} is no list")
    return found


def _number(file: Path, where: str, one: Any, key: str) -> float:
    value = _get(file, where, one, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < np.inf:
        raise refused(file, f"{where}.{key}", f"{value!r} is no number of 0 or more")
    return float(value)


def _messages(parts: Mapping[str, tuple[Path, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Application and module → bytes and instructions of the first message that reaches it."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    file, applications = parts.get("applications", (Path(), []))
    for i, app in enumerate(applications):
        for k, message in enumerate(_list(file, f"[{i}].message", _get(file, f"[{i}]", app, "message"))):
            where = f"[{i}].message[{k}]"
            key = str(_get(file, f"[{i}]", app, "id")), str(_get(file, where, message, "d"))
            found.setdefault(
                key, (_number(file, where, message, "bytes"), _number(file, where, message, "instructions"))
            )
    return found


def _deployments(
    parts: Mapping[str, tuple[Path, Any]],
    messages: Mapping[tuple[str, str], tuple[float, float]],
    node_of: Mapping[str, str],
    options: YafsOptions,
) -> list[dict[str, Any]]:
    """A deployment per module, in their order, at home where it is first allocated."""
    homes: dict[tuple[str, str], list[str]] = {}
    where_of: dict[tuple[str, str], str] = {}
    file, allocation = parts.get("allocation", (Path(), {"initialAllocation": []}))
    for i, one in enumerate(allocation["initialAllocation"]):
        where = f"initialAllocation[{i}]"
        app, module, id_ = (str(_get(file, where, one, key)) for key in ("app", "module_name", "id_resource"))
        if id_ not in node_of:
            raise refused(file, where, f"{module} is at {id_}, which is no entity that others are linked to")
        homes.setdefault((app, module), []).append(node_of[id_])
        where_of.setdefault((app, module), where)
    found: list[dict[str, Any]] = []
    allocated = file
    file, applications = parts.get("applications", (Path(), []))
    for i, app in enumerate(applications):
        for k, module in enumerate(_list(file, f"[{i}].module", _get(file, f"[{i}]", app, "module"))):
            where = f"[{i}].module[{k}]"
            key = str(_get(file, f"[{i}]", app, "id")), str(_get(file, where, module, "name"))
            ram = MIB[options.ram_unit] * _number(file, where, module, "RAM") if "RAM" in module else POD_MIB
            one = {"name": f"app-{key[0]}-{key[1]}", "pod_usage": {"cpu": POD_CORES, "ram": ram or POD_MIB}}
            if instructions := messages.get(key, (0.0, 0.0))[1]:
                one["cpu_time_ms"] = instructions / options.ipt_per_core * MS[options.time_unit]
            if home := homes.pop(key, None):
                one |= {"node": home[0], "replicas": home.count(home[0])}
            found.append(one)
    for (app, module), _ in homes.items():
        raise refused(allocated, where_of[app, module], f"application {app} with a module {module} is in no file")
    return found


def _workload(
    parts: Mapping[str, tuple[Path, Any]],
    messages: Mapping[tuple[str, str], tuple[float, float]],
    node_of: Mapping[str, str],
    names: Sequence[str],
    options: YafsOptions,
) -> tuple[dict[str, Any], str]:
    """The sources' requests at their entities, and what is said of them."""
    if "users" not in parts or not names:
        return {}, "no sources"
    file, sources = parts["users"]
    nodes = list(node_of.values())
    rates: Floats = np.zeros((len(nodes), len(names)))
    for i, one in enumerate(sources["sources"]):
        where = f"sources[{i}]"
        app, id_ = str(_get(file, where, one, "app")), str(_get(file, where, one, "id_resource"))
        every = _number(file, where, one, "lambda") * MS[options.time_unit] / 1e3
        first = [module for (of, module) in messages if of == app][:1]
        if id_ not in node_of or not first or not every:
            raise refused(file, where, f"{dict(one)} is no source at a linked entity of a known application")
        rates[nodes.index(node_of[id_]), list(names).index(f"app-{app}-{first[0]}")] += 1.0 / every
    total = rates.sum(axis=1)
    share = np.floor(rates / np.maximum(total, 1e-300)[:, None] * 1e9) / 1e9
    workload = {"pattern": "uniform", "base_users": total.tolist(), "request_interval_s": 1.0, "noise": 0.0}
    workload |= {"share": share.tolist()}
    return workload, f"{len(sources['sources'])} sources send {total.sum():.6g} requests per second"
