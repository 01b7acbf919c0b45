"""Every place that knows backends has those of the contract, and no others."""

import re

import pytest
from typer.testing import CliRunner

from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.run_config import RECORDED, SIMULATED, AdaptConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from protos.lwmecps.common.v1 import backend_pb2, settings_pb2
from services.cli.main import app
from services.cli.run_commands import RUN_BACKENDS
from services.common import convert
from services.env_service.backends import CLUSTERS, open_session
from services.learner_service.backends import COLLECTORS, check_backend

NAMES = convert.BACKENDS
TASK = draw(TaskDistribution(nodes=2, deployments=1), 0)


def test_every_backend_of_the_contract_has_its_name_and_the_library_can_be_asked_for_it() -> None:
    numbers = [number for number in backend_pb2.Backend.values() if number]
    assert [convert.backend_from_message(number) for number in numbers] == list(NAMES)
    assert [convert.backend_to_message(name) for name in NAMES] == numbers
    assert convert.backend_from_message(backend_pb2.BACKEND_UNSPECIFIED) == SIMULATED
    assert {SIMULATED, RECORDED, "kubernetes"} <= set(NAMES)
    assert [AdaptConfig(backend=name).backend for name in NAMES] == list(NAMES)


def test_a_backend_that_the_contract_does_not_have_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidInput, match="backend: 'nomad' is none of simulated, load_profile, "):
        convert.backend_to_message("nomad")
    with pytest.raises(InvalidInput, match="AdaptConfig: backend: 'nomad' is none of simulated, load_profile, "):
        convert.to_message(AdaptConfig(backend="nomad"), settings_pb2.AdaptConfig)
    for wrong in ("", "Kubernetes", "a b", "1st"):
        with pytest.raises(InvalidInput, match="backend"):
            parse(AdaptConfig, {"backend": wrong}, "settings")


def test_sessions_open_every_backend_and_runs_use_some() -> None:
    assert {SIMULATED, RECORDED, *CLUSTERS} == set(NAMES)
    assert set(COLLECTORS) == set(RUN_BACKENDS) < set(NAMES)


@pytest.mark.parametrize(("command", "names"), [("act", NAMES), ("adapt", RUN_BACKENDS)])
def test_the_command_line_offers_every_backend(command: str, names: tuple[str, ...]) -> None:
    refusal = CliRunner().invoke(app, [command, "policy", "--backend", "x"]).output
    assert set(re.findall(r"'(\w+)'", refusal)) == {"x", *names}


def test_a_service_without_a_backend_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CLUSTERS, "kubernetes")
    with pytest.raises(InvalidInput, match="backend: this service can't open kubernetes"):
        open_session("kubernetes", TASK, 1, 0)


def test_a_backend_that_tasks_describe_by_its_name_needs_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    for item in (TASK, TaskDistribution()):
        check_backend(SIMULATED, [item])
        with pytest.raises(InvalidInput, match=r"task_ids\[1\]: must be a task with `kubernetes`"):
            check_backend("kubernetes", [TASK, item][-1:] * 2)
    monkeypatch.setitem(COLLECTORS, "nomad", COLLECTORS["kubernetes"])  # type: ignore[index]
    check_backend("nomad", [TASK])
