"""A user of lwmecps-gym: the old script with another base URL, and the old file on the new command line."""

import json
from pathlib import Path
from typing import Any

import requests

from tests.people.newcomer import Newcomer, blocks, found

HARDWARE = {"cpu": 8, "ram": 16000, "tx_bandwidth": 1000, "rx_bandwidth": 1000, "avg_latency": 300}
NODES = ["node1", "node2", "node3"]


def work(person: Newcomer) -> None:
    """What docs/from-lwmecps-gym.md promises."""
    base = str(person.where["gateway"]).rstrip("/")
    meta, new_task = _meta(1 if person.short else 10), _task("new", 3, 3000) | {"adaptation_episodes": 4}
    (script,) = blocks("docs/from-lwmecps-gym.md")
    script = script.replace("http://127.0.0.1:50080", base)
    said = person.python(f"META, NEW_TASK = {meta!r}, {new_task!r}\n{script}")
    assert "test_avg_reward" in said, said
    _looked_at(f"{base}/meta-learning/meta-tasks")
    file = Path(person.clone / "meta_task.json")
    file.write_text(json.dumps(meta))
    created = person.lwmecps(f"task create {file.name}")
    assert len(created.splitlines()) == len(meta["tasks"]) and found("task-[0-9a-f]+", created)


def _meta(epochs: int) -> dict[str, Any]:
    return {
        "name": "Meta-PPO",
        "description": "as its documentation has it",
        "model_type": "meta_ppo",
        "meta_method": "maml",
        "tasks": [_task("high_cpu", 4, 4000) | {"episodes": 50}, _task("high_memory", 2, 6000) | {"episodes": 50}],
        "meta_parameters": {"meta_lr": 0.01, "inner_lr": 0.01, "num_inner_steps": 1, "num_meta_epochs": epochs},
        "parameters": {"hidden_size": 64, "discount_factor": 0.99},
    }


def _task(name: str, cpu: int, ram: int) -> dict[str, Any]:
    usage = {"cpu": cpu, "ram": ram, "tx_bandwidth": 40, "rx_bandwidth": 40}
    return {"task_id": name, "name": name, "node_name": NODES, "max_hardware": HARDWARE, "pod_usage": usage}


def _looked_at(url: str) -> None:
    """The newest meta-task, as its list, its page and its progress show it."""
    (newest, *_) = requests.get(url, timeout=60).json()
    assert newest["state"] == "completed" and newest["progress"] == 100.0 and newest["error_message"] is None
    told = requests.get(f"{url}/{newest['id']}/progress", timeout=60).json()
    assert told["metrics"]["meta_losses"], told
