"""Files of the predecessor, as its users have them."""

import json
from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tasks.files import TaskFile, load_task, read_task_file

TASK = {
    "task_id": "busy",
    "name": "Busy",
    "node_name": ["node1", "node2"],
    "max_hardware": {"cpu": 8, "ram": 16000, "tx_bandwidth": 1000, "rx_bandwidth": 1000, "avg_latency": 300},
    "pod_usage": {"cpu": 4, "ram": 4000, "tx_bandwidth": 40, "rx_bandwidth": 40},
    "episodes": 50,
}


def read(folder: Path, data: dict) -> TaskFile:
    (folder / "body.json").write_text(json.dumps(data))
    return read_task_file(folder / "body.json")


def test_a_task_without_deployments_gets_one_for_each_node_and_that_is_said(tmp_path):
    file = read(tmp_path, TASK)
    (task,) = file.items
    assert [(d.name, d.allowed_nodes) for d in task.deployments] == [
        ("app-node1", ("node1",)),
        ("app-node2", ("node2",)),
    ]
    assert (task.name, task.episodes, task.cluster.nodes[0].cpu_millicores) == ("Busy", 50, 8000)
    assert task.cluster.nodes[0].access_latency_ms == 300 and task.cluster.rtt_ms[0][1] == 600
    said = "; ".join(file.notes)
    assert "app-node1, app-node2" in said and "50 ms of CPU time" in said
    assert "17 users" in said and "sum of their avg_latency" in said


def test_a_request_to_meta_train_holds_its_tasks_and_settings(tmp_path):
    file = read(
        tmp_path,
        {
            "name": "Meta",
            "description": "",
            "model_type": "meta_dqn",
            "meta_method": "fomaml",
            "tasks": [TASK, {**TASK, "name": "Other", "node_name": ["a", "b", "c"]}],
            "meta_parameters": {"meta_lr": 0.02, "inner_lr": 0.03, "num_inner_steps": 2, "num_meta_epochs": 7},
            "parameters": {"hidden_size": 64, "learning_rate": 0.0003, "discount_factor": 0.9, "colour": "red"},
        },
    )
    assert [task.name for task in file.items] == ["Busy", "Other"]
    assert file.request.kind == "meta_train" and file.request.label == "Meta"
    assert file.request.settings == {
        "method": "fomaml",
        "outer_lr": 0.02,
        "inner_lr": 0.03,
        "adaptation_steps": 2,
        "num_meta_epochs": 7,
        "algorithm": {"name": "dqn", "hidden_size": [64, 32], "discount_factor": 0.9},
    }
    left_out = next(note for note in file.notes if "means nothing here" in note)
    assert "parameters.learning_rate (it acts in a warm-up only)" in left_out and "parameters.colour" in left_out
    with pytest.raises(InvalidInput, match="holds 2 tasks"):
        load_task(tmp_path / "body.json")


def test_a_distribution_of_the_predecessor_is_in_its_units(tmp_path):
    families = {
        "kubernetes_scaling": {"max_pods": 20, "cpu_requirement": 1.5, "memory_requirement": 1000},
        "load_balancing": {"traffic_pattern": "uniform", "latency_threshold": 0.5},
    }
    file = read(tmp_path, {"name": "M", "meta_algorithm": "maml", "task_distribution": families, "total_episodes": 9})
    scaling, balancing = file.items
    assert (scaling.max_pods, scaling.cpu_requirement, scaling.memory_requirement) == (20, 1500, 1000)
    assert (balancing.traffic_pattern, balancing.latency_threshold) == ("uniform", 500)
    assert file.request.settings == {"method": "maml", "num_meta_epochs": 9}


def test_a_request_to_adapt_is_a_task_with_steps(tmp_path):
    file = read(tmp_path, {**TASK, "adaptation_episodes": 20})
    assert len(file.items) == 1
    assert (file.request.kind, file.request.settings) == ("adapt", {"adaptation_steps": 5})
    assert "adaptation_episodes 20: adaptation_steps 5" in file.notes


def test_a_request_to_transfer_names_registered_tasks(tmp_path):
    body = {
        "name": "T",
        "source_task_id": "64f0",
        "target_task_id": "64f1",
        "transfer_type": "layer_wise",
        "frozen_layers": [0, 1],
        "learning_rate": 0.0001,
        "total_episodes": 50,
    }
    file = read(tmp_path, body)
    assert file.items == () and file.request.task_ids == ("64f1",)
    assert set(file.request.named_ids) == {"64f0", "64f1"}
    assert file.request.settings == {
        "method": "layer_wise",
        "frozen_layers": 2,
        "learning_rate": 0.0001,
        "total_episodes": 50,
    }


def test_what_drove_the_predecessors_cluster_is_kept_or_named_in_one_warning(tmp_path):
    cluster = {"namespace": "mec", "base_url": "http://app:8001", "stabilization_time": 10, "max_pods": 7}
    file = read(tmp_path, {**cluster, "env_config": TASK, "model_type": "ppo", "total_episodes": 30, "group_id": "g"})
    (task,) = file.items
    assert task.kubernetes.namespace == "mec" and not task.kubernetes.manage
    assert task.kubernetes.test_application.base_url == "http://app:8001"
    assert {d.max_replicas for d in task.deployments} == {7}
    assert file.request.settings == {"total_episodes": 30, "algorithm": {"name": "ppo"}}
    assert len([note for note in file.notes if "stabilization_time" in note]) == 1
    file = read(tmp_path, {**cluster, "env_config": TASK})
    (left_out,) = [note for note in file.notes if "means nothing here" in note]
    assert "stabilization_time" in left_out and "base_url (a test application needs both" in left_out


def test_what_a_request_has_that_nobody_knows_is_named(tmp_path):
    file = read(tmp_path, {"meta_method": "maml", "tasks": [TASK], "colour": "red", "user_id": 3})
    assert any("means nothing here: colour, user_id" in note for note in file.notes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tasks": [{**TASK, "colour": "red"}]}, "colour"),
        ({"tasks": [3]}, "must be a mapping"),
        ({"tasks": {}}, "must be a list"),
        ({"task_distribution": []}, "must be a mapping"),
        ({"task_distribution": {"mec_citty": {}}}, "mec_citty"),
        ({"parameters": 3}, "must be a mapping"),
    ],
)
def test_a_request_of_another_shape_is_refused(tmp_path, change, reason):
    with pytest.raises(InvalidInput, match=reason):
        read(tmp_path, {"meta_method": "maml", "tasks": [TASK]} | change)
