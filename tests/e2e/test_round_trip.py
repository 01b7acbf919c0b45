"""The three services and Redis as processes, driven by the command line: meta-train, adapt, act."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import load_task, task_to_yaml
from services.cli.main import app

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
CITY = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\nmax_replicas: 4\nhorizon: 20\n"
META = {"num-meta-epochs": 3, "meta-batch-size": 2, "adaptation-steps": 2, "episodes-per-step": 2}
ADAPT = {"num-tasks": 2, "adaptation-steps": 2, "episodes-per-step": 2, "evaluation-episodes": 2}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a system that `lwmecps up` started, and which ctrl-C must end with code 0 and without a trace."""
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "services.cli.main", "up", "--json", "--state", str(state)]
    ports = [word for name in ("registry", "env", "learner", "gateway") for word in (f"--{name}-port", "0")]
    environment = {**os.environ, "WANDB_MODE": "disabled"}
    pipe = subprocess.PIPE
    process = subprocess.Popen([*command, *ports], stdout=pipe, stderr=pipe, env=environment, text=True)
    try:
        yield json.loads(_until_brace(process))
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert not _still_running(state), "a service outlived `lwmecps up`"


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A task distribution of small cities, as a file."""
    file = tmp_path / "city.yaml"
    file.write_text(CITY)
    return file


@pytest.mark.timeout(240)
def test_meta_trained_policy_adapts_to_new_tasks_and_acts(system: dict[str, str], city: Path, tmp_path: Path) -> None:
    task = _json(system, "task", "create", str(city))["id"]

    learnt = _json(system, "meta-train", "--task", task, "--label", "tiny", *_options(META))
    policy = learnt["policy"]["id"]
    assert learnt["run"]["state"] == "RUN_STATE_COMPLETED"
    assert {"meta_loss", "adaptation_loss", "gradient_norm"} <= set(learnt["run"]["latest_metrics"])

    adapted = _json(system, "adapt", policy, "--task", task, "--label", "adapted", *_options(ADAPT))
    rows = {(row["task"], row.get("inner_steps", 0)) for row in adapted["rows"]}
    assert len({name for name, _ in rows}) == 2
    assert {steps for _, steps in rows} == {0, 1, 2}
    assert all(row["method"] == "adapted" and row["reward"] < 0 for row in adapted["rows"])

    lines = _json(system, "act", policy, "--task", task, "--steps", "3")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(len(line["action"]) == 2 and line["latency_ms"] > 0 for line in lines)
    refused = _run(system, "act", policy, "--task", task, "--memory", str(tmp_path / "memory"))
    assert refused.exit_code == 2 and f"memory: policy {policy} remembers nothing" in refused.stderr

    words = [*_where(system), "act", policy, "--task", task, "--watch", "--json"]
    watching = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline()) for _ in range(25)]  # more than the horizon: no new episode
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    assert [line["step"] for line in lines] == list(range(1, 26))

    (tmp_path / "one.yaml").write_text(task_to_yaml(draw(load_task(city), 3)))
    one = _json(system, "task", "create", str(tmp_path / "one.yaml"))["id"]
    where = [f"{name}={system[name]}" for name in ("registry", "env", "learner")]
    example = [sys.executable, str(ROOT / "examples/client.py"), policy, one, *where]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(example, capture_output=True, text=True, timeout=100, check=True, env=env).stdout
    assert len(printed.splitlines()) == 20, "the README's client prints a line for every interval of the horizon"

    file = tmp_path / "policy.safetensors"
    assert _json(system, "policies", "download", policy, "--to", str(file))["size_bytes"] == file.stat().st_size
    assert policy in [p["id"] for p in _json(system, "policies", "list")]


@pytest.mark.timeout(180)
def test_a_policy_adapts_by_an_optimiser_from_a_file(system: dict[str, str], city: Path, tmp_path: Path) -> None:
    file = tmp_path / "optimiser.safetensors"
    assert CliRunner().invoke(app, ["optimiser", "learn", str(file), "--steps", "0"]).exit_code == 0
    task = _json(system, "task", "create", str(city))["id"]
    policy = _json(system, "train", "--task", task, "--total-episodes", "4")["policy"]["id"]
    adapted = _json(system, "adapt", policy, "--task", task, *_options(ADAPT), "--optimiser", str(file))
    assert {row.get("inner_steps", 0) for row in adapted["rows"]} == {0, 1, 2}
    sent = adapted["run"]["spec"]["adapt"]["optimiser"]
    assert base64.b64decode(sent) == file.read_bytes()
    (tmp_path / "none.safetensors").write_bytes(b"x")
    wrong = ["--optimiser", str(tmp_path / "none.safetensors")]
    refused = _run(system, "adapt", policy, "--task", task, "--num-tasks", "2", *wrong)
    assert refused.exit_code == 2 and "optimiser: not a file of an optimiser" in refused.stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize("where", ["file", "registry"])
def test_a_controller_that_is_killed_goes_on_with_what_it_knew(
    system: dict[str, str], city: Path, tmp_path: Path, where: str
) -> None:
    (tmp_path / "task.yaml").write_text(task_to_yaml(draw(load_task(city), 3)))
    task = _json(system, "task", "create", str(tmp_path / "task.yaml"))["id"]
    policy = _json(system, "train", "--task", task, "--total-episodes", "4", "--context", "statistics")["policy"]["id"]
    memory = str(tmp_path / "memory") if where == "file" else "registry:edge"

    def seen() -> float:
        return _json(system, "context", "show", memory, "--task", task)["beliefs"][0]["value"]

    def controller() -> subprocess.Popen[str]:
        words = [*_where(system), "act", policy, "--task", task, "--watch", "--json", "--memory", memory]
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    with controller() as first:
        assert first.stdout is not None
        shown = json.loads(first.stdout.readline())["step"]
        began = time.monotonic()
        while time.monotonic() - began < 3.0:  # longer than the registry is left alone
            shown = json.loads(first.stdout.readline())["step"]
        first.kill()
    known = seen()
    assert known >= shown - 1 if where == "file" else known > 0
    with controller() as second:
        assert second.stdout is not None
        shown = [json.loads(second.stdout.readline())["step"] for _ in range(5)][-1]
        second.terminate()
        assert second.wait(30) == 0
    assert seen() >= known + shown - 1
    if where == "registry":
        return
    (tmp_path / "other.yaml").write_text(task_to_yaml(draw(replace(load_task(city), deployments=3), 3)))
    refused = _run(system, "act", policy, "--task", str(tmp_path / "other.yaml"), "--memory", memory)
    assert refused.exit_code == 2
    assert "deployments: [app-1, app-2] in the memory, [app-1, app-2, app-3]" in refused.stderr
    _run(system, "context", "load", memory, "--task", task, "--name", "kept")
    _run(system, "context", "save", "kept", "--task", task, "--to", str(tmp_path / "saved"))
    assert (tmp_path / "saved").read_bytes() == Path(memory).read_bytes()
    assert [m["name"] for m in _json(system, "context", "list", "--task", task)] == ["kept"]
    assert _run(system, "context", "delete", "kept", "--task", task).exit_code == 0
    assert _run(system, "context", "show", "registry:kept", "--task", task).exit_code == 4


@pytest.mark.timeout(60)
def test_doctor_finds_nothing_wrong_with_a_system_that_up_calls_ready(system: dict[str, str]) -> None:
    findings = _json(system, "doctor", "--redis-url", system["redis"], "--gateway", system["gateway"])
    assert not [finding for finding in findings if finding["remedy"]]
    assert {"redis", "registry", "env", "learner", "gateway", "workers", "waiting runs"} <= {
        f["what"] for f in findings
    }


@pytest.mark.timeout(60)
def test_a_run_that_cannot_be_is_refused_before_it_starts(system: dict[str, str], city: Path) -> None:
    before = _json(system, "runs")
    result = _run(system, "evaluate", "--baseline", "nonsense", "--task", str(city), "--num-tasks", "2")
    assert result.exit_code == 2
    assert "settings.baseline" in result.stderr and "hpa_calibrated" in result.stderr
    assert _json(system, "runs") == before


@pytest.mark.timeout(60)
def test_unknown_ids_are_refused_with_their_own_code(system: dict[str, str]) -> None:
    result = _run(system, "watch", "run-that-never-was")
    assert result.exit_code == 4
    assert "run-that-never-was" in result.stderr


def _options(values: dict[str, int]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def _run(system: dict[str, str], *arguments: str) -> Any:
    return CliRunner().invoke(app, [*_where(system), *arguments])


def _where(system: dict[str, str]) -> list[str]:
    return [word for name in ("registry", "env", "learner") for word in (f"--{name}", system[name])]


def _json(system: dict[str, str], *arguments: str) -> Any:
    result = _run(system, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def _until_brace(process: "subprocess.Popen[str]") -> str:
    """What `up --json` prints once everything is healthy."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], "the system did not come up"
    return "".join(lines)


def _still_running(state: Path) -> list[str]:
    """Processes whose environment names the system's state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(state).encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found
