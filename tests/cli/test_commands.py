"""What commands say and return when something is wrong, and what they send when nothing is."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from lwmecps_core.meta import learnt_optimiser
from lwmecps_core.run_config import DQNConfig, MAMLConfig, MetaConfig, PPOConfig
from services.cli.main import app
from services.cli.options import Given, Section, with_options
from services.cli.processes import free_port

DISTRIBUTION = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\n"


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    "command", [["task", "list"], ["runs"], ["runs", "list"], ["policies", "list"], ["task", "show", "t1"]]
)
def test_unreachable_registry_is_named_by_its_address(command: list[str], nowhere: str) -> None:
    result = _run("--registry", nowhere, *command)
    assert result.exit_code == 3
    assert nowhere in result.stderr and result.stdout == ""


def test_unreachable_learner_is_named_by_its_address(nowhere: str) -> None:
    result = _run("--learner", nowhere, "watch", "r1")
    assert result.exit_code == 3
    assert nowhere in result.stderr


def test_bad_task_file_is_refused_with_file_path_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "city.yaml"
    file.write_text(DISTRIBUTION.replace("nodes: 2", "nodes: -3"))
    result = _run("task", "create", str(file))
    assert result.exit_code == 2
    assert f"{file}: nodes: " in result.stderr


def test_missing_task_file_is_wrong_input(tmp_path: Path) -> None:
    result = _run("task", "create", str(tmp_path / "absent.yaml"))
    assert result.exit_code == 2
    assert "absent.yaml" in result.stderr


def test_a_run_needs_a_task() -> None:
    result = _run("meta-train")
    assert result.exit_code == 2
    assert "--task" in result.stderr


def test_unknown_setting_in_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "meta.yaml"
    file.write_text("inner_learning_rate: 0.1\n")
    result = _run("meta-train", "--task", "t1", "--settings", str(file))
    assert result.exit_code == 2
    assert f"{file}: inner_learning_rate" in result.stderr


def test_a_file_may_use_a_settings_other_name(tmp_path: Path) -> None:
    file = tmp_path / "meta.yaml"
    file.write_text("meta_lr: -1\n")
    result = _run("meta-train", "--task", "t1", "--settings", str(file))
    assert result.exit_code == 2
    assert f"{file}: outer_lr" in result.stderr


def test_setting_of_another_algorithm_is_refused() -> None:
    result = _run("train", "--task", "t1", "--algorithm", "ppo", "--epsilon", "0.2")
    assert result.exit_code == 2
    assert "epsilon" in result.stderr


@pytest.mark.parametrize("given", [["--method", "reptile", "--proximal", "2"], ["--settings", "FILE"]])
def test_setting_that_the_meta_learner_does_not_use_is_refused_by_name(given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "meta.yaml"
    file.write_text("method: reptile\nproximal: 2\n")
    result = _run("meta-train", "--task", "t1", *(str(file) if word == "FILE" else word for word in given))
    assert result.exit_code == 2
    assert "learner.reptile.proximal" in result.stderr


def test_options_carry_the_names_of_the_settings_and_only_what_was_given() -> None:
    seen: list[Given] = []
    probe = typer.Typer()

    @probe.command()
    @with_options(
        Section("Meta", (MetaConfig, MAMLConfig), frozenset({"name"})),
        Section("Algorithm", (PPOConfig, DQNConfig), frozenset({"name"})),
    )
    def command(file: Annotated[str, typer.Argument()], *, given: Given) -> None:
        seen.append(given)

    line = "x --meta-lr 0.01 --adaptation-steps 3 --no-learn-inner-lr --epsilon 0.3 --hidden-size 64 --hidden-size 32"
    result = CliRunner().invoke(probe, line.split())
    assert result.exit_code == 0, result.output
    assert seen == [
        {
            "Meta": {"outer_lr": 0.01, "adaptation_steps": 3, "learn_inner_lr": False},
            "Algorithm": {"epsilon": 0.3, "hidden_size": [64, 32]},
        }
    ]


def test_help_documents_the_exit_codes() -> None:
    assert "Exit codes" in _run("--help").stdout


def test_act_wants_an_observation_or_a_task() -> None:
    assert _run("act", "p1").exit_code == 2
    both = _run("act", "p1", "--task", "t1", "--watch", "--steps", "2")
    assert both.exit_code == 2 and "steps: --watch goes on until ctrl-C" in both.output


def test_act_refuses_an_observation_file_without_observations(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    file.write_text(json.dumps({"obs": [[1.0]]}))
    result = _run("act", "p1", "--observation", str(file))
    assert result.exit_code == 2
    assert f"{file}: observation" in result.stderr


def test_an_optimiser_is_learnt_to_a_file_and_what_is_none_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "adam.safetensors"
    result = _run("optimiser", "learn", str(file), "--steps", "0", "--first-rate", "0.003")
    assert result.exit_code == 0 and str(file) in result.stdout
    made = learnt_optimiser.from_bytes(file.read_bytes(), str(file))
    assert (made.cfg.steps, made.cfg.first_rate) == (0, 0.003)
    result = _run("adapt", "p", "--task", "t", "--optimiser", str(tmp_path))
    assert result.exit_code == 2 and f"options: optimiser: {tmp_path} can't be read: Is a directory" in result.stderr
    result = _run("optimiser", "learn", str(tmp_path / "no" / "where"), "--steps", "0")
    assert result.exit_code == 2 and "no/where" in result.stderr
