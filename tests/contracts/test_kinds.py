"""Every place that knows kinds of runs has all kinds of the table, and no others."""

import re
import subprocess
import sys
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lwmecps_core import training
from lwmecps_core.kinds import BESIDE, KINDS, RunSettings, kind_of, metric_prefix
from lwmecps_core.run_config import FOMAMLConfig, MetaConfig, TransferConfig
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import run_pb2
from services.cli.main import app
from services.common import convert, run_kinds
from services.learner_service.loops import LOOPS
from services.learner_service.rpc import LearnerRpc, run_spec

STARTS: dict[str, Any] = {
    name: method
    for name, method in learner_pb2.DESCRIPTOR.services_by_name["LearnerService"].methods_by_name.items()
    if name.startswith("Start")
}


def _request(kind: str) -> Any:
    """An empty request for a run of a kind."""
    messages = [getattr(learner_pb2, method.input_type.name) for method in STARTS.values()]
    (found,) = [cls for cls in messages if convert.kind_of_request(cls()) == kind]
    return found()


def test_the_contract_of_runs_has_the_kinds_of_the_table() -> None:
    settings = run_pb2.RunSpec.DESCRIPTOR.oneofs_by_name["settings"].fields
    assert {f.name: f.message_type.name for f in settings} == {n: k.settings.__name__ for n, k in KINDS.items()}
    numbers = [number for number in run_pb2.RunKind.values() if number]
    assert {run_kinds.kind_from_message(number) for number in numbers} == set(KINDS)
    assert {run_kinds.kind_to_message(kind) for kind in KINDS} == set(numbers)
    assert {name for name in run_pb2.RunSpec.DESCRIPTOR.fields_by_name if name.endswith("_task_ids")} == set(BESIDE)


def test_the_table_has_the_classes_that_settings_may_have() -> None:
    assert list(get_args(RunSettings)) == [kind.settings for kind in KINDS.values()]
    assert [kind_of(kind.settings()) for kind in KINDS.values()] == list(KINDS)


def test_the_learner_starts_and_works_on_every_kind() -> None:
    assert sorted(convert.kind_of_request(_request(kind)) for kind in KINDS) == sorted(KINDS)
    assert len(STARTS) == len(KINDS)
    assert set(STARTS) <= set(vars(LearnerRpc))
    assert set(LOOPS) == set(KINDS) == set(training.__all__)


@pytest.mark.parametrize("name", KINDS)
def test_a_request_for_a_run_has_what_the_kind_needs_and_nothing_else(name: str) -> None:
    kind, fields = KINDS[name], set(_request(name).DESCRIPTOR.fields_by_name)
    assert ("algorithm" in fields) is kind.from_nothing
    assert ("policy_id" in fields) is (kind.may_go_on or not kind.from_nothing)
    assert fields & set(BESIDE) == {kind.beside} - {""}
    for setting in (kind.in_place_of_policy, kind.filed_under):
        assert not setting or hasattr(kind.settings(), setting)
    assert run_spec(name, _request(name)).WhichOneof("settings") == name


def test_the_command_line_starts_and_lists_every_kind() -> None:
    commands: Any = get_command(app).commands  # type: ignore[attr-defined]
    assert {kind.replace("_", "-") for kind in KINDS} <= set(commands)
    refusal = CliRunner().invoke(app, ["runs", "--kind", "x"]).output
    assert set(re.findall(r"'(\w+)'", refusal)) == {"x", *KINDS}


def test_meta_training_is_filed_under_its_method() -> None:
    assert metric_prefix("meta_train", MetaConfig(learner=FOMAMLConfig())) == "fomaml"
    assert metric_prefix("transfer", TransferConfig()) == "transfer"


def test_the_table_needs_no_torch() -> None:
    script = "import sys, lwmecps_core.kinds; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
