"""A task of places and the latency between them: with the nodes of a cluster that is given, or with made-up ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import ClusterSpec, TaskSpec
from lwmecps_core.tasks.importers.assemble import MAX_REPLICAS, NODE, Imported
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import PlacesOptions
from lwmecps_core.tasks.importers.tables import Floats, refused
from lwmecps_core.tasks.names import canonical
from lwmecps_core.tasks.user_form import to_task

MOST_NODES = 200
"""More would take more room than a task may (nodes × deployments × replicas)."""
MOST_MS = 3.6e6
"""Of a round trip: an hour, which only numbers of another unit reach."""


@dataclass(frozen=True)
class Places:
    """Nodes and the round trips between them `[N, N]` in ms; what else a source knows, in keys of the users' form."""

    source: Path
    names: tuple[str, ...]
    rtt_ms: Floats
    notes: tuple[str, ...] = ()
    nodes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Node → what it has (`NodeInfo`), where the source knows it."""
    deployments: Sequence[Mapping[str, Any]] = ()
    workload: Mapping[str, Any] = field(default_factory=dict)


def unique(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Names that stand once, in one line: one that doesn't, or is empty, gets its id, and where that is a name too, its
    number. Case, - and _ don't count.
    """
    plain = [" ".join(name.split()) for name in names]
    count = Counter(map(canonical, plain))
    made: dict[str, str] = {}
    for i, (name, id_) in enumerate(zip(plain, ids, strict=True)):
        one = name if name and count[canonical(name)] == 1 else f"{name or 'node'}-{id_}"
        while one != name and (canonical(one) in count or canonical(one) in made):
            one += f"-{i + 1}"
        made[canonical(one)] = one
    return list(made.values())


def with_places(places: Places, template: TaskSpec | None, options: PlacesOptions) -> Imported:
    """The places as a task; of a `template`, its task with these round trips.

    Raises `InvalidInput` with both lists where names differ from the template's nodes, and for a round trip of hours.
    """
    if not (longest := float(places.rtt_ms.max())) <= MOST_MS:
        i, j = np.unravel_index(places.rtt_ms.argmax(), places.rtt_ms.shape)
        reason = (
            f"the round trip between {places.names[i]} and {places.names[j]} is {longest:.4g} ms: is its unit right?"
        )
        raise refused(places.source, ".", reason)
    if template is not None:
        return _between(places, template, options)
    if len(places.names) > MOST_NODES:
        raise refused(places.source, ".", f"{len(places.names):,} nodes are too many for a task (at most {MOST_NODES})")
    said = _lengths(places)
    if not places.nodes:
        size = f"{NODE['cpu']:g} cores, {NODE['ram']:g} MiB, {NODE['avg_latency']:g} ms from its users"
        said.append(f"the source has no capacities: {len(places.names)} nodes of {size} each ({listed(places.names)})")
    most = {key: max([has.get(key, 0.0) for has in places.nodes.values()] or [value]) for key, value in NODE.items()}
    given: dict[str, Any] = {
        "name": options.name or places.source.name.split(".")[0] or "imported",
        "env_id": options.env_id or "lwmecps-v3",
        "node_name": list(places.names),
        "max_hardware": {key: value or NODE[key] for key, value in most.items() if key != "avg_latency"}
        | {"avg_latency": most["avg_latency"]},
        "node_info": {name: dict(has) for name, has in places.nodes.items()},
        "links": [
            {"between": [places.names[i], places.names[j]], "rtt_ms": float(places.rtt_ms[i, j])}
            for i, j in combinations(range(len(places.names)), 2)
        ],
        "workload": dict(places.workload),
        "max_pods": MAX_REPLICAS,
    }
    if places.deployments:
        given["deployments"] = [dict(one) for one in places.deployments]
    task, notes = to_task(given, str(places.source))
    if not places.workload:
        said.append("no load in the source: diurnal, 17 users at each node (import a load with --cluster FILE)")
    if not places.nodes:
        return Imported(task, (*places.notes, *said, *notes))
    cores = sum(node.cpu_millicores for node in task.cluster.nodes) / 1e3
    total = f"capacity: {cores:,.10g} cores and {sum(node.ram_mib for node in task.cluster.nodes):,.10g} MiB in all"
    return Imported(task, (*places.notes, *said, *notes, total))


def _between(places: Places, template: TaskSpec, options: PlacesOptions) -> Imported:
    nodes = [node.name for node in template.cluster.nodes]
    at: dict[str, int] = {}
    for i, name in enumerate(places.names):
        if (first := at.setdefault(canonical(name), i)) != i:
            reason = f"{places.names[first]!r} and {name!r} are one name, as case, - and _ don't count"
            raise refused(places.source, "nodes", reason)
    if set(at) != {canonical(name) for name in nodes} or len(at) != len(nodes):
        reason = (
            f"the source's places ({listed(places.names)}) and the cluster's nodes ({listed(nodes)}) must be the same"
        )
        raise InvalidInput(str(places.source), [Violation("nodes", reason)])
    order = [at[canonical(name)] for name in nodes]
    rtt_ms = places.rtt_ms[np.ix_(order, order)].tolist()
    cluster = ClusterSpec(nodes=template.cluster.nodes, rtt_ms=tuple(map(tuple, rtt_ms)))
    changed: dict[str, Any] = {"cluster": cluster}
    changed |= {key: value for key in ("name", "env_id") if (value := getattr(options, key)) is not None}
    task: TaskSpec = parse(TaskSpec, vars(template) | changed, str(places.source))
    said = "round trips are the source's; capacities, deployments, load, and whom users ask are the cluster file's"
    return Imported(task, (*places.notes, *_lengths(places), said))


def _lengths(places: Places) -> list[str]:
    """How long round trips are, so that another unit than the source's is seen."""
    between = places.rtt_ms[np.triu_indices(len(places.names), 1)]
    return [f"round trips are {between.min():.4g} to {between.max():.4g} ms long"] if between.size else []
