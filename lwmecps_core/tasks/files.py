"""Task files (YAML or JSON): a task by its own keys, a task as users write it, or a task distribution.

A file with `cluster` holds a `TaskSpec`; one with `node_name` the users' form (`lwmecps_core.tasks.user_form`); any
other a `TaskDistribution`. Files of the predecessor may hold several (`lwmecps_core.tasks.predecessor`). Recorded load
comes in by `workload: {profile: DIR}` (a task) or `profile: DIR` (a distribution), a directory beside the file; `pad`
beside it makes recordings of different lengths equally long.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reading import read_mapping
from lwmecps_core.specs import CONTINUOUS_SUFFIX, TaskDistribution, TaskSpec, WorkloadSpec
from lwmecps_core.tasks.bounds import check_multipliers
from lwmecps_core.tasks.by_name import by_position
from lwmecps_core.tasks.links import symmetric
from lwmecps_core.tasks.predecessor import Body, is_body, read_body
from lwmecps_core.tasks.profiles import Pad, RecordedLoad, load_profiles, profile_distribution, with_load
from lwmecps_core.tasks.quantities import without_units
from lwmecps_core.tasks.user_form import TIMEOUT_MS, UserTask, to_task
from lwmecps_core.tasks.workload import users_table

Item = TaskSpec | TaskDistribution
SET_BY_A_PROFILE = ("recorded_users", "recorded_step_s", "base_users", "pattern")
RESAMPLED = {"mean": "the mean of {} recorded steps", "max": "the largest of {}", "sample": "the first of {}"}


@dataclass(frozen=True)
class TaskFile:
    """What a file holds, and what had to be assumed to read it: lines for people.

    `request` is the rest of a request of the predecessor: settings of a run, and ids of registered tasks.
    """

    items: tuple[Item, ...]
    notes: tuple[str, ...]
    request: Body | None = None

    def only(self, source: str) -> Item:
        """The one task or distribution of the file; raises `InvalidInput` naming `source` for none and for several."""
        if len(self.items) != 1:
            raise InvalidInput(source, [Violation(".", f"holds {len(self.items)} tasks or distributions, not one")])
        return self.items[0]


def load_task(path: Path, profile_root: Path | None = None) -> Item:
    """Read a task file that holds one task or distribution; see `read_task_file`."""
    return read_task_file(path, profile_root).only(str(path))


def read_task_file(path: Path, profile_root: Path | None = None) -> TaskFile:
    """Read a task file with what was assumed.

    Load profiles are looked up in, and must lie in, `profile_root` (default: the file's own folder). Raises
    `InvalidInput` with the file, the path inside it and the reason for every problem.
    """
    path = Path(path)
    return read_task_data(read_mapping(path), str(path), (profile_root or path.parent).resolve())


def read_task_data(data: dict[str, Any], source: str, root: Path | None = None) -> TaskFile:
    """What a mapping holds that came from elsewhere than a file, or from one called `source`; see `read_task_file`.

    Without a `root`, load profiles, which are folders, are refused.
    """
    if not is_body(data):
        item, notes = _item(data, source, root)
        check_multipliers(item, source)
        return TaskFile((item,), tuple(notes))
    body = read_body(data, source)
    items, notes = [], list(body.notes)
    for i, one in enumerate(body.items):
        item, more = _item(one, f"{source}: task {i + 1}" if len(body.items) > 1 else source, root)
        check_multipliers(item, source)
        items.append(item)
        notes += more
    return TaskFile(tuple(items), tuple(dict.fromkeys(notes)), body)


def _item(data: dict[str, Any], source: str, root: Path | None) -> tuple[Item, list[str]]:
    data = without_units(data, source)
    only_users = {field.name for field in fields(UserTask)} - {field.name for field in fields(TaskDistribution)}
    if "cluster" not in data and ("family" in data or not only_users & data.keys()):
        return _distribution(data, source, root)
    if "cluster" in data and "node_name" in data:
        raise InvalidInput(source, [Violation("cluster", "can't stand beside node_name: use one form of the two")])
    task, notes = _task(data, source, root)
    _refuse_pods_that_fit_nowhere(task, source)
    return task, notes + replay_notes(task)


def _task(data: dict[str, Any], source: str, root: Path | None) -> tuple[TaskSpec, list[str]]:
    workload = data.get("workload", {})
    if not isinstance(workload, dict):
        raise InvalidInput(source, [Violation("workload", "must be a mapping of keys")])
    nodes, deployments = _names(data)
    given = by_position(workload, nodes, deployments, source)
    load, kept = _profile(given, "workload.", SET_BY_A_PROFILE, source, root), tuple(given)
    notes = [] if "workload" in data else ["no workload given: the default, diurnal load of 17 users at each node"]
    if "cluster" in data:
        if load:  # its columns take the place of these as soon as nodes and deployments are known
            given |= {"base_users": [0.0] * len(nodes)}
            given.setdefault("share", [[0.0] * len(deployments)] * len(nodes))
        cluster = data["cluster"]
        made = symmetric(cluster, source) if isinstance(cluster, dict) else cluster
        native = {**data, "cluster": made} | ({"workload": given} if given else {})
        task: TaskSpec = parse(TaskSpec, native, source)
    else:
        timeout_ms = load.timeout_ms if load else TIMEOUT_MS
        task, assumed = to_task({**data, "workload": given}, source, timeout_ms)
        notes += assumed
        if load and any(isinstance(d, str) or "timeout_ms" not in d for d in data.get("deployments") or [""]):
            notes.append(f"timeouts of deployments that give none are the recording's: {timeout_ms:g} ms")
    if load is None:
        return task, notes
    task, joins = with_load(load, task, source, kept)
    return task, [*notes, *joins]


def _distribution(data: dict[str, Any], source: str, root: Path | None) -> tuple[TaskDistribution, list[str]]:
    rest = dict(data)
    taken = ("recorded_users", "recorded_step_s")
    load = _profile(rest, "", taken, source, root)
    if load is None:
        read: TaskDistribution = parse(TaskDistribution, data, source)
        return read, _resampling(read)
    recorded = profile_distribution(load, TaskDistribution())
    names = ("nodes", "deployments", *taken, "recorded_request_interval_s", "recorded_failover")
    distribution: TaskDistribution = parse(
        TaskDistribution, {name: getattr(recorded, name) for name in names} | rest, source
    )
    notes = [*load.notes, f"the recording's timeout of {load.timeout_ms:g} ms is left out: families draw timeouts"]
    if distribution.env_id.removesuffix(CONTINUOUS_SUFFIX) in ("lwmecps-v2", "lwmecps-v4"):
        notes.append("whom the recorded users ask is left out: where pods run anywhere, deployments are other services")
    return distribution, notes + _resampling(distribution)


def _names(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of nodes and deployments, as far as the file can be read."""
    cluster = data.get("cluster")
    nodes = cluster.get("nodes") if isinstance(cluster, dict) else data.get("node_name")
    found = []
    for entries in (nodes, data.get("deployments")):
        listed = entries if isinstance(entries, list) else []
        found.append([str(e.get("name", "") if isinstance(e, dict) else e) for e in listed])
    return found[0], found[1] or [f"app-{name}" for name in found[0]]


def _profile(
    given: dict[str, Any], where: str, sets: tuple[str, ...], source: str, root: Path | None
) -> RecordedLoad | None:
    """The recorded load that `profile` and `pad`, taken out of `given`, name; None where there is none."""
    pad = given.pop("pad", None)
    if pad not in (None, *get_args(Pad)):
        raise InvalidInput(source, [Violation(f"{where}pad", f"{pad!r} is none of {', '.join(get_args(Pad))}")])
    if "profile" not in given:
        if pad is not None:
            raise InvalidInput(source, [Violation(f"{where}pad", "stands beside a profile only")])
        return None
    name, field = given.pop("profile"), f"{where}profile"
    for key in sets:
        if key in given:
            raise InvalidInput(source, [Violation(f"{where}{key}", "can't stand beside profile, which sets it")])
    if not isinstance(name, str) or not name:
        raise InvalidInput(source, [Violation(field, "must name a directory of load profiles")])
    if root is None:
        reason = "names a directory, and there is none here: `lwmecps task create` takes it, or write recorded_users"
        raise InvalidInput(source, [Violation(field, reason)])
    directory = (root / name).resolve()
    if not directory.is_relative_to(root):
        raise InvalidInput(source, [Violation(field, f"{name!r} leaves the folder {root}")])
    if not directory.is_dir():
        raise InvalidInput(source, [Violation(field, f"{directory} is not a directory")])
    return load_profiles(directory, pad)


def replay_notes(item: Item) -> list[str]:
    """What of a recording control intervals and episodes see, where that is not all of it."""
    return _resampling(item) + (_unused(item) if isinstance(item, TaskSpec) else [])


def _resampling(item: Item) -> list[str]:
    """How a recording becomes control intervals, where these are longer than its steps."""
    recorded: WorkloadSpec | TaskDistribution = item.workload if isinstance(item, TaskSpec) else item
    if not recorded.recorded_users:
        return []
    every_s = item.interval_s * item.workload.speedup if isinstance(item, TaskSpec) else 720.0
    steps, whole = every_s / recorded.recorded_step_s, len(recorded.recorded_users)
    if steps <= 1.0:
        return []
    if steps > whole > 1:
        covered = f"{whole} steps of {recorded.recorded_step_s:g} s"
        return [f"a control interval covers {every_s:g} s, more than the whole recording ({covered}): load is constant"]
    what = RESAMPLED[recorded.resample].format(f"{steps:.4g}")
    return [
        f"a control interval covers {every_s:g} s of the recording and takes {what} "
        f"(resample: {recorded.resample}; or {', '.join(how for how in RESAMPLED if how != recorded.resample)})"
    ]


def _unused(task: TaskSpec) -> list[str]:
    """That episodes which all begin at its beginning see a part of the load only."""
    intervals = len(users_table(task))
    if task.workload.random_start or intervals <= task.horizon:
        return []
    return [f"episodes see the first {task.horizon} of the load's {intervals} intervals only (random_start: false)"]


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


def task_to_yaml(task: Item) -> str:
    """The task as a file that `load_task` reads back equal."""
    text: str = yaml.safe_dump(dump(task), sort_keys=False, default_flow_style=None, width=120)
    return text
