"""Deleting, importing and exporting by the command line, and the pictures and pages of stored runs."""

import json
from pathlib import Path

import pytest
import torch
from google.protobuf.duration_pb2 import Duration
from typer.testing import CliRunner, Result

from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData, to_bytes
from lwmecps_core.run_config import PPOConfig
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.cli.main import PARTS, app
from services.common.client import connect
from tests.env_service.conftest import make_task

CITY = "family: mec_city\nnodes: 2\ndeployments: 2\n"


def _run(registry: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["--registry", registry, *words])


def _ok(registry: str, *words: str) -> str:
    done = _run(registry, *words)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def stub(registry: str) -> TaskRegistryServiceStub:
    return TaskRegistryServiceStub(connect(registry))


@pytest.fixture
def city(tmp_path: Path) -> Path:
    (tmp_path / "city.yaml").write_text(CITY)
    return tmp_path / "city.yaml"


def _task(registry: str, file: Path) -> str:
    return _ok(registry, "task", "create", str(file)).split()[0]


def _measured(stub: TaskRegistryServiceStub, task: str, label: str = "mine", policy: str = "") -> str:
    """A run that has adapted, with rows and metrics."""
    spec = run_pb2.RunSpec(task_ids=[task], label=label, num_tasks=2)
    spec.train.SetInParent() if not policy else spec.adapt.SetInParent()
    spec.policy_id = policy
    run = stub.CreateRun(pb.CreateRunRequest(spec=spec)).run
    lease = Duration(seconds=60)
    token = stub.ClaimRun(pb.ClaimRunRequest(learner_id="l", lease_duration=lease)).lease.token
    rows = [
        run_pb2.Row(task=t, method=label, inner_steps=k, episode=1, reward=-9.0 + k + i)
        for k in (0, 1)
        for i, t in enumerate(("a", "b"))
    ]
    metrics = [run_pb2.MetricPoint(name="train/total_reward", step=s, value=-float(s)) for s in (1, 2, 3)]
    said = pb.ReportRunRequest(run_id=run.id, token=token, state="RUN_STATE_COMPLETED", step=3, total_steps=3)
    said.rows.extend(rows)
    said.metrics.extend(metrics)
    stub.ReportRun(said)
    return str(run.id)


def _policy_file(folder: Path) -> Path:
    spec = env_spec(make_task())
    params, extra = algorithms.make(PPOConfig(), spec).init(torch.Generator().manual_seed(1))
    file = folder / "mine.safetensors"
    file.write_bytes(to_bytes(PolicyData(PPOConfig(), spec, params, extra)))
    return file


def test_the_version_is_said() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert said.exit_code == 0 and said.stdout.startswith("lwmecps ")


def test_the_help_says_of_commands_what_they_say_themselves() -> None:
    from typer.main import get_command

    made = get_command(app).commands  # type: ignore[attr-defined]
    assert {name: part.sentence for name, part in PARTS.items()} == {
        name: (made[name].help or "").split("\n\n")[0].replace("\n", " ") for name in PARTS
    }


def test_the_same_file_twice_says_so_and_a_name_tells_two_apart(registry: str, city: Path) -> None:
    first = _task(registry, city)
    again = _run(registry, "task", "create", str(city))
    assert again.exit_code == 0 and f"{first} holds the same already" in again.stderr and "--name" in again.stderr
    named = _run(registry, "task", "create", str(city), "--name", "other")
    assert "already" not in named.stderr and named.stdout.split()[1] == "other"


def test_a_task_is_deleted_and_an_unknown_one_is_named(registry: str, city: Path) -> None:
    task = _task(registry, city)
    assert _ok(registry, "task", "delete", task) == f"{task} deleted\n"
    gone = _run(registry, "task", "delete", task)
    assert gone.exit_code == 4 and f"task not found: {task}" in gone.stderr


def test_a_task_of_an_unfinished_run_is_kept(registry: str, stub: TaskRegistryServiceStub, city: Path) -> None:
    task = _task(registry, city)
    spec = run_pb2.RunSpec(task_ids=[task])
    spec.train.SetInParent()
    run = stub.CreateRun(pb.CreateRunRequest(spec=spec)).run
    refused = _run(registry, "task", "delete", task)
    assert refused.exit_code == 4 and f"used by the unfinished run {run.id}" in refused.stderr
    refused = _run(registry, "runs", "delete", run.id)
    assert refused.exit_code == 4 and f"run {run.id} is pending: cancel it first" in refused.stderr


def test_a_run_that_has_ended_is_deleted_with_what_it_reported(
    registry: str, stub: TaskRegistryServiceStub, city: Path
) -> None:
    run = _measured(stub, _task(registry, city))
    assert run in _ok(registry, "runs")
    _ok(registry, "runs", "delete", run)
    assert run not in _ok(registry, "runs")
    assert _run(registry, "runs", "export", run).exit_code == 4


def test_a_policy_is_imported_exported_unchanged_and_deleted(registry: str, tmp_path: Path) -> None:
    file = _policy_file(tmp_path)
    policy, name = _ok(registry, "policies", "import", str(file)).split()
    assert name == "mine"
    copy = tmp_path / "copy.safetensors"
    _ok(registry, "policies", "export", policy, "--to", str(copy))
    assert copy.read_bytes() == file.read_bytes()
    _ok(registry, "policies", "delete", policy)
    assert _run(registry, "policies", "export", policy, "--to", str(copy)).exit_code == 4


def test_a_policy_that_an_unfinished_run_starts_from_is_kept(
    registry: str, stub: TaskRegistryServiceStub, city: Path, tmp_path: Path
) -> None:
    task, policy = _task(registry, city), _ok(registry, "policies", "import", str(_policy_file(tmp_path))).split()[0]
    spec = run_pb2.RunSpec(task_ids=[task], policy_id=policy, num_tasks=1)
    spec.adapt.SetInParent()
    run = stub.CreateRun(pb.CreateRunRequest(spec=spec)).run
    refused = _run(registry, "policies", "delete", policy)
    assert refused.exit_code == 4 and f"used by the unfinished run {run.id}" in refused.stderr
    stub.CancelRun(pb.CancelRunRequest(run_id=run.id))
    _ok(registry, "policies", "delete", policy)


@pytest.mark.parametrize(
    ("content", "says"), [(b"nonsense", "not a policy file"), (None, "No such file"), (b"", "not a")]
)
def test_what_is_no_policy_is_not_imported(registry: str, tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "x.safetensors"
    if content is not None:
        file.write_bytes(content)
    refused = _run(registry, "policies", "import", str(file))
    assert refused.exit_code == 2 and says in refused.stderr


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet", ".tex", ".md"])
def test_results_are_exported_as_the_ending_says(
    registry: str, stub: TaskRegistryServiceStub, city: Path, tmp_path: Path, ending: str
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    run, to = _measured(stub, _task(registry, city)), tmp_path / f"rows{ending}"
    assert "4 rows" in _ok(registry, "runs", "export", run, "--to", str(to))
    assert to.stat().st_size > 0


def test_an_ending_that_is_unknown_and_a_run_without_results_are_refused(
    registry: str, stub: TaskRegistryServiceStub, city: Path
) -> None:
    task = _task(registry, city)
    run = _measured(stub, task)
    refused = _run(registry, "runs", "export", run, "--to", "rows.doc")
    assert refused.exit_code == 2 and "'.doc' is none of .csv" in refused.stderr
    spec = run_pb2.RunSpec(task_ids=[task])
    spec.train.SetInParent()
    empty = stub.CreateRun(pb.CreateRunRequest(spec=spec)).run.id
    for command in (["runs", "export"], ["plot"]):
        refused = _run(registry, *command, empty)
        assert refused.exit_code == 2 and empty in refused.stderr


def test_runs_are_drawn_as_png_and_svg(
    registry: str, stub: TaskRegistryServiceStub, city: Path, tmp_path: Path
) -> None:
    task = _task(registry, city)
    runs = [_measured(stub, task), _measured(stub, task)]
    files = json.loads(_ok(registry, "plot", *runs, "--to", str(tmp_path / "plots"), "--json"))["files"]
    assert {Path(file).stem for file in files} == {"curves", "rewards", "adaptation"} and len(files) == 6
    assert all(Path(file).stat().st_size > 1000 for file in files)


def test_a_report_is_one_file_that_names_every_run(
    registry: str, stub: TaskRegistryServiceStub, city: Path, tmp_path: Path
) -> None:
    task = _task(registry, city)
    runs = [_measured(stub, task, "<b>one</b>"), _measured(stub, task, "two")]
    to = tmp_path / "report.html"
    _ok(registry, "report", *runs, "--to", str(to))
    text = to.read_text()
    assert all(run in text for run in runs) and text.count("<svg") == 3
    assert "<b>one</b>" not in text and "&lt;b&gt;one" in text
    assert "src=" not in text and "<link" not in text
