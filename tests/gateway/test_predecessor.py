"""The scripts of lwmecps-gym's users, as its documentation has them, against the services of today."""

import json
import time
from typing import Any

import pytest
import requests

from tests.gateway.system import CASES, InProcess

pytestmark = pytest.mark.timeout(900)
HARDWARE = {"cpu": 8, "ram": 16000, "tx_bandwidth": 1000, "rx_bandwidth": 1000, "avg_latency": 300}
NODES = ["node1", "node2", "node3"]
META = {
    "name": "Meta-PPO",
    "description": "as users write it",
    "model_type": "meta_ppo",
    "meta_method": "maml",
    "tasks": [
        {
            "task_id": f"{name}",
            "name": name,
            "node_name": NODES,
            "max_hardware": HARDWARE,
            "pod_usage": {"cpu": cpu, "ram": ram, "tx_bandwidth": 40, "rx_bandwidth": 40},
            "episodes": 50,
        }
        for name, cpu, ram in (("high_cpu", 4, 4000), ("high_memory", 2, 6000))
    ],
    "meta_parameters": {"meta_lr": 0.01, "inner_lr": 0.01, "num_inner_steps": 1, "num_meta_epochs": 2},
    "parameters": {"hidden_size": 64, "discount_factor": 0.99},
}
ADAPT = {
    "node_name": NODES,
    "max_hardware": HARDWARE,
    "pod_usage": {"cpu": 3, "ram": 3000, "tx_bandwidth": 30, "rx_bandwidth": 30},
    "adaptation_episodes": 4,
}
DISTRIBUTION = {
    "name": "MAML",
    "meta_algorithm": "fomaml",
    "inner_lr": 0.01,
    "outer_lr": 0.001,
    "adaptation_steps": 1,
    "meta_batch_size": 2,
    "task_distribution": {
        "kubernetes_scaling": {"max_pods": 20, "cpu_requirement": 1.0, "memory_requirement": 1000},
        "load_balancing": {"traffic_pattern": "uniform", "latency_threshold": 0.5},
    },
    "total_episodes": 1,
}


def _ended(url: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 600
    while (task := requests.get(url, timeout=60).json())["state"] not in ("completed", "failed"):
        assert time.monotonic() < deadline_s, task
        time.sleep(0.2)
    return task


def test_the_documented_script_runs_create_start_poll_adapt(system: InProcess) -> None:
    base = f"{system.url}/meta-learning/meta-tasks"
    created = requests.post(base, json=META, timeout=60)
    assert created.status_code == 200, created.text
    task = created.json()
    assert (task["state"], task["progress"], task["model_type"], task["name"]) == (
        "pending",
        0.0,
        "meta_ppo",
        "Meta-PPO",
    )
    assert len(task["task_ids"]) == 2 and any("hidden_size" in note for note in task["notes"])
    one = f"{base}/{task['id']}"
    time.sleep(0.5)
    assert requests.get(one, timeout=60).json()["state"] == "pending", "nothing happens before it is started"
    early = requests.post(f"{one}/adapt", json=ADAPT, timeout=60)
    assert early.status_code == 400 and "no policy yet" in early.json()["detail"]

    assert requests.post(f"{one}/start", timeout=60).status_code == 200
    done = _ended(one)
    assert (done["state"], done["progress"], done["error_message"]) == ("completed", 100.0, None)
    assert {"meta_loss", "task_performance", "adaptation_speed", "gradient_norm"} <= set(done["metrics"])
    progress = requests.get(f"{one}/progress", timeout=60).json()
    assert (progress["meta_method"], progress["num_tasks"], progress["progress"]) == ("maml", 2, 100.0)
    assert len(progress["metrics"]["meta_losses"]) == 2 == len(progress["metrics"]["episode_rewards"])
    results = requests.get(f"{one}/results", timeout=60).json()
    assert [result["episode"] for result in results] == [1, 2] and "meta_loss" in results[0]["metrics"]

    adapted = requests.post(f"{one}/adapt", json=ADAPT, timeout=600)
    assert adapted.status_code == 200, adapted.text
    assert adapted.json()["message"] == "Successfully adapted to new task"
    assert "test_avg_reward" in adapted.json()["adaptation_metrics"] and len(adapted.json()["steps"]) == 2
    assert requests.get(base, timeout=60).json()[0]["id"] == task["id"]
    assert requests.post(f"{one}/start", timeout=60).status_code == 400, "it has ended"


def test_a_transfer_goes_from_one_training_task_to_the_tasks_of_another(system: InProcess) -> None:
    base = f"{system.url}/api/training"
    env_config = {"node_name": NODES, "max_hardware": HARDWARE, "pod_usage": ADAPT["pod_usage"]}
    body = {"name": "A", "model_type": "ppo", "parameters": {}, "env_config": env_config, "total_episodes": 4}
    ids = [requests.post(f"{base}/tasks", json=body | {"name": name}, timeout=60).json()["id"] for name in "AB"]
    transfer = {
        "name": "Transfer",
        "source_task_id": ids[0],
        "target_task_id": ids[1],
        "transfer_type": "fine_tuning",
        "frozen_layers": [0, 1],
        "learning_rate": 1e-4,
        "total_episodes": 4,
    }
    early = requests.post(f"{base}/transfer-tasks", json=transfer, timeout=60)
    assert early.status_code == 400 and "source_task_id" in early.json()["detail"]
    requests.post(f"{base}/tasks/{ids[0]}/start", timeout=60)
    assert _ended(f"{base}/tasks/{ids[0]}")["state"] == "completed"
    task = requests.post(f"{base}/transfer-tasks", json=transfer, timeout=60).json()
    assert task["parameters"]["method"] == "TRANSFER_METHOD_FINE_TUNING"
    assert requests.post(f"{base}/transfer-tasks/{task['id']}/start", timeout=60).status_code == 200
    assert _ended(f"{base}/transfer-tasks/{task['id']}")["error_message"] is None
    results = requests.get(f"{base}/transfer-tasks/{task['id']}/results", timeout=60).json()
    assert "total_reward" in results[-1]["metrics"]
    unknown = transfer | {"target_task_id": "64f1b2a3c9d4e5f6a7b8c9d1"}
    refused = requests.post(f"{base}/transfer-tasks", json=unknown, timeout=60)
    assert (refused.status_code, refused.json()["detail"]) == (
        404,
        "target_task_id not found: 64f1b2a3c9d4e5f6a7b8c9d1",
    )
    assert requests.post(f"{base}/tasks/{ids[1]}/stop", timeout=60).json()["state"] == "failed"


def test_a_meta_task_draws_from_its_distributions(system: InProcess) -> None:
    base = f"{system.url}/api/training/meta-tasks"
    task = requests.post(base, json=DISTRIBUTION, timeout=60).json()
    assert "64 tasks are drawn from the distributions" in task["notes"]
    requests.post(f"{base}/{task['id']}/start", timeout=60)
    done = _ended(f"{base}/{task['id']}")
    assert done["state"] == "completed", done
    assert requests.get(f"{base}/{task['id']}/results", timeout=60).json()[0]["metrics"].keys() >= {"meta_loss"}


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/meta-learning/meta-tasks", [], "must be an object"),
        ("/meta-learning/meta-tasks", {}, "tasks: is required"),
        ("/meta-learning/meta-tasks", META | {"tasks": 3}, "tasks: must be a list"),
        ("/meta-learning/meta-tasks", META | {"meta_method": "x"}, "learner"),
        ("/meta-learning/meta-tasks", META | {"num_meta_epochs": 99_999_999_999}, "num_meta_epochs"),
        ("/meta-learning/meta-tasks", META | {"tasks": [META["tasks"][0] | {"episodes": 10**11}]}, "episodes"),
        ("/meta-learning/meta-tasks", META | {"tasks": [{"node_name": []}]}, "node_name"),
        ("/meta-learning/meta-tasks", META | {"tasks": [META["tasks"][0] | {"profile": "/etc"}]}, "profile"),
        ("/api/training/transfer-tasks", {"name": "x"}, "source_task_id: is required"),
        ("/api/training/transfer-tasks", {"source_task_id": 3}, "source_task_id: is required"),
        ("/api/training/tasks", META, "asks for meta train, not for train"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(system: InProcess, path: str, body: Any, word: str) -> None:
    answer = requests.post(system.url + path, json=body, timeout=60)
    assert answer.status_code == 400, answer.text
    assert word in answer.text


def test_a_task_of_another_kind_or_none_is_404(system: InProcess) -> None:
    task = requests.post(f"{system.url}/meta-learning/meta-tasks", json=META, timeout=60).json()["id"]
    for path in (f"/api/training/tasks/{task}", "/api/training/meta-tasks/64f1b2a3c9d4e5f6a7b8c9d0"):
        assert requests.get(system.url + path, timeout=60).status_code == 404
    assert requests.get(f"{system.url}/api/training/meta-tasks?limit=x", timeout=60).status_code == 400


@pytest.mark.skipif(not CASES.is_dir(), reason="the files of lwmecps-gym's users lie beside the repository")
def test_the_files_of_its_users_are_taken_as_they_are(system: InProcess) -> None:
    for file, path in (("meta_task", "/meta-learning/meta-tasks"), ("maml_task", "/api/training/meta-tasks")):
        body = json.loads((CASES / f"{file}.json").read_text())
        assert requests.post(system.url + path, json=body, timeout=60).json()["state"] == "pending"
    transfer = json.loads((CASES / "transfer_task.json").read_text())
    answer = requests.post(f"{system.url}/api/training/transfer-tasks", json=transfer, timeout=60)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert transfer["source_task_id"] in answer.text
