"""A server with more to do than it can: it says so at once, and its health goes on answering."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lwmecps_core.errors import ServiceUnavailable
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.client import channel as client_module
from services.common import server as server_module
from services.common.client import connect
from services.common.server import RunningServer, start
from services.common.settings import ClientSettings, ServerSettings
from services.common.tokens import digest
from tests.chaos.doorway import Doorway

from .conftest import env_service

CLOSE = env_pb2.CloseSessionRequest(session_id="s")


class Slow(env_pb2_grpc.EnvServiceServicer):
    def __init__(self) -> None:
        self.release, self.begun = threading.Event(), 0

    def CloseSession(self, request, context):
        self.begun += 1
        self.release.wait(20)
        return env_pb2.CloseSessionResponse()


def test_calls_beyond_what_can_wait_are_refused_at_once_and_health_answers() -> None:
    servicer = Slow()
    server = start(ServerSettings(workers=2, max_streams=1, max_waiting=3), [env_service(servicer)])
    try:
        with connect(server.address) as channel:
            stub = env_pb2_grpc.EnvServiceStub(channel)
            held = [stub.CloseSession.future(CLOSE, timeout=20) for _ in range(5)]
            until = time.monotonic() + 5
            while server._pool.calls < 5 and time.monotonic() < until:
                time.sleep(0.01)
            begin = time.monotonic()
            refused = [stub.CloseSession.future(CLOSE, timeout=20) for _ in range(200)]
            assert {call.code() for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            health = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            assert time.monotonic() - begin < 5
            assert servicer.begun == 2
            servicer.release.set()
            for call in held:
                call.result()
            stub.CloseSession(CLOSE, timeout=5)
    finally:
        servicer.release.set()
        server.drain(0)


def test_one_connection_can_not_take_all_threads() -> None:
    servicer = Slow()
    settings = ServerSettings(workers=4, max_streams=1, max_calls_per_connection=2)
    server = start(settings, [env_service(servicer)])
    try:
        with (
            connect(server.address) as greedy,
            grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as modest,
        ):
            greedy_calls = [env_pb2_grpc.EnvServiceStub(greedy).CloseSession.future(CLOSE) for _ in range(20)]
            time.sleep(0.3)
            assert servicer.begun == 2
            one = env_pb2_grpc.EnvServiceStub(modest).CloseSession.future(CLOSE, timeout=10)
            until = time.monotonic() + 5
            while servicer.begun < 3 and time.monotonic() < until:
                time.sleep(0.01)
            assert servicer.begun == 3
            servicer.release.set()
            one.result()
            for call in greedy_calls:
                call.result()
    finally:
        servicer.release.set()
        server.drain(0)


def test_health_says_what_can_not_be_served_while_the_process_lives() -> None:
    away = threading.Event()

    def check() -> None:
        if away.is_set():
            raise ServiceUnavailable("the database is away")

    server = start(ServerSettings(), [env_service(Slow())], {"things": check})
    statuses = health_pb2.HealthCheckResponse
    try:
        with connect(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            news = health.Watch(health_pb2.HealthCheckRequest(service="things"), timeout=20)
            while next(news).status != statuses.SERVING:
                pass
            away.set()
            assert next(news).status == statuses.NOT_SERVING
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == statuses.SERVING
            away.clear()
            assert next(news).status == statuses.SERVING
            news.cancel()
    finally:
        server.drain(0)


class Held:
    """A stream on a connection of its own that stays open."""

    def __init__(self, address: str, token: str = "") -> None:
        self._channel = connect(address, ClientSettings(token=token))
        self._end = threading.Event()
        self.answers = env_pb2_grpc.EnvServiceStub(self._channel).StepStream(self._requests(), timeout=60)

    def _requests(self) -> Iterator[env_pb2.StepStreamRequest]:
        yield env_pb2.StepStreamRequest(session_id="s", reset=env_pb2.Reset())
        self._end.wait(60)

    def refusal(self) -> str:
        """Why it was refused; empty: it was not."""
        try:
            next(self.answers)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return str(error.details())
        return ""

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.answers.cancel()
        self._channel.close()


def greedy_and_modest(folder: Path) -> str:
    """A file of tokens that are their owners' names."""
    scopes = {"greedy": "run", "modest": "run", "learner": "admin"}
    entries = [{"name": n, "scope": scope, "sha256": digest(n).hex()} for n, scope in scopes.items()]
    (folder / "tokens.yaml").write_text(yaml.safe_dump(entries))
    return str(folder / "tokens.yaml")


def test_a_client_with_many_connections_leaves_room_for_calls_of_others(
    serve: Callable[..., RunningServer], tmp_path: Path
) -> None:
    servicer, tokens = Slow(), greedy_and_modest(tmp_path)
    server = serve(
        ServerSettings(workers=2, max_streams=1, max_waiting=6, max_calls_per_client=4, tokens_file=tokens), servicer
    )
    with ExitStack() as stack:

        def call(token: str) -> grpc.Future:
            channel = stack.enter_context(connect(server.address, ClientSettings(token=token)))
            future: grpc.Future = env_pb2_grpc.EnvServiceStub(channel).CloseSession.future(CLOSE, timeout=20)
            return future

        many = [call("greedy") for _ in range(10)]
        until = time.monotonic() + 5
        while sum(future.done() for future in many) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        refused = [future for future in many if future.done()]
        assert [future.code() for future in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 6
        waiting = [future for future in many if not future.done()]
        other = call("modest")
        waiting.pop().cancel()
        time.sleep(0.2)
        servicer.release.set()
        for future in (other, *waiting):
            future.result()
        for _ in range(20):
            call("greedy").result()


def test_a_client_with_many_connections_leaves_streams_to_others(
    serve: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = serve(
        ServerSettings(workers=8, max_streams=3, max_streams_per_client=2, tokens_file=greedy_and_modest(tmp_path))
    )
    with ExitStack() as stack:
        greedy = [stack.enter_context(Held(server.address, "greedy")) for _ in range(4)]
        refusals = [held.refusal() for held in greedy]
        assert sum(not text for text in refusals) == 2
        assert "greedy has 2 streams here already" in "".join(refusals)
        assert not stack.enter_context(Held(server.address, "modest")).refusal()
        assert "all 3 streams" in stack.enter_context(Held(server.address, "modest")).refusal()
    assert not any(_open_again(server, "greedy") for _ in range(3))


def test_a_learner_may_have_more_streams_than_a_client(serve: Callable[..., RunningServer], tmp_path: Path) -> None:
    server = serve(
        ServerSettings(workers=8, max_streams=3, max_streams_per_client=1, tokens_file=greedy_and_modest(tmp_path))
    )
    with ExitStack() as stack:
        assert not any(stack.enter_context(Held(server.address, "learner")).refusal() for _ in range(3))


def test_without_tokens_a_host_is_a_client(serve: Callable[..., RunningServer]) -> None:
    server = serve(ServerSettings(workers=8, max_streams=3, max_streams_per_client=1))
    with Held(server.address) as first:
        assert not first.refusal()  # before there is a second, which might get there first
        with Held(server.address) as second:
            assert "127.0.0.1 has 1 streams here already" in second.refusal()


def test_a_client_that_vanished_gives_its_stream_back(
    serve: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "KEEPALIVE_S", 0.5)
    monkeypatch.setattr(server_module, "KEEPALIVE_ANSWER_S", 0.5)
    server = serve(ServerSettings(workers=8, max_streams=1))
    with Doorway() as door:
        door.lead_to(server.port)
        with Held(f"127.0.0.1:{door.port}") as gone:
            assert not gone.refusal()
            time.sleep(3)  # alive and silent for a few rounds: it is left in peace
            assert "all 1 streams" in _open_again(server, wait_s=0)
            door.hold()
            assert not _open_again(server)


def test_a_client_is_told_within_seconds_that_its_server_vanished(
    serve: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "KEEPALIVE_S", 1.0)
    monkeypatch.setattr(client_module, "KEEPALIVE_ANSWER_S", 1.0)
    server = serve(ServerSettings())
    with Doorway() as door:
        door.lead_to(server.port)
        with Held(f"127.0.0.1:{door.port}") as held:
            assert not held.refusal()
            door.hold()
            began = time.monotonic()
            with pytest.raises(grpc.RpcError) as caught:
                next(held.answers)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - began < 20


def _open_again(server: RunningServer, token: str = "", wait_s: float = 10.0) -> str:
    """Why no stream was given within `wait_s`; empty: one was."""
    until = time.monotonic() + wait_s
    while True:
        with Held(server.address, token) as held:
            refusal = held.refusal()
        if not refusal or time.monotonic() > until:
            return refusal
        time.sleep(0.1)
