"""Every block of Python in docs/tools.md is short, and does what the page says."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"<!-- block: (\w+) -->\n```python\n(.*?)```", (ROOT / "docs/tools.md").read_text(), re.DOTALL)
LIBRARIES = {"sb3": "sb3_contrib", "optuna": "optuna", "tune": "ray", "mlflow": "mlflow"}
MOST_LINES = 15
WAIT_S = 300

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def _blocks(*extras: str) -> Iterator[Any]:
    for number, (extra, code) in enumerate(BLOCKS):
        if extra in extras:
            missing = find_spec(LIBRARIES[extra]) is None and "CI" not in os.environ  # CI has all, or fails
            skip = pytest.mark.skipif(missing, reason=f"the extra {extra} is not installed")
            yield pytest.param(code, id=f"{extra}-{number}", marks=skip)


def _run(code: str) -> str:
    """What the block prints; it runs in a process of its own, in the working folder, as a file that people wrote."""
    Path("block.py").write_text(code)
    environment = {
        **os.environ,
        "HOME": os.getcwd(),  # Ray keeps results there, unless told otherwise
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",
        "MLFLOW_DISABLE_TELEMETRY": "1",
        # Threads of small products wait for one another longer than they compute where others use the cores.
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "block.py"], capture_output=True, text=True, timeout=WAIT_S, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _lwmecps(*words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_tool_has_a_block_and_none_is_long() -> None:
    assert {extra for extra, _ in BLOCKS} == set(LIBRARIES)
    assert all(len(code.strip().splitlines()) <= MOST_LINES for _, code in BLOCKS)


@pytest.mark.parametrize("code", list(_blocks("sb3")))
def test_a_policy_of_stable_baselines3_is_stored_evaluated_and_served(code: str, there: dict[str, str]) -> None:
    _run(code)
    (file,) = Path().glob("*.safetensors")
    policy = _lwmecps("policies", "import", str(file))["id"]
    measured = _lwmecps("evaluate", policy, "--task", there["TASK"], "--num-tasks", "2", "--episodes", "2")
    assert len(measured["rows"]) == 2 and all(row["reward"] < 0 for row in measured["rows"])
    assert len(_lwmecps("act", policy, "--task", there["TASK"], "--steps", "3")) == 3


@pytest.mark.parametrize("code", list(_blocks("optuna", "tune")))
def test_a_search_starts_runs_and_leaves_those_that_it_gave_up_paused(code: str, there: dict[str, str]) -> None:
    before = {run["id"] for run in _lwmecps("runs")}
    printed = _run(code).strip().splitlines()[-1]  # Ray tells of every trial on the way
    runs = [run for run in _lwmecps("runs") if run["id"] not in before]
    assert len(runs) == 4
    assert {run["state"] for run in runs} <= {"RUN_STATE_COMPLETED", "RUN_STATE_PAUSED", "RUN_STATE_RUNNING"}
    (best,) = [run for run in runs if run["id"] in printed]
    assert best["state"] == "RUN_STATE_COMPLETED"
    assert "learning_rate" in printed


@pytest.mark.parametrize("code", list(_blocks("mlflow")))
def test_a_stored_policy_is_a_pyfunc_model(code: str, there: dict[str, str], new_store: Path) -> None:
    shutil.copy(new_store, "mlflow.db")
    learnt = _lwmecps("train", "--task", there["TASK"], "--total-episodes", "4")["policy"]["id"]
    _lwmecps("policies", "download", learnt, "--to", "policy.safetensors")
    assert "(3, 2)" in _run(code)
