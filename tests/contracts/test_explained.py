"""Every setting says in one sentence what it is, and the contract, the page and `--help` say the same."""

import re
from dataclasses import fields
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lwmecps_core.config import default_text, settings_of
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import META_LEARNERS, AdaptConfig, EvaluateConfig, MetaConfig, TrainConfig, TransferConfig
from protos.lwmecps.common.v1 import settings_pb2
from scripts.explain_settings import CONTRACT, PAGE, TABLES, contract, page
from services.cli.demo_settings import DemoSettings
from services.cli.main import app
from services.cli.run_commands import AlgorithmChoice, MethodChoice, RunOptions

CLASSES = [
    RunOptions,
    AlgorithmChoice,
    TrainConfig,
    MetaConfig,
    MethodChoice,
    *META_LEARNERS.values(),
    TransferConfig,
    AdaptConfig,
    EvaluateConfig,
    *ALGORITHMS.values(),
]
COMMANDS = {
    "train": [TrainConfig, *ALGORITHMS.values()],
    "meta-train": [MethodChoice, MetaConfig, *META_LEARNERS.values(), *ALGORITHMS.values()],
    "transfer": [TransferConfig],
    "adapt": [AdaptConfig],
    "evaluate": [EvaluateConfig],
}


def _words(text: str) -> str:
    """Text as one line, whatever its width."""
    return " ".join(re.sub(r"-\n\s+", "-", text).split())


def _help(*command: str, columns: int = 80) -> str:
    return CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)}).stdout


@pytest.mark.parametrize("cls", [*CLASSES, DemoSettings], ids=lambda cls: cls.__name__)
def test_every_setting_says_in_a_sentence_what_it_is(cls: Any) -> None:
    for setting in settings_of(cls):
        assert setting.sentence.endswith("."), setting.name
        assert ". " not in setting.sentence.replace(" et al. ", " "), f"{setting.name}: more than one sentence"


def test_every_message_of_settings_is_explained() -> None:
    messages = settings_pb2.DESCRIPTOR.message_types_by_name.values()
    unions = {m.name for m in messages if any(len(m.fields) == len(oneof.fields) > 1 for oneof in m.oneofs)}
    assert {m.name for m in messages} - unions == {cls.__name__ for cls in TABLES.values() if cls is not RunOptions}


def test_the_contract_says_what_the_classes_say() -> None:
    text = CONTRACT.read_text()
    assert contract(text, TABLES.values()) == text, "run `make protos`"


def test_the_page_says_what_the_classes_say() -> None:
    text = PAGE.read_text()
    assert page(text, TABLES) == text, "run `make protos`"
    assert all(
        f"| `{field.name}` |" in text for cls in TABLES.values() for field in fields(cls) if field.name != "name"
    )


def test_what_differs_is_found() -> None:
    """The guards above can fail: for a default, a bound and a sentence that are not the class's."""
    for old, new in (("default 0.99", "default 0.9"), ("Value ≥ 2", "Value ≥ 1"), ("Rows of", "Lines of")):
        wrong = CONTRACT.read_text().replace(old, new)
        assert wrong != CONTRACT.read_text() == contract(wrong, TABLES.values())
    wrong = PAGE.read_text().replace("| 0.99 |", "| 0.9 |")
    assert wrong != PAGE.read_text() == page(wrong, TABLES)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_classes_say(command: str) -> None:
    shown = _words(_help(command))
    # An option of the run hides an algorithm's own of that name, which is set in a file; `--method` chooses a learner.
    own = {"name"} | ({"learner", "max_grad_norm"} if command == "meta-train" else set())
    for setting in [setting for cls in (RunOptions, *COMMANDS[command]) for setting in settings_of(cls)]:
        if setting.name not in own:
            assert "--" + setting.name.replace("_", "-") in shown
            assert _words(setting.sentence.removesuffix(".")) in shown, setting.name
            default = "" if setting.default == "false" else setting.default
            assert re.search(rf"default [^;]*{default}" if default else "", shown), setting.name


def _every_command(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = [(path, group)]
    for name, command in getattr(group, "commands", {}).items():
        found += _every_command(command, (*path, name))
    return found


EVERY_COMMAND = _every_command(typer.main.get_command(app))


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND, ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_no_name_is_cut_at_80_columns(path: tuple[str, ...], command: Any) -> None:
    text = _help(*path)
    words = text.replace(",", " ").split()
    assert "…" not in text
    for param in command.params:
        if param.param_type_name == "option":
            assert {*param.opts, *param.secondary_opts} <= set(words), text
    assert set(getattr(command, "commands", {})) <= set(words)


def test_a_default_reads_as_people_write_it() -> None:
    texts = [default_text(x) for x in (3e-4, 10.0, 100_000, True, (64, 32), "mlp", None, "", ())]
    assert texts == ["0.0003", "10", "100000", "true", "64, 32", "mlp", "", "", ""]
