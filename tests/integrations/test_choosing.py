"""Populations and proposals through the services, driven by the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from services.cli.main import app
from tests.choosing.test_driving import REAL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
PLAN = {name: value for name, value in REAL.items() if name != "tasks"}
RUNS = 3 * 2 * 2


def _run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def _json(*words: str) -> Any:
    result = _run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _written(**given: Any) -> str:
    Path("plan.yaml").write_text(yaml.safe_dump({**PLAN, "tasks": [os.environ["TASK"]], **given}))
    return "plan.yaml"


def _runs() -> dict[str, str]:
    """Id → state of all runs."""
    return {run["id"]: run["state"] for run in _json("runs")}


def test_a_population_whose_driver_is_killed_goes_on_and_starts_nothing_twice(there: dict[str, str]) -> None:
    before, state = _runs(), Path("plan.state.json")
    words = [sys.executable, "-m", "services.cli.main", "population", _written(), "--json"]
    driver = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    deadline_s = time.monotonic() + 200
    while len(_runs()) < len(before) + 2:
        assert driver.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait(30)
    assert len(json.loads(state.read_text())["generations"]) < 2

    done = _json("population", "plan.yaml")
    made = _runs().keys() - before.keys()
    assert len(made) == RUNS
    first, second = done["generations"]
    assert {m["run"] for m in (*first, *second)} | {m["measured_by"] for m in (*first, *second)} == made
    best = done["best"]
    assert best["score"] == max(m["score"] for m in second) and best["lineage"][-1] == best["member"]
    assert all(m["start"] == first[m["parent"]]["policy"] for m in second)
    run = _json("watch", second[0]["run"])["run"]
    assert run["spec"]["policy_id"] == second[0]["start"] and run["spec"]["label"] == "generation 2, member 1"
    assert run["spec"]["train"]["schedule"] == "SCHEDULE_LINEAR"

    assert _json("population", "plan.yaml") == done and len(_runs()) == len(before) + RUNS
    shown = _run("population", "plan.yaml").output
    assert f"policy {best['policy']}, of member {best['member'] + 1}" in shown and "evaluate it on others" in shown
    refused = _run("population", _written(members=4))
    assert (
        refused.exit_code == 2
        and "members: is another than that of the population in plan.state.json" in refused.stderr
    )


def test_plans_that_can_not_be_carried_out_start_nothing(there: dict[str, str]) -> None:
    before = _runs()
    for given, named in (
        ({"measured_tasks": 0}, "measured_tasks: must be above 0: tasks come from a distribution"),
        ({"tasks": []}, "tasks: must name a task"),
        ({"members": 100}, "members: Input should be less than or equal to 64"),
        ({"numbers": {"epsilon": {"low": 0.1, "high": 0.2}}}, "numbers.epsilon: is no setting of training by ppo"),
        ({"tasks": ["nowhere"]}, "task not found: nowhere"),
    ):
        refused = _run("population", _written(**given), "--state", "other.json")
        assert refused.exit_code in (2, 4) and named in refused.stderr, refused.output
    assert _runs() == before and not Path("other.json").exists()


def test_training_goes_on_from_a_stored_policy_by_settings_of_its_own(there: dict[str, str]) -> None:
    words = ("train", "--task", there["TASK"], "--hidden-size", "4", "--total-episodes", "4")
    policy = _json(*words)["policy"]["id"]
    again = _json(*words, "--policy", policy, "--discount-factor", "0.5")
    assert again["run"]["spec"]["policy_id"] == policy and again["policy"]["algorithm"]["ppo"]["discount_factor"] == 0.5
    refused = _run(*words, "--policy", policy, "--context", "statistics")
    assert refused.exit_code == 2 and "algorithm.context: is statistics, but none" in refused.stderr


def test_settings_are_proposed_from_trainings_on_other_families(there: dict[str, str]) -> None:
    new = "family: mec_city\nenv_id: lwmecps-v1\nnodes: 3\ndeployments: 2\nmax_replicas: 4\nhorizon: 5\n"
    Path("new.yaml").write_text(new)
    refused = _run("propose", "new.yaml", "--algorithm", "q_learning")
    assert refused.exit_code == 2 and "too little is known yet" in refused.stderr
    for family in ("load_balancing", "kubernetes_scaling"):
        Path(f"{family}.yaml").write_text(new.replace("mec_city", family))
        task = _json("task", "create", f"{family}.yaml")["id"]
        for epsilon in ("0.01", "0.1", "0.9"):
            words = ("--task", task, "--algorithm", "q_learning", "--epsilon", epsilon, "--total-episodes", "4")
            _json("train", *words)
    found = _json("propose", "new.yaml", "--algorithm", "q_learning", "--to", "settings.yaml")
    assert found["runs"] == 6 and found["tried"] == 3 and len(found["likeness"]) == 2
    assert found["settings"]["algorithm"] == "q_learning" and found["settings"]["total_episodes"] == 4
    shown = _run("propose", "new.yaml", "--algorithm", "q_learning", "--total-episodes", "8").output
    assert "from 6 trainings of 2 families with 3 different settings" in shown and "total_episodes" in shown
    again = _json("train", "--task", "new.yaml", "--settings", "settings.yaml")
    assert again["policy"]["algorithm"]["q_learning"]["epsilon"] == found["settings"]["epsilon"]
