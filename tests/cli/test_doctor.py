"""`lwmecps doctor` names what is wrong and what to do about it."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from lwmecps_core.errors import ServiceUnavailable
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from protos.lwmecps.learner.v1 import learner_pb2, learner_pb2_grpc
from protos.lwmecps.registry.v1 import registry_pb2, registry_pb2_grpc, run_pb2
from services.cli.doctor import _of_gateway
from services.cli.main import app
from services.cli.processes import free_port
from services.common.server import RunningServer, Service, start
from services.common.settings import ClientSettings, ServerSettings
from services.gateway.serving import RunningGateway
from services.gateway.settings import GatewaySettings


class Registry(registry_pb2_grpc.TaskRegistryServiceServicer):
    def ListRuns(self, request, context):
        run = run_pb2.Run(id="run-1", waiting_for="a learner: none has taken it for 20 s")
        return registry_pb2.ListRunsResponse(runs=[run] if request.state == run_pb2.RUN_STATE_PENDING else [])


class Env(env_pb2_grpc.EnvServiceServicer):
    def GetWorkerStatus(self, request, context):
        stopped = env_pb2.WorkerStatus(worker_id="w-0", state="WORKER_STATE_STOPPED", last_error="out of memory")
        return env_pb2.GetWorkerStatusResponse(workers=[stopped])


def _away() -> None:
    raise ServiceUnavailable("away")


@pytest.fixture
def ailing() -> Iterator[dict[str, str]]:
    """Addresses of services each of which lacks something."""
    services: dict[str, tuple[Any, Any, Any, str]] = {
        "registry": (registry_pb2, registry_pb2_grpc, Registry(), "database"),
        "env": (env_pb2, env_pb2_grpc, Env(), "workers"),
        "learner": (learner_pb2, learner_pb2_grpc, learner_pb2_grpc.LearnerServiceServicer(), "rollouts"),
    }
    running: dict[str, RunningServer] = {}
    for name, (module, stubs, servicer, lacks) in services.items():
        (descriptor,) = module.DESCRIPTOR.services_by_name.values()
        add = next(getattr(stubs, each) for each in dir(stubs) if each.startswith("add_"))
        running[name] = start(ServerSettings(token="t"), [Service(descriptor, servicer, add)], {lacks: _away})
    yield {name: server.address for name, server in running.items()}
    for server in running.values():
        server.drain(0)


def _findings(addresses: dict[str, str], *more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    where = [word for name, address in addresses.items() for word in (f"--{name}", address)]
    named = "--gateway" in more or "LWMECPS_CLI_GATEWAY" in os.environ
    own = [] if named else ["--gateway", f"http://127.0.0.1:{free_port()}"]
    result = CliRunner().invoke(app, [*where, "doctor", "--json", *own, *more])
    printed = result.stdout[result.stdout.index("[\n") :]  # after what the servers of this process have logged
    return result.exit_code, {finding["what"]: finding for finding in json.loads(printed)}


@pytest.fixture
def gateway(ailing: dict[str, str]) -> Iterator[str]:
    """The URL of a gateway to them that looks for its learner elsewhere."""
    settings = GatewaySettings(port=0, **{**ailing, "learner": f"127.0.0.1:{free_port()}"})
    running = RunningGateway(settings, ClientSettings())
    yield running.url
    running.close()


def test_each_dependency_that_is_away_is_named_with_the_variable_to_look_at(
    ailing: dict[str, str], gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LWMECPS_CLIENT_TOKEN", "t")
    code, found = _findings(ailing, "--gateway", gateway)
    assert code == 1
    assert "LWMECPS_REGISTRY_DATABASE_URL" in found["registry"]["remedy"]
    assert "LWMECPS_LEARNER_REDIS_URL" in found["learner"]["remedy"]
    assert "workers" in found["env"]["remedy"]
    assert "run-1 for a learner: none has taken it for 20 s" in found["waiting runs"]["found"]
    assert "slots" in found["waiting runs"]["remedy"] and "out of memory" in found["workers"]["remedy"]
    assert found["registry: version"]["remedy"] == "" == found["registry: clock"]["remedy"]


def test_without_a_token_it_says_how_to_give_one(
    ailing: dict[str, str], gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LWMECPS_CLIENT_TOKEN", raising=False)
    code, found = _findings(ailing, "--gateway", gateway)
    assert code == 1 and "LWMECPS_CLIENT_TOKEN" in found["workers"]["remedy"]


def test_another_version_and_a_clock_that_is_off_are_said(
    ailing: dict[str, str], gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.doctor.VERSION", "99.0")
    slow = type("Clock", (), {"time": staticmethod(lambda: time.time() - 60)})
    monkeypatch.setattr("services.common.health.time", slow)
    monkeypatch.setattr("services.gateway.app.time", slow)
    _, found = _findings(ailing, "--gateway", gateway)
    for name in ("env", "gateway"):
        assert "this command is of 99.0" in found[f"{name}: version"]["remedy"]
        assert found[f"{name}: clock"]["found"].startswith("-60") and "NTP" in found[f"{name}: clock"]["remedy"]


def test_a_service_that_does_not_answer_is_said_with_its_option(ailing: dict[str, str]) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    code, found = _findings(ailing | {"learner": nowhere}, "--redis-url", "redis://127.0.0.1:1/0")
    assert code == 3
    assert nowhere in found["learner"]["found"] and "LWMECPS_CLI_LEARNER" in found["learner"]["remedy"]
    assert "can't be reached" in found["redis"]["found"]


def test_a_gateway_is_asked_too_and_says_which_service_it_cannot_use(ailing: dict[str, str], gateway: str) -> None:
    _, found = _findings(ailing, "--gateway", gateway)
    assert f"{gateway} serving" in found["gateway"]["found"] and "learner (" in found["gateway"]["found"]
    assert "LWMECPS_GATEWAY_REGISTRY" in found["gateway"]["remedy"]
    assert found["gateway: version"]["remedy"] == "" == found["gateway: clock"]["remedy"]


def test_a_gateway_that_does_not_answer_is_said_with_its_option(ailing: dict[str, str]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    code, found = _findings(ailing, "--gateway", nowhere)
    assert code == 3 and f"{nowhere} does not answer" in found["gateway"]["found"]
    assert "LWMECPS_CLI_GATEWAY" in found["gateway"]["remedy"]


def test_a_gateway_is_named_by_its_variable_too(ailing: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LWMECPS_CLI_GATEWAY", nowhere := f"http://127.0.0.1:{free_port()}")
    code, found = _findings(ailing)
    assert code == 3 and f"{nowhere} does not answer" in found["gateway"]["found"]


def test_what_answers_in_place_of_a_gateway_is_said(ailing: dict[str, str]) -> None:
    code, found = _findings(ailing, "--gateway", f"http://{ailing['registry']}")
    assert code == 3 and "no gateway of ours: it doesn't speak HTTP/1; a gRPC port?" in found["gateway"]["found"]


def test_no_gateway_is_no_fault_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr("services.cli.doctor.GATEWAY", nowhere)
    (finding,) = _of_gateway("")
    assert finding.found.startswith(f"none at {nowhere}") and not finding.remedy and not finding.unreachable
