"""A task, or a distribution of tasks, under an imported load: on a cluster that is given, or on one that is made up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskDistribution, TaskSpec, WorkloadSpec
from lwmecps_core.tasks.homes import home_node
from lwmecps_core.tasks.importers.loads import Load, Series, listed
from lwmecps_core.tasks.importers.options import LoadOptions, seconds
from lwmecps_core.tasks.importers.tables import Floats
from lwmecps_core.tasks.names import finder, natural
from lwmecps_core.tasks.user_form import TIMEOUT_MS, to_task
from lwmecps_core.tasks.workload import users_table

NODE = {"cpu": 8.0, "ram": 16_384.0, "avg_latency": 2.0}
"""Of a made-up node: cores, MiB, ms."""
MAX_REPLICAS = 8
"""Of a made-up deployment: as in distributions, so that policies that learnt on these fit."""
PATIENCE = 4.0
"""Timeout of a made-up deployment, in times of a request's CPU time, but at least the usual one."""
MOST_SERIES = 200
"""From which number on somebody must say how many nodes are meant."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Imported:
    """What a source became, and lines on what was mapped, assumed and dropped."""

    item: TaskSpec | TaskDistribution
    notes: tuple[str, ...]


def with_load(load: Load, template: TaskSpec | None, options: LoadOptions) -> Imported:
    """The task or distribution that `options` ask for under `load`, on the cluster of `template` if there is one.

    Raises `InvalidInput` with both lists where series and nodes don't have the same names.
    """
    if options.family is not None:
        return _distribution(load, template, options)
    task, notes = _made_up(load, options) if template is None else _on(load, template, options)
    return Imported(task, (*load.notes, *notes, *_account(load, task)))


def _made_up(load: Load, options: LoadOptions) -> tuple[TaskSpec, list[str]]:
    """A task on a cluster of its own: a node for every place, and what users there ask."""
    _refuse_too_many(load, options)
    homes = _homes_of(load)
    nodes = list(dict.fromkeys(node for node, _ in homes))
    known: dict[str, float] = {}
    for (_, deployment), cpu_ms in zip(homes, load.cpu_time_ms or [None] * len(homes), strict=True):
        if cpu_ms is not None:
            known[deployment] = cpu_ms
    of: dict[str, dict[str, float]] = {}
    for (node, deployment), weight in zip(homes, load.rps.sum(axis=0), strict=True):
        at = of.setdefault(deployment, {})
        at[node] = at.get(node, 0.0) + float(weight)
    deployments = [
        {"name": name, "node": max(at, key=lambda node: at[node])}
        | ({"cpu_time_ms": known[name], "timeout_ms": max(TIMEOUT_MS, PATIENCE * known[name])} if name in known else {})
        for name, at in of.items()
    ]
    columns = np.array([nodes.index(node) for node, _ in homes])
    asked = np.array([list(of).index(deployment) for _, deployment in homes])
    users, share, mixed = _users(load, columns, asked, len(nodes), len(of))
    given = {
        "name": options.name or load.source.name.split(".")[0] or "imported",
        "env_id": options.env_id or "lwmecps-v3",
        "node_name": nodes,
        "max_hardware": NODE,
        "deployments": deployments,
        "max_pods": MAX_REPLICAS,
        "workload": {"pattern": "uniform", "base_users": (0.0,) * len(nodes), "share": share},
    }
    made, notes = to_task(given, str(load.source))
    task = _under(made, users, load, options, {})
    size = f"{NODE['cpu']:g} cores, {NODE['ram']:g} MiB, {NODE['avg_latency']:g} ms from its users"
    pod = task.deployments[0]
    asked_for = (
        "" if len(known) == len(of) else f", {pod.cpu_time_ms:g} ms of CPU time per request where the source says none"
    )
    said = [
        f"no cluster given: {len(nodes)} made-up nodes of {size} each ({listed(nodes)})",
        f"{len(of)} deployments of pods of {pod.cpu_millicores:g} millicores, "
        f"at most {pod.max_replicas} replicas{asked_for}",
    ]
    return task, [*said, *mixed, *notes]


def _homes_of(load: Load) -> list[tuple[str, str]]:
    """The node and the deployment of every series; what the source doesn't name is named after the other."""
    found = []
    for one in load.series:
        node = one.node or one.deployment or "node-1"
        found.append((node, one.deployment or f"app-{node}"))
    return found


def _refuse_too_many(load: Load, options: LoadOptions) -> None:
    if options.at:
        reason = "says to which node of --cluster FILE a series goes, but no cluster is given"
        raise InvalidInput("command line", [Violation("--at", reason)])
    if len(load.series) > MOST_SERIES:
        reason = f"{len(load.series):,} series would be as many nodes: keep the busiest (--top), deal them (--stations)"
        raise InvalidInput(str(load.source), [Violation(".", reason)])


def _on(load: Load, template: TaskSpec, options: LoadOptions) -> tuple[TaskSpec, list[str]]:
    """`template` with its load replaced; its cluster, deployments, objective and sharing stay."""
    nodes, names = [n.name for n in template.cluster.nodes], [d.name for d in template.deployments]
    if load.series == (Series(),) and len(nodes) > 1 and not options.at:
        load, said = _spread(load, template)
    else:
        said = []
    asked = _deployments(load, names)
    columns, joins = _columns(load, nodes, template, asked, options)
    users, share, mixed = _users(load, columns, asked, len(nodes), len(names))
    changed: dict[str, object] = {}
    if (asked >= 0).any():
        changed["share"] = share
        said += [*mixed, "users ask the deployments that the source names"]
    else:
        said.append("whom users ask (share, failover) is the cluster file's")
    if any(cpu is not None for cpu in load.cpu_time_ms):
        said.append("what requests cost is the cluster file's; the source's durations are left out")
    task = _under(template, users, load, options, changed)
    return task, [*joins, *said]


def _under(task: TaskSpec, users: Floats, load: Load, options: LoadOptions, changed: dict[str, object]) -> TaskSpec:
    """`task` with a workload that replays `users` `[S, N]`, and what `options` say of name, environment and time."""
    recorded: dict[str, object] = {
        "pattern": "recorded",
        "recorded_users": _rows(users),
        "recorded_step_s": load.step_s,
        "request_interval_s": load.request_interval_s,
        "resample": options.resample,
        "speedup": options.speedup,
        "noise": 0.0,
        "base_users": (),
        "phase": (),
    }
    workload = parse(WorkloadSpec, vars(task.workload) | recorded | changed, str(load.source))
    fields: dict[str, object] = {"workload": workload}
    for key, value in (("name", options.name), ("env_id", options.env_id), ("horizon", options.horizon)):
        fields |= {key: value} if value is not None else {}
    if options.interval:
        fields["interval_s"] = seconds(options.interval, "--interval")
    made: TaskSpec = parse(TaskSpec, vars(task) | fields, str(load.source))
    return made


def _spread(load: Load, template: TaskSpec) -> tuple[Load, list[str]]:
    """One series as one per node, in proportion to the template's users."""
    usual = users_table(template).mean(axis=0).astype(np.float64)
    if not usual.sum() > 0.0:
        usual = np.ones(len(usual))
    part = usual / usual.sum()
    series = tuple(Series(node=node.name) for node in template.cluster.nodes)
    said = "the source has no places: its load is spread over the nodes in proportion to the cluster file's users"
    return replace(load, series=series, rps=load.rps * part), [said]


def _deployments(load: Load, names: Sequence[str]) -> NDArray[np.int64]:
    """The index of the deployment of every series, −1 where the source names none."""
    at = {"": -1} | {one.deployment: finder(names)(one.deployment) for one in load.series if one.deployment}
    if missing := sorted((name for name, found in at.items() if found is None), key=natural):
        reason = f"the source's deployments {listed(missing)} are none of the cluster file's: {listed(names)}"
        raise InvalidInput(str(load.source), [Violation("deployments", reason)])
    return np.array([at[one.deployment] for one in load.series])


def _columns(
    load: Load, nodes: Sequence[str], template: TaskSpec, asked: NDArray[np.int64], options: LoadOptions
) -> tuple[NDArray[np.int64], list[str]]:
    """The node of every series: as `--at` says, of its name, or, of a series that names a deployment only, its home."""
    find, told = finder(nodes), _told(load, nodes, options)
    columns = np.full(len(load.series), -1)
    for i, one in enumerate(load.series):
        found = told.get(one.label, told.get(one.node))
        if found is None and one.node:
            found = find(one.node)
        elif found is None and asked[i] >= 0:
            found = home_node(template, int(asked[i]))
        columns[i] = -1 if found is None else found
    _refuse_alike(load, columns, told)
    lost = [one.label for one, column in zip(load.series, columns, strict=True) if column < 0]
    idle = [name for i, name in enumerate(nodes) if i not in set(columns.tolist())]
    if lost or (idle and not options.idle_nodes):
        reason = f"series without a node: {listed(lost) or 'none'}; nodes without load: {listed(idle) or 'none'}"
        advice = f"say --at SERIES=NODE{', or --idle-nodes' if not lost else ''}"
        whole = f"series {listed([one.label for one in load.series])}; nodes {listed(nodes)}"
        raise InvalidInput(str(load.source), [Violation("nodes", f"{reason} ({whole}): {advice}")])
    notes = [f"nodes without load: {listed(idle)}"] if idle else []
    if any(not one.node for one in load.series):
        notes.append("the source names deployments only: their users are at the deployments' homes")
    return columns, notes


def _refuse_alike(load: Load, columns: NDArray[np.int64], told: Mapping[str, int]) -> None:
    """Raise `InvalidInput` for two names of nodes in the source that are one node's: nobody said that they are one."""
    names: dict[int, str] = {}
    for one, column in zip(load.series, columns.tolist(), strict=True):
        if column < 0 or not one.node or {one.label, one.node} & told.keys():
            continue
        if (first := names.setdefault(column, one.node)) != one.node:
            reason = f"{first!r} and {one.node!r} are one name, as case, - and _ don't count: say --at SERIES=NODE"
            raise InvalidInput(str(load.source), [Violation("nodes", reason)])


def _told(load: Load, nodes: Sequence[str], options: LoadOptions) -> dict[str, int]:
    """What `--at` says; raises `InvalidInput` for series and nodes that there are not."""
    told: dict[str, int] = {}
    known = {name for one in load.series for name in (one.label, one.node) if name}
    for text in options.at:
        series, _, node = text.rpartition("=")
        if series not in known or node not in nodes:
            what = f"{text!r} is no SERIES=NODE of the series {listed(sorted(known))} and the nodes {listed(nodes)}"
            raise InvalidInput("command line", [Violation("--at", what)])
        told[series] = list(nodes).index(node)
    return told


def _users(
    load: Load, columns: NDArray[np.int64], asked: NDArray[np.int64], nodes: int, deployments: int
) -> tuple[Floats, list[list[float]], list[str]]:
    """Users `[S, nodes]`, the part of them that asks each deployment, and what that loses."""
    users = np.zeros((len(load.rps), nodes))
    weight = np.zeros((nodes, deployments))
    for i, (node, deployment) in enumerate(zip(columns, asked, strict=True)):
        users[:, node] += load.rps[:, i] * load.request_interval_s
        weight[node, deployment] += load.rps[:, i].sum() if deployment >= 0 else 0.0
    several = (weight > 0.0).sum(axis=1)
    # Rounded down, because parts must not sum to more than 1; the busiest deployment takes the rest.
    share = np.floor(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300) * 1e12) / 1e12
    busiest = weight.argmax(axis=1)
    rest = np.where(weight.sum(axis=1) > 0.0, 1.0 - share.sum(axis=1), 0.0)
    share[np.arange(nodes), busiest] += rest
    said = "how users share their requests among deployments is the mean over the recording"
    return users, share.tolist(), [said] if (several > 1).any() else []


def _distribution(load: Load, template: TaskSpec | None, options: LoadOptions) -> Imported:
    taken: dict[str, object] = {"cluster": template, "interval": options.interval, "at": options.at or None}
    taken |= {"speedup": None if options.speedup == 1.0 else options.speedup}
    if said := [f"--{name}" for name, value in taken.items() if value is not None]:
        reason = f"a distribution draws clusters and keeps the time of its families, so {', '.join(said)} can't hold"
        raise InvalidInput("command line", [Violation("--family", reason)])
    _refuse_too_many(load, options)
    homes = _homes_of(load)
    nodes = list(dict.fromkeys(node for node, _ in homes))
    users = np.zeros((len(load.rps), len(nodes)))
    for i, (node, _) in enumerate(homes):
        users[:, nodes.index(node)] += load.rps[:, i] * load.request_interval_s
    given = {
        "family": options.family,
        "env_id": options.env_id or "lwmecps-v3",
        "nodes": len(nodes),
        "deployments": len(nodes),
        "horizon": options.horizon or 120,
        "recorded_users": _rows(users),
        "recorded_step_s": load.step_s,
        "recorded_request_interval_s": load.request_interval_s,
        "resample": options.resample,
    }
    item: TaskDistribution = parse(TaskDistribution, given, str(load.source))
    said = [f"columns of the recording, in this order: {listed(nodes)}; the family draws everything else"]
    return Imported(item, (*load.notes, *said, *_account(load, item)))


def _rows(users: Floats) -> Iterator[list[float]]:
    """Rows as plain numbers, a few at a time: all at once they would take more room than the file."""
    for start in range(0, len(users), 4096):
        yield from users[start : start + 4096].tolist()


def _account(load: Load, item: TaskSpec | TaskDistribution) -> list[str]:
    """How many requests the source has, and how many the task."""
    users = item.workload.recorded_users if isinstance(item, TaskSpec) else item.recorded_users
    asked = fsum(map(fsum, users)) * load.step_s / load.request_interval_s
    if abs(asked - load.requests) <= TOLERANCE * max(asked, load.requests):
        return [f"requests: {asked:,.10g}, in the source as in the task"]
    return [f"requests: {load.requests:,.10g} in the source, {asked:,.10g} in the task, for the reasons above"]
