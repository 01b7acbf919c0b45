"""Files of the predecessor as they are: its tasks, and the bodies of its requests to train, transfer, adapt….

A body holds tasks (or ways to draw them, or the id of a registered one) and the settings of a run. Units of the
predecessor: CPU in cores, RAM in MiB, latency in ms, but `latency_threshold` in s.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import WARMUP_ONLY

FAMILY_SCALE = {"cpu_requirement": 1e3, "latency_threshold": 1e3}
"""Parameter of a family → how many of our units one of the predecessor's is: cores in millicores, s in ms."""
EPISODES_PER_STEP = 4
"""What an inner step collects unless it is told otherwise (`AdaptConfig`)."""
DRAWN = 64
"""Tasks that are drawn for a request that has several distributions."""
NAMES = {
    "meta_method": "method",
    "meta_algorithm": "method",
    "transfer_type": "method",
    "meta_lr": "outer_lr",
    "num_inner_steps": "adaptation_steps",
    "adaptation_episodes": "adaptation_steps",
    "gamma": "discount_factor",
    "model_type": "name",
}
"""Key of a request → setting here, where they differ."""
ALGORITHM = {
    "name",
    "hidden_size",
    "discount_factor",
    "gae_lambda",
    "clip_epsilon",
    "entropy_coef",
    "value_function_coef",
    "max_grad_norm",
    "memory_size",
    "tau",
    "epsilon",
    "learning_rate",
    "batch_size",
    "n_steps",
    "n_epochs",
}
TAKES = {
    "train": {"total_episodes"},
    "meta_train": {"method", "inner_lr", "outer_lr", "adaptation_steps", "num_meta_epochs", "meta_batch_size"},
    "transfer": {"method", "learning_rate", "total_episodes", "frozen_layers"},
    "adapt": {"adaptation_steps", "inner_lr"},
}
"""Kind of run → settings of it that a request may hold."""
BAGS = ("meta_parameters", "parameters", "model_parameters")
"""Where a request keeps settings, beside its own keys."""
REQUEST = {"tasks", "task_distribution", "source_task_id", "target_task_id"}
"""Keys that only requests have."""
OF_A_TASK = ("env_config", "namespace", "base_url", "group_id", "deployment_name")
MEANINGLESS = {
    "source_task_id": "the policy says where a transfer comes from",
    "stabilization_time": "a control interval lasts interval_s",
    **dict.fromkeys(("state", "status", "_id", "id", "version", "created_at", "updated_at", "wandb_config"), ""),
}
"""Keys that mean nothing here, and why."""


@dataclass(frozen=True)
class Body:
    """What a file of the predecessor holds: tasks and distributions as our files have them, ids of registered tasks,
    and the settings of a run of `kind` (empty: of none).
    """

    items: tuple[dict[str, Any], ...]
    task_ids: tuple[str, ...]
    named_ids: tuple[str, ...]
    """All ids that it names, those that nothing uses among them."""
    kind: str
    label: str
    settings: dict[str, Any]
    notes: tuple[str, ...]


def is_body(data: Mapping[str, Any]) -> bool:
    """Whether a file has keys of the predecessor's requests, or of its tasks, that no file of ours has."""
    theirs = {*BAGS, *MEANINGLESS, *OF_A_TASK, *NAMES, "total_episodes", "frozen_layers"}
    task = "node_name" in data or "env_config" in data
    return bool(REQUEST & data.keys()) or (task and bool(theirs & data.keys()))


def read_body(data: Mapping[str, Any], source: str) -> Body:
    """What a file of the predecessor means here.

    Keys of a request that are not known here are named in the notes; those of a task are refused later, as of any task.
    Raises `InvalidInput` for lists and mappings where others should be.
    """
    rest, kind = dict(data), _kind(data)
    settings, ignored, notes = _settings(rest, kind, source)
    ids = {key: str(rest.pop(key)) for key in ("target_task_id", "source_task_id") if key in rest}
    ignored |= {key: why for key, why in MEANINGLESS.items() if key in data}
    rest = {key: value for key, value in rest.items() if key not in MEANINGLESS}
    items = [
        {"family": family} | _family(_mapping(parameters, f"task_distribution.{family}", source))
        for family, parameters in _mapping(rest.pop("task_distribution", {}), "task_distribution", source).items()
    ]
    tasks = rest.pop("tasks", [])
    if not isinstance(tasks, list):
        raise InvalidInput(source, [Violation("tasks", "must be a list of tasks")])
    for i, task in enumerate(tasks):
        items.append(_task(_mapping(task, f"tasks[{i}]", source), ignored, source))
    label = str(rest.get("name", ""))
    if "node_name" in rest or "env_config" in rest:
        if "total_episodes" in data:
            rest.setdefault("episodes", data["total_episodes"])
        items.append(_task(rest, ignored, source))
    else:
        ignored |= {key: "" for key in rest if key not in ("name", "description")}
    if ignored:
        shown = ", ".join(f"{key} ({why})" if why else key for key, why in ignored.items())
        notes.append(f"left out, as it means nothing here: {shown}")
    if kind:
        notes.append(f"settings of a run are taken by: lwmecps {kind.replace('_', '-')} --settings FILE")
    used = tuple(value for key, value in ids.items() if key not in MEANINGLESS)
    return Body(tuple(items), used, tuple(ids.values()), kind, label, settings, tuple(notes))


def _kind(data: Mapping[str, Any]) -> str:
    for kind, keys in {
        "transfer": {"target_task_id", "transfer_type"},
        "meta_train": {"meta_method", "meta_algorithm", "meta_parameters", "task_distribution", "tasks"},
        "adapt": {"adaptation_episodes"},
        "train": {"model_type", "total_episodes", "parameters", "model_parameters"},
    }.items():
        if keys & data.keys():
            return kind
    return ""


def _settings(rest: dict[str, Any], kind: str, source: str) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """A run's settings under our names, taken out of `rest`; what means nothing here; what was assumed."""
    found: dict[str, Any] = {}
    algorithm: dict[str, Any] = {}
    ignored: dict[str, str] = {}
    notes: list[str] = []
    for path, key, value in _given(rest, source):
        name, text = NAMES.get(key, key), f"{path} {value}"
        if name == "total_episodes" and kind == "meta_train":
            found.setdefault("num_meta_epochs", value)
            notes.append(f"{text}: num_meta_epochs")
        elif name in TAKES.get(kind, ()):
            found[name] = _translated(key, value)
            if found[name] != value:
                notes.append(f"{text}: {name} {found[name]}")
        elif name in ALGORITHM and kind in ("train", "meta_train"):
            if kind == "meta_train" and name in WARMUP_ONLY:
                ignored[path] = "it acts in a warm-up only"
                continue
            algorithm[name] = _translated(key, value)
            if algorithm[name] != value:
                notes.append(f"{text}: {'algorithm' if name == 'name' else name} {algorithm[name]}")
        else:
            ignored[path] = ""
    return found | ({"algorithm": algorithm} if algorithm else {}), ignored, notes


def _given(rest: dict[str, Any], source: str) -> Iterator[tuple[str, str, Any]]:
    """Path, key and value of every setting, taken out of `rest`."""
    for bag in BAGS:
        for key, value in _mapping(rest.pop(bag, {}), bag, source).items():
            yield f"{bag}.{key}", key, value
    known = {*NAMES, *ALGORITHM, "frozen_layers"}.union(*TAKES.values()) - {"name"}
    for key in [key for key in rest if key in known]:
        yield key, key, rest.pop(key)


def _translated(key: str, value: Any) -> Any:
    if key == "model_type" and isinstance(value, str):
        return value.lower().removeprefix("meta_")
    if key == "hidden_size" and isinstance(value, int):
        return [value, max(1, value // 2)]
    if key == "frozen_layers" and isinstance(value, list):
        return len(value)
    if key == "adaptation_episodes" and isinstance(value, int):
        return max(1, round(value / EPISODES_PER_STEP))
    return value


def _task(data: Mapping[str, Any], ignored: dict[str, str], source: str) -> dict[str, Any]:
    """A task's keys as the users' form has them; those that mean nothing here are added to `ignored`."""
    task = _mapping(data.get("env_config", {}), "env_config", source) | dict(data)
    task.pop("env_config", None)
    ignored |= {key: MEANINGLESS[key] for key in task if key in MEANINGLESS}
    task = {key: value for key, value in task.items() if key not in MEANINGLESS}
    application = {key: task.pop(key) for key in ("base_url", "group_id") if key in task}
    kubernetes = {"namespace": task.pop("namespace")} if "namespace" in task else {}
    if len(application) == 2:
        kubernetes["test_application"] = application
    else:
        ignored |= dict.fromkeys(application, "a test application needs both, base_url and group_id")
    if kubernetes:
        task = {"kubernetes": kubernetes} | task
    if name := task.pop("deployment_name", None):
        task.setdefault("deployments", [name])
    return task


def _family(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value * FAMILY_SCALE[key] if key in FAMILY_SCALE and isinstance(value, int | float) else value
        for key, value in parameters.items()
    }


def _mapping(value: Any, field: str, source: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(source, [Violation(field, f"must be a mapping of keys, not {type(value).__name__}")])
    return dict(value)
