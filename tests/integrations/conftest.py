"""A running system, for what starts runs in it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "1")
CITY = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\nmax_replicas: 4\nhorizon: 20\n"


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables that say where a system is that `lwmecps up` started, and the id of a task there."""
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "services.cli.main", "up", "--json", "--state", str(state)]
    ports = [word for name in ("registry", "env", "learner", "gateway") for word in (f"--{name}-port", "0")]
    environment = {**os.environ, "WANDB_MODE": "disabled"}
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, env=environment, text=True)
    try:
        addresses = json.loads(_until_brace(process))
        where = {f"LWMECPS_CLI_{name.upper()}": addresses[name] for name in ("registry", "env", "learner")}
        city = state / "city.yaml"
        city.write_text(CITY)
        created = CliRunner().invoke(app, ["task", "create", str(city), "--json"], env=where)
        assert created.exit_code == 0, created.output
        yield {**where, "TASK": json.loads(created.stdout)["id"]}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture
def there(system: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The same, set in this process, which works in a folder of its own."""
    for name, value in system.items():
        monkeypatch.setenv(name, value)
    # Ray copies the variables of whoever starts it, and its processes find the library by this one.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(tmp_path)
    return system


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of MLflow, made once: its 60 migrations take longer than all that is then done in it."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)  # a store keeps where it was made, as the place of all models
        MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


def _until_brace(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            return text
    raise AssertionError(f"`lwmecps up` ended with {process.wait()}")
