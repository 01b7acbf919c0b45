"""A platform engineer: whether all is well, calls by HTTP and gRPC, runs under control, what a policy believes."""

import json
import sys
import time
from typing import Any

import requests

from tests.people.newcomer import SERVICES, Newcomer, found

PATIENCE_S = 120.0


def work(person: Newcomer) -> None:
    """What the README, docs/gateway.md and docs/cli.md promise to somebody who runs it for others."""
    assert "BAD" not in person.lwmecps("doctor")
    assert person.lwmecps("--version").startswith("lwmecps ")
    base = str(person.where["gateway"]).rstrip("/")
    _by_http(base)
    _by_grpc(person)
    task = found("task-[0-9a-f]+", person.lwmecps("task create examples/testbed.yaml"))
    policy = _a_run_under_control(person, base, task)
    _beliefs(person, task, policy)
    addresses = [f"{name}={person.where[name]}" for name in SERVICES]
    assert "latency" in person.run(sys.executable, "examples/client.py", policy, task, *addresses)
    person.lwmecps(f"task delete {task}")
    assert task not in person.lwmecps("task list")


def _by_http(base: str) -> None:
    three = {"distribution": {"nodes": 3, "deployments": 3}, "name": "three"}
    assert requests.post(f"{base}/v1/tasks", json=three, timeout=60).json()["task"]["name"] == "three"
    refused = requests.post(f"{base}/v1/tasks", json={"distribution": {"nodes": 0}}, timeout=60)
    (bad,) = (v for detail in refused.json()["error"]["details"] for v in detail.get("fieldViolations", ()))
    assert refused.status_code == 400 and bad["field"] == "distribution.nodes"
    assert set(requests.get(f"{base}/health", timeout=60).json().values()) == {"SERVING"}
    assert requests.get(f"{base}/openapi.json", timeout=60).json()["openapi"].startswith("3.")
    assert "<nav" in requests.get(f"{base}/", timeout=60).text


def _by_grpc(person: Newcomer) -> None:
    call = ("buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge")
    url = f"http://{person.where['registry']}"
    assert "TaskRegistryService/CreateTask" in person.run(*call, "--list-methods", url)
    method = f"{url}/lwmecps.registry.v1.TaskRegistryService/ListTasks"
    assert json.loads(person.run(*call, "-d", '{"pageSize": 1}', method))["tasks"][0]["name"] == "three"


def _a_run_under_control(person: Newcomer, base: str, task: str) -> str:
    """Started from the terminal, paused by HTTP, resumed from the terminal; the policy that it makes."""
    episodes = 64 if person.short else 2000
    started = f"train --task {task} --context statistics --total-episodes {episodes} --detach"
    run = found("run-[0-9a-f]+", person.lwmecps(started))
    requests.post(f"{base}/v1/runs/{run}/pause", timeout=60).raise_for_status()
    if _until(base, run, "PAUSED", "COMPLETED") == "PAUSED":
        person.lwmecps(f"resume {run}")
    assert _until(base, run, "COMPLETED", "FAILED") == "COMPLETED"
    assert requests.get(f"{base}/v1/runs/{run}/log", timeout=60).json()["lines"]
    shown: dict[str, Any] = requests.get(f"{base}/v1/runs/{run}", timeout=60).json()
    return str(shown["run"]["resultPolicyId"])


def _until(base: str, run: str, *states: str) -> str:
    end_s = time.monotonic() + PATIENCE_S
    while True:
        state = requests.get(f"{base}/v1/runs/{run}", timeout=60).json()["run"]["state"].removeprefix("RUN_STATE_")
        if state in states:
            return str(state)
        assert time.monotonic() < end_s, state
        time.sleep(0.1)


def _beliefs(person: Newcomer, task: str, policy: str) -> None:
    person.lwmecps(f"act {policy} --task {task} --steps 3 --memory registry:known")
    assert "a replica costs" in person.lwmecps(f"context show registry:known --task {task}")
