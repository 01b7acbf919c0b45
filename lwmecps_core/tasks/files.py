"""Task files (YAML or JSON): a task by its own keys, a task as users write it, or a task distribution.

A file with `cluster` holds a `TaskSpec`; one with `node_name` the users' form (`lwmecps_core.tasks.user_form`); any
other a `TaskDistribution`. Recorded load comes in by `workload: {profile: DIR}` (a task) or `profile: DIR` (a
distribution), a directory beside the file.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.profiles import RecordedLoad, load_profiles
from lwmecps_core.tasks.user_form import UserTask, to_task


def load_task(path: Path, profile_root: Path | None = None) -> TaskSpec | TaskDistribution:
    """Read a task file.

    Load profiles are looked up in, and must lie in, `profile_root` (default: the file's own folder). Raises
    `InvalidInput` with the file, the path inside it and the reason for every problem.
    """
    path = Path(path)
    data = _read(path)
    root = (profile_root or path.parent).resolve()
    if "cluster" in data or "node_name" in data:
        return _task(data, str(path), root)
    distribution: TaskDistribution = parse(TaskDistribution, _with_recording(data, str(path), root), str(path))
    return distribution


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(str(path), [Violation(".", f"not readable: {error}")]) from None
    if not isinstance(data, dict):
        raise InvalidInput(str(path), [Violation(".", f"must hold a mapping of keys, not {type(data).__name__}")])
    return data


def _task(data: dict[str, Any], source: str, root: Path) -> TaskSpec:
    workload = data.get("workload")
    if isinstance(workload, dict) and "profile" in workload:
        data = {**data, "workload": _recorded_workload(workload, source, root)}
    task: TaskSpec
    if "node_name" in data:
        if "cluster" in data:
            raise InvalidInput(source, [Violation("cluster", "can't stand beside node_name: use one form of the two")])
        task = to_task(parse(UserTask, data, source), source)
    else:
        task = parse(TaskSpec, data, source)
    _refuse_pods_that_fit_nowhere(task, source)
    return task


def _recorded_workload(workload: dict[str, Any], source: str, root: Path) -> dict[str, Any]:
    """The workload's keys with the recording in place of `profile`; other keys given beside it stand."""
    rest = {key: value for key, value in workload.items() if key != "profile"}
    for key in ("recorded_users", "recorded_step_s", "base_users", "pattern"):
        if key in rest:
            raise InvalidInput(source, [Violation(f"workload.{key}", "can't stand beside profile, which sets it")])
    load = _profile(workload["profile"], "workload.profile", source, root)
    n = len(load.stations)
    recorded = {
        "pattern": "recorded",
        "recorded_users": load.users,
        "recorded_step_s": load.step_s,
        "request_interval_s": load.request_interval_s,
        "arrivals": "burst",
        "noise": 0.0,
        "share": [[float(i == j) for j in range(n)] for i in range(n)],
        "failover": load.failover,
    }
    return {**recorded, **rest}


def _with_recording(data: dict[str, Any], source: str, root: Path) -> dict[str, Any]:
    if "profile" not in data:
        return data
    rest = {key: value for key, value in data.items() if key != "profile"}
    if "recorded_users" in rest:
        raise InvalidInput(source, [Violation("recorded_users", "can't stand beside profile, which sets it")])
    load = _profile(data["profile"], "profile", source, root)
    n = len(load.stations)
    recorded = {"nodes": n, "deployments": n, "recorded_users": load.users, "recorded_step_s": load.step_s}
    return {**recorded, **rest}


def _profile(name: Any, field: str, source: str, root: Path) -> RecordedLoad:
    if not isinstance(name, str) or not name:
        raise InvalidInput(source, [Violation(field, "must name a directory of load profiles")])
    directory = (root / name).resolve()
    if not directory.is_relative_to(root):
        raise InvalidInput(source, [Violation(field, f"{name!r} leaves the folder {root}")])
    if not directory.is_dir():
        raise InvalidInput(source, [Violation(field, f"{directory} is not a directory")])
    return load_profiles(directory)


def _refuse_pods_that_fit_nowhere(task: TaskSpec, source: str) -> None:
    problems = []
    for i, pod in enumerate(task.deployments):
        nodes = [n for n in task.cluster.nodes if not pod.allowed_nodes or n.name in pod.allowed_nodes]
        if not any(pod.cpu_millicores <= n.cpu_millicores and pod.ram_mib <= n.ram_mib for n in nodes):
            need = f"{pod.cpu_millicores:g} millicores and {pod.ram_mib:g} MiB"
            problems.append(
                Violation(f"deployments[{i}]", f"a pod of {pod.name!r} ({need}) fits no node it may run on")
            )
    if problems:
        raise InvalidInput(source, problems)


def task_to_yaml(task: TaskSpec | TaskDistribution) -> str:
    """The task as a file that `load_task` reads back equal."""
    text: str = yaml.safe_dump(dump(task), sort_keys=False, default_flow_style=None, width=120)
    return text
