"""Options and files know every setting of every algorithm, by each of its names and with its default."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import META_LEARNERS, WARMUP_ONLY, DQNConfig
from services.cli.main import app
from services.cli.options import Given, Section, with_options

WIDE = {"COLUMNS": "200"}


@dataclass
class _First:
    name: str = "first"
    rate: float = 0.1
    steps: int = 0
    size: tuple[int, ...] = (64, 32)


@dataclass
class _Second:
    name: str = "second"
    rate: float = 0.1
    steps: int = 5
    share: float = 0.5
    clip: bool = True


@dataclass
class _Third:
    name: str = "third"
    steps: int = 5
    discount_factor: float = 0.9


@pytest.fixture
def probe() -> tuple[typer.Typer, list[Given]]:
    """A command with the options of three algorithms, and what it was given."""
    seen: list[Given] = []
    probe = typer.Typer()

    @probe.command()
    @with_options(Section("Algorithm", (_First, _Second, _Third), frozenset({"name"})))
    def command(*, given: Given) -> None:
        seen.append(given)

    return probe, seen


def test_an_option_of_two_algorithms_takes_what_either_may_be() -> None:
    @dataclass
    class _Few:
        memory: Literal["none", "some"] = "none"

    @dataclass
    class _More:
        memory: Literal["none", "all"] = "none"

    probe = typer.Typer()

    @probe.command()
    @with_options(Section("Algorithm", (_Few, _More)))
    def command(*, given: Given) -> None:
        typer.echo(given["Algorithm"]["memory"])

    for choice in ("none", "some", "all"):
        assert CliRunner().invoke(probe, ["--memory", choice]).stdout.strip() == choice
    assert CliRunner().invoke(probe, ["--memory", "any"]).exit_code == 2


@pytest.mark.parametrize("name", META_LEARNERS)
def test_help_shows_every_setting_of_every_meta_learner(name: str) -> None:
    words = CliRunner().invoke(app, ["meta-train", "--help"], env=WIDE).stdout.replace(",", " ").split()
    wanted = {"--" + field.name.replace("_", "-") for field in fields(META_LEARNERS[name]) if field.name != "name"}
    assert wanted | {"--method", "--inner-lr"} <= set(words)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("command", ["train", "meta-train"])
def test_help_shows_every_setting_of_every_algorithm(command: str, name: str) -> None:
    words = CliRunner().invoke(app, [command, "--help"], env=WIDE).stdout.replace(",", " ").split()
    wanted = {"--" + field.name.replace("_", "-") for field in fields(ALGORITHMS[name]) if field.name != "name"}
    assert wanted <= set(words)


def test_help_shows_the_one_default_or_that_of_each_algorithm(probe: tuple[typer.Typer, list[Given]]) -> None:
    lines = CliRunner().invoke(probe[0], ["--help"], env=WIDE).stdout.splitlines()
    shown = {line.split()[1].split(",")[0]: line.partition("default ")[2].strip(" │") for line in lines if "--" in line}
    assert shown == shown | {
        "--rate": "0.1",
        "--steps": "0 (first), 5 (second, third)",
        "--size": "64, 32",
        "--share": "0.5",
        "--clip": "true",
        "--discount-factor": "0.9",
    }


@pytest.mark.parametrize("option", ["--gamma", "--discount-factor"])
def test_an_option_may_use_a_settings_other_name(option: str, probe: tuple[typer.Typer, list[Given]]) -> None:
    result = CliRunner().invoke(probe[0], [option, "0.5"])
    assert result.exit_code == 0, result.output
    assert probe[1] == [{"Algorithm": {"discount_factor": 0.5}}]


@pytest.mark.parametrize("name", ["gamma", "discount_factor"])
def test_the_algorithm_in_a_file_may_use_a_settings_other_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(f"algorithm: {{name: q_learning, {name}: 1.5}}\n")
    result = CliRunner().invoke(app, ["train", "--task", "t1", "--settings", str(file)])
    assert result.exit_code == 2
    assert f"{file}: q_learning.discount_factor: " in result.stderr


def test_an_option_overrides_a_file_whichever_names_they_use(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("algorithm: {name: dqn, gamma: 0.5}\n")
    result = CliRunner().invoke(app, ["train", "--task", "t1", "--settings", str(file), "--discount-factor", "1.5"])
    assert result.exit_code == 2
    assert "dqn.discount_factor: " in result.stderr


@pytest.mark.parametrize("name", sorted(WARMUP_ONLY - {"max_grad_norm"}))
def test_what_acts_in_the_warm_up_only_is_refused_where_there_is_none(name: str, tmp_path: Path) -> None:
    algorithm = "dqn" if hasattr(DQNConfig, name) else "ppo"
    flag, remedy = "--" + name.replace("_", "-"), "give --warmup-epochs"
    start = ["meta-train", "--task", "t1", "--algorithm", algorithm]
    result = CliRunner().invoke(app, [*start, flag, "1"])
    assert result.exit_code == 2
    assert f"{flag}: " in result.stderr and remedy in result.stderr
    file = tmp_path / "meta.yaml"
    file.write_text(f"algorithm: {{name: {algorithm}, {name}: 1}}\n")
    result = CliRunner().invoke(app, [*start, "--settings", str(file)])
    assert result.exit_code == 2
    assert f"{file}: algorithm.{name}: " in result.stderr and remedy in result.stderr
    for warm in ([*start, flag, "1", "--warmup-epochs", "2"], ["train", "--task", "t1", flag, "1", *start[3:]]):
        assert remedy not in CliRunner().invoke(app, ["--registry", "127.0.0.1:1", *warm]).stderr
    assert "acts in the warm-up only" in " ".join(CliRunner().invoke(app, ["meta-train", "--help"]).stdout.split())


def test_an_algorithm_that_is_no_mapping_is_refused_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("algorithm: [1, 2]\n")
    result = CliRunner().invoke(app, ["train", "--task", "t1", "--settings", str(file)])
    assert result.exit_code == 2
    assert str(file) in result.stderr


def test_an_option_that_may_come_more_than_once_says_so_once() -> None:
    helped = " ".join(CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).stdout.split())
    assert "Units of each hidden layer; once for each; default 64, 32" in helped
    assert "may be repeated --num-tasks" in helped


@pytest.mark.parametrize(
    "words", [["--state", "failed", "list"], ["--json", "delete", "r"], ["--kind", "train", "list"]]
)
def test_an_option_of_runs_before_another_command_is_refused(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["--registry", "127.0.0.1:1", "runs", *words])
    assert result.exit_code == 2
    assert f"{words[0]}: belongs behind the command" in result.stderr


@pytest.mark.parametrize(
    ("words", "flag", "needed"),
    [
        (["train", "--belief-size", "7"], "--belief-size", ["--context", "belief"]),
        (["train", "--memory-slots", "8", "--context", "recurrent"], "--memory-slots", ["--cell", "dnc"]),
        (["train", "--cell-size", "8"], "--cell-size", ["--context", "recurrent", "--cell", "lstm"]),
        (["train", "--replay-share", "0.5"], "--replay-share", ["--curriculum", "replay"]),
        (["train", "--curriculum", "replay", "--mutation-share", "1"], "--mutation-share", ["--curriculum", "mutate"]),
        (["meta-train", "--schedule-share", "0.5"], "--schedule-share", ["--schedule", "cosine"]),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused_with_what_it_acts_with(
    words: list[str], flag: str, needed: list[str], tmp_path: Path
) -> None:
    start = [words[0], "--task", "t1", *words[1:]]
    result = CliRunner().invoke(app, start)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"options: {flag}: acts with ")
    assert flag not in CliRunner().invoke(app, ["--registry", "127.0.0.1:1", *start, *needed]).stderr


def test_a_file_of_all_settings_may_hold_defaults_that_do_nothing_but_no_other_values(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    start = ["--registry", "127.0.0.1:1", "train", "--task", "t1", "--settings", str(file)]
    file.write_text("algorithm: {name: ppo, belief_size: 5}\nschedule_share: 0.3\n")
    assert CliRunner().invoke(app, start).exit_code == 3
    file.write_text("algorithm: {name: ppo, belief_size: 6}\n")
    result = CliRunner().invoke(app, start)
    assert (result.exit_code, result.stderr) == (
        2,
        f"{file}: algorithm.belief_size: acts with context: belief only, not with none\n",
    )
    file.write_text("schedule_share: 0.2\n")
    assert f"{file}: schedule_share: acts with schedule: linear or cosine" in CliRunner().invoke(app, start).stderr


@pytest.mark.parametrize("beside", [["--baseline", "oracle"], ["--baseline", "rate_rule_adapted"], ["policy-1"]])
def test_calibration_tasks_are_refused_where_nothing_is_tuned(beside: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", "--task", "t1", "--calibration-task", "t2", *beside])
    assert result.exit_code == 2
    assert "--calibration-task: is for hpa_calibrated, hpa_tuned, rate_rule" in result.stderr


def test_a_stream_has_a_share_of_replays_and_no_curriculum() -> None:
    words = ["--registry", "127.0.0.1:1", "continual", "policy-1", "--task", "t1", "--replay-share", "0.3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3 and "replay-share" not in result.stderr


def test_a_sweeps_combinations_may_hold_what_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ["--registry", "127.0.0.1:1", "train", "--task", "t1", "--schedule-share", "0.5", "--belief-size", "7"]
    assert CliRunner().invoke(app, start).exit_code == 2
    monkeypatch.setenv("WANDB_SWEEP_ID", "a")
    monkeypatch.setenv("WANDB_RUN_ID", "b")
    assert CliRunner().invoke(app, start).exit_code == 3
