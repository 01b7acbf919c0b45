"""`lwmecps task create` and `show`, against a registry."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli.main import app
from services.cli.render import plain
from services.cli.run_commands import app as run_app
from services.common import convert

FLOOD = """\
name: flood
node_name: [edge1]
max_hardware: {cpu: 16, ram: 32Gi, avg_latency: 5ms}
pod_usage: {cpu: 1, ram: 512Mi}
deployments: [{name: web, node: edge1, cpu_time_ms: 20, timeout_ms: 1s}]
max_pods: 8
workload: {pattern: uniform, base_users: [25000], request_interval_s: 1}
"""
TASK = {"node_name": ["a", "b"], "max_hardware": {"cpu": 8, "ram": 16000}, "pod_usage": {"cpu": 1, "ram": 512}}


def run(registry: str, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["--registry", registry, *arguments])


@pytest.fixture
def flood(tmp_path: Path) -> str:
    (tmp_path / "task.yaml").write_text(FLOOD)
    return str(tmp_path / "task.yaml")


def test_a_load_that_can_not_be_served_is_said_and_refused_if_strict(registry: str, flood: str) -> None:
    made = run(registry, "task", "create", flood)
    assert made.exit_code == 0, made.output
    for said in ("25,000 req/s at edge1", "400 that 8 replicas serve", "500 pods needed", "warning"):
        assert said in made.stderr
    assert made.stdout.split() == [made.stdout.split()[0], "flood"]
    refused = run(registry, "task", "create", flood, "--strict")
    assert refused.exit_code == 2 and refused.stdout == ""
    assert len(json.loads(run(registry, "task", "list", "--json").stdout)) == 1


def test_a_load_is_scaled_to_the_share_that_is_asked_for(registry: str, flood: str) -> None:
    made = run(registry, "task", "create", flood, "--scale-to", "0.5", "--strict", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["spec"]["workload"]["base_users"] == pytest.approx([200.0])
    assert "times 0.008" in made.stderr


def test_a_distributions_load_is_not_scaled(registry: str, tmp_path: Path) -> None:
    (tmp_path / "city.yaml").write_text("family: mec_city\n")
    refused = run(registry, "task", "create", str(tmp_path / "city.yaml"), "--scale-to", "0.5")
    assert refused.exit_code == 2 and "only a task's load" in refused.stderr


def test_numbers_of_a_task_are_shown_as_numbers(registry: str, tmp_path: Path) -> None:
    recorded = {"pattern": "recorded", "recorded_users": {"a": [1, 2, 3], "b": [4, 5, 6]}}
    (tmp_path / "task.json").write_text(json.dumps({**TASK, "deployments": ["x"], "workload": recorded}))
    task_id = run(registry, "task", "create", str(tmp_path / "task.json")).stdout.split()[0]
    spec = json.loads(run(registry, "task", "show", task_id, "--json").stdout)["spec"]
    assert spec["workload"]["recorded_users"] == [[1, 4], [2, 5], [3, 6]]
    assert spec["workload"]["share"] == [[1], [1]] and spec["cluster"]["rtt_ms"] == [[0, 4], [4, 0]]


def test_a_recorded_task_is_shown_in_few_words_or_whole(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.task_registry.rpc.MAX_LIST_BYTES", 30_000)
    steps = 3000
    recorded = {"pattern": "recorded", "recorded_users": {"a": [1.5] * steps, "b": [2] * steps}}
    (tmp_path / "task.json").write_text(json.dumps({**TASK, "deployments": ["x"], "workload": recorded}))
    task_id = run(registry, "task", "create", str(tmp_path / "task.json")).stdout.split()[0]
    shown = json.loads(run(registry, "task", "show", task_id, "--summary").stdout)
    assert "spec" not in shown and shown["summary"]["recording"]["steps"] == steps
    assert len(shown["summary"]["recording"]["sha256"]) == 64
    whole = json.loads(run(registry, "task", "show", task_id, "--json").stdout)  # too large for one answer
    assert whole["spec"]["workload"]["recorded_users"][-1] == [1.5, 2]
    assert f"{steps:,} steps" in run(registry, "task", "list").stdout
    (listed,) = json.loads(run(registry, "task", "list", "--json").stdout)
    assert (listed["kind"], listed["env_id"], listed["summary"]["nodes"]) == ("spec", "lwmecps-v3", 2)


def test_tensors_in_maps_are_numbers_too() -> None:
    results = run_pb2.Trace(step=1)
    results.CopyFrom(convert.trace_to_message(1, {"users": (1.0, 2.0)}))
    assert plain(results)["series"] == {"users": [1.0, 2.0]}


def test_every_task_of_a_request_is_registered(registry: str, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps({"meta_method": "maml", "tasks": [TASK, {**TASK, "name": "two"}]}))
    made = run(registry, "task", "create", str(tmp_path / "body.json"))
    assert made.exit_code == 0, made.output
    assert [line.split()[1] for line in made.stdout.splitlines()] == ["task", "two"]
    assert "no deployments given" in made.stderr


def test_a_registered_task_that_a_request_names_is_not_found_by_its_id(registry: str, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps({"source_task_id": "64f0", "target_task_id": "64f1"}))
    refused = run(registry, "task", "create", str(tmp_path / "body.json"))
    assert refused.exit_code == 4 and "64f1" in refused.stderr


def test_a_file_without_a_task_is_refused(registry: str, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"tasks": []}')
    refused = run(registry, "task", "create", str(tmp_path / "body.json"))
    assert refused.exit_code == 2 and "holds no task" in refused.stderr


class Started:
    """Clients of services that keep what they are asked for."""

    def __init__(self) -> None:
        self.registered: list[Any] = []
        self.request: Any = None

    def registry(self, rpc: str, request: Any) -> Any:
        if rpc == "ListTasks":
            return registry_pb2.ListTasksResponse()  # nothing of that name yet
        self.registered.append(request)
        reply = registry_pb2.CreateTaskResponse()
        reply.task.id = f"t{len(self.registered)}"
        return reply

    def learner(self, rpc: str, request: Any) -> Any:
        self.request = request
        return learner_pb2.StartMetaTrainingResponse()


def started(command: str, body: dict[str, Any], folder: Path) -> Started:
    (folder / "body.json").write_text(json.dumps(body))
    clients = Started()
    line = f"{command} --settings {folder / 'body.json'} --detach"
    result = CliRunner().invoke(run_app, line.split(), obj=clients)
    assert result.exit_code == 0, result.output
    return clients


def test_a_request_to_meta_train_is_settings_and_tasks_of_a_run(tmp_path: Path) -> None:
    body = {"name": "M", "model_type": "meta_dqn", "meta_method": "reptile", "tasks": [TASK, TASK]}
    asked = started("meta-train", body | {"meta_parameters": {"num_meta_epochs": 3}}, tmp_path).request
    assert list(asked.task_ids) == ["t1", "t2"] and asked.label == "M"
    assert (asked.settings.num_meta_epochs, asked.settings.WhichOneof("learner")) == (3, "reptile")
    assert asked.algorithm.WhichOneof("algorithm") == "dqn"


def test_several_distributions_of_a_request_get_a_number_of_draws(tmp_path: Path) -> None:
    body = {"meta_algorithm": "maml", "task_distribution": {"mec_city": {}, "load_balancing": {}}}
    assert started("meta-train", body, tmp_path).request.num_tasks == 64
    assert started("meta-train --num-tasks 5", body, tmp_path).request.num_tasks == 5


def test_tasks_that_are_given_take_the_place_of_a_requests_own(tmp_path: Path) -> None:
    clients = started("transfer p1 --task t9", {"target_task_id": "64f1", "total_episodes": 5}, tmp_path)
    assert list(clients.request.task_ids) == ["t9"] and clients.registered == []
    clients = started("transfer p1", {"target_task_id": "64f1", "total_episodes": 5}, tmp_path)
    assert list(clients.request.task_ids) == ["64f1"] and clients.request.settings.total_episodes == 5
