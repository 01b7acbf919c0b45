"""What a run that is refused leaves behind: what its user had registered, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli import run_commands

BODY = {
    "name": "T",
    "source_task_id": "64f0",
    "target_task_id": "64f1",
    "transfer_type": "layer_wise",
    "frozen_layers": [0, 1],
    "learning_rate": 0.0001,
    "total_episodes": 50,
}
CITY = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\n"


class Registry:
    """Registers tasks under new ids and remembers what is deleted."""

    def __init__(self) -> None:
        self.made, self.deleted = list[str](), list[str]()

    def __call__(self, method: str, request: Any, *_: Any) -> Any:
        if method == "CreateTask":
            self.made.append(f"new-{len(self.made)}")
            return pb.CreateTaskResponse(task=pb.Task(id=self.made[-1]))
        if method == "GetTask":
            return pb.GetTaskResponse(task=pb.Task(id=request.task_id))
        if method == "DeleteTask":
            self.deleted.append(request.task_id)
            return pb.DeleteTaskResponse()
        return pb.ListTasksResponse()


class Services:
    def __init__(self) -> None:
        self.registry = Registry()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Clients of services that refuse every run."""

    def refuse(clients: Any, request: Any) -> Any:
        raise InvalidInput("request", [Violation("settings", "no")])

    monkeypatch.setattr(run_commands, "start", refuse)
    return Services()


def _asked(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"Run": options, "Training": {}, "Algorithm": {}}


def test_tasks_that_were_registered_for_a_refused_run_go_and_those_named_stay(refusing: Any, tmp_path: Path) -> None:
    file = tmp_path / "city.yaml"
    file.write_text(CITY)
    with pytest.raises(InvalidInput, match="settings: no"):
        run_commands._start(
            refusing, learner_pb2.StartTrainingRequest(), _asked({"task": ("mine", str(file))}), as_json=False
        )
    assert refusing.registry.made == refusing.registry.deleted == ["new-0"]


@pytest.mark.parametrize("option", ["settings", "task"])
def test_registered_tasks_that_a_file_names_stay(option: str, refusing: Any, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(BODY))
    given = {option: file if option == "settings" else (str(file),)}
    request = learner_pb2.StartTransferRequest(policy_id="policy")
    with pytest.raises(InvalidInput, match="settings: no"):
        run_commands._start(refusing, request, {"Run": given, "Transfer": {}}, as_json=False)
    assert "64f1" in request.task_ids and refusing.registry.deleted == []
