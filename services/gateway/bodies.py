"""Requests of the predecessor as calls of ours: what `lwmecps_core.tasks.predecessor` reads, as messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.kinds import KINDS
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.files import read_task_data
from lwmecps_core.tasks.predecessor import DRAWN
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.common import convert

STARTS: Mapping[str, Any] = {
    "train": learner_pb2.StartTrainingRequest,
    "meta_train": learner_pb2.StartMetaTrainingRequest,
    "transfer": learner_pb2.StartTransferRequest,
    "adapt": learner_pb2.StartAdaptationRequest,
}
"""Kind of run → what asks for it."""
LONGEST_LABEL, LONGEST_TEXT = 100, 1000
SOURCE = "request"


@dataclass(frozen=True)
class Asked:
    """What a request asks for: tasks to register first, the run (without their ids), and what was assumed."""

    tasks: tuple[registry_pb2.CreateTaskRequest, ...]
    start: Any
    notes: tuple[str, ...]


def read_request(data: Any, kind: str) -> Asked:
    """What a request of the predecessor for a run of `kind` asks for; raises `InvalidInput`."""
    if not isinstance(data, dict):
        raise InvalidInput(SOURCE, [Violation(".", "must be an object")])
    given = {key: value for key, value in data.items() if key != "source_task_id"}
    file = read_task_data(_marked(given, kind), SOURCE)
    body = file.request
    if body is None or body.kind != kind:
        found = body.kind.replace("_", " ") if body and body.kind else "no run"
        raise InvalidInput(SOURCE, [Violation(".", f"asks for {found}, not for {kind.replace('_', ' ')}")])
    if kind != "transfer" and not file.items:
        raise InvalidInput(SOURCE, [Violation("tasks", "is required: at least one task")])
    start = STARTS[kind]()
    settings = dict(body.settings)
    algorithm = settings.pop("algorithm", {})
    start.settings.CopyFrom(convert.to_message(parse(KINDS[kind].settings, settings, SOURCE), type(start.settings)))
    if KINDS[kind].from_nothing:
        start.algorithm.CopyFrom(
            convert.algorithm_to_message(parse(AlgorithmConfig, {"name": "ppo"} | algorithm, SOURCE))
        )
    start.label = body.label[:LONGEST_LABEL]
    if isinstance(text := data.get("description"), str) and text:
        start.labels["description"] = text[:LONGEST_TEXT]
    notes = [note for note in body.notes if "--settings FILE" not in note]
    if len(file.items) > 1 and any(isinstance(item, TaskDistribution) for item in file.items):
        start.num_tasks = DRAWN
        notes.append(f"{DRAWN} tasks are drawn from the distributions")
    notes += [note for note in file.notes if note not in body.notes]
    return Asked(tuple(_create(item) for item in file.items), start, tuple(notes))


def _marked(given: dict[str, Any], kind: str) -> dict[str, Any]:
    """A request that says which kind it is of: a body with none of the kind's keys is one all the same."""
    if kind == "transfer":
        return {"transfer_type": "fine_tuning", "target_task_id": ""} | given
    if kind == "meta_train":
        return {"tasks": []} | given
    if "node_name" not in given and "env_config" not in given and not {"tasks", "task_distribution"} & given.keys():
        raise InvalidInput(SOURCE, [Violation("node_name", "is required: the names of the nodes")])
    own = {"adapt": ("adaptation_episodes", 20), "train": ("parameters", {})}[kind]
    return {own[0]: own[1]} | given


def _create(item: TaskSpec | TaskDistribution) -> registry_pb2.CreateTaskRequest:
    if isinstance(item, TaskSpec):
        return registry_pb2.CreateTaskRequest(spec=convert.task_to_message(item))
    return registry_pb2.CreateTaskRequest(distribution=convert.distribution_to_message(item))
