"""What a server says about itself and what it depends on: by gRPC, by HTTP, and by reflection under both names."""

import json
import subprocess
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lwmecps_core.errors import ServiceUnavailable
from services.common.client import connect
from services.common.server import RunningServer, start
from services.common.settings import ServerSettings
from tests.common.conftest import FakeEnvService, env_service

ENV = "lwmecps.env.v1.EnvService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
BUF = Path(sysconfig.get_path("scripts")) / "buf"
TOKEN = "s3cret"


class Away:
    """Dependencies that tests take away."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def check(self, name: str) -> Callable[[], None]:
        def asked() -> None:
            if name in self.names:
                raise ServiceUnavailable(f"{name} is away")

        return asked


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def depending(away: Away) -> Iterator[RunningServer]:
    checks = {name: away.check(name) for name in ("rollouts", "workers")}
    server = start(ServerSettings(metrics_port=0), [env_service(FakeEnvService())], checks)
    yield server
    server.drain(0)


def _statuses(server: RunningServer) -> dict[str, int]:
    with connect(server.address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=5)
        return {name: status.status for name, status in answer.statuses.items()}


def _wait_for(server: RunningServer, wanted: dict[str, int]) -> None:
    deadline = time.monotonic() + 10
    while (found := _statuses(server)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _http(server: RunningServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_service_serves_when_all_that_it_depends_on_does(depending: RunningServer, away: Away) -> None:
    everything = {"": SERVING, ENV: SERVING, "rollouts": SERVING, "workers": SERVING}
    _wait_for(depending, everything)
    away.names = {"workers"}
    _wait_for(depending, everything | {ENV: NOT_SERVING, "workers": NOT_SERVING})
    away.names = {"rollouts", "workers"}
    _wait_for(depending, everything | dict.fromkeys((ENV, "rollouts", "workers"), NOT_SERVING))
    away.names = {"rollouts"}
    _wait_for(depending, everything | dict.fromkeys((ENV, "rollouts"), NOT_SERVING))
    away.names = set()
    _wait_for(depending, everything)


def test_nothing_that_depends_on_a_check_serves_before_it_was_made() -> None:
    release = threading.Event()

    def check() -> None:
        release.wait(10)

    checks = {"database": check}
    server = start(ServerSettings(), [env_service(FakeEnvService())], checks)
    try:
        assert _statuses(server) == {"": SERVING, ENV: NOT_SERVING, "database": NOT_SERVING}
        release.set()
        _wait_for(server, {"": SERVING, ENV: SERVING, "database": SERVING})
    finally:
        server.drain(0)


def test_probes_without_grpc_ask_the_metrics_port(depending: RunningServer, away: Away) -> None:
    _wait_for(depending, {"": SERVING, ENV: SERVING, "rollouts": SERVING, "workers": SERVING})
    assert _http(depending, "/health") == (200, "SERVING\n") == _http(depending, f"/health/{ENV}")
    away.names = {"rollouts"}
    _wait_for(depending, {"": SERVING, ENV: NOT_SERVING, "rollouts": NOT_SERVING, "workers": SERVING})
    assert _http(depending, f"/health/{ENV}") == (503, "NOT_SERVING\n")
    assert _http(depending, "/health") == (200, "SERVING\n")
    assert _http(depending, "/health/nothing") == (404, "SERVICE_UNKNOWN\n")
    assert _http(depending, "/metrics")[0] == 200 == _http(depending, "/")[0]


def test_watchers_of_a_draining_server_hear_of_it_for_every_name(depending: RunningServer) -> None:
    _wait_for(depending, {"": SERVING, ENV: SERVING, "rollouts": SERVING, "workers": SERVING})
    with connect(depending.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=ENV), timeout=10)
        assert next(watch).status == SERVING
        threading.Thread(target=depending.drain, args=(2,)).start()
        assert next(watch).status == NOT_SERVING
        watch.cancel()


@pytest.mark.parametrize("protocol", ["grpc-v1", "grpc-v1alpha"])
def test_buf_finds_and_calls_what_reflection_tells(serve: Callable[..., RunningServer], protocol: str) -> None:
    server = serve(ServerSettings())
    asked = ["--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", protocol]
    listed = _buf(*asked, "--list-methods", f"http://{server.address}")
    assert listed.returncode == 0, listed.stderr
    methods = set(listed.stdout.split())
    assert f"{ENV}/CloseSession" in methods and "grpc.health.v1.Health/List" in methods
    assert {f"grpc.reflection.{v}.ServerReflection/ServerReflectionInfo" for v in ("v1", "v1alpha")} <= methods
    for method in methods - {f"{ENV}/StepStream"}:
        if method.startswith("grpc.health"):
            called = _buf(*asked, "-d", "{}", f"http://{server.address}/{method}", timeout_s=20)
            if not method.endswith("/Watch"):
                assert called.returncode == 0, f"{method}: {called.stderr}"


def test_buf_with_a_token_sends_it_to_reflection_too(serve: Callable[..., RunningServer]) -> None:
    server = serve(ServerSettings(token=TOKEN))
    asked = ["--protocol", "grpc", "--http2-prior-knowledge", "-H", f"authorization: Bearer {TOKEN}"]
    where = ["-d", '{"session_id": "s"}', f"http://{server.address}/{ENV}/CloseSession"]
    assert "failed to find service" in _buf(*asked, *where).stderr  # as docs/cli.md warns: it means the token
    called = _buf(*asked, "--reflect-header", "*", *where)
    assert (called.returncode, json.loads(called.stdout)) == (0, {}), called.stderr


def test_everything_that_reflection_tells_of_is_implemented(serve: Callable[..., RunningServer]) -> None:
    server = serve(ServerSettings())
    with connect(server.address) as channel:
        for method in ("grpc.health.v1.Health/Check", "grpc.health.v1.Health/List"):
            channel.unary_unary(f"/{method}")(b"", timeout=5)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=5)
        next(watch)
        watch.cancel()
        for version in ("v1", "v1alpha"):
            method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            for _ in channel.stream_stream(method)(iter([b"\x3a\x00"]), timeout=5):
                pass
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            channel.unary_unary("/grpc.health.v1.Health/Other")(b"", timeout=5)


def _buf(*arguments: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    words = [str(BUF), "curl", *arguments]
    if arguments[-1].endswith("/Watch"):
        words = ["timeout", "2", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
