"""A server with more to do than it can: it says so at once, and its health goes on answering."""

import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lwmecps_core.errors import ServiceUnavailable
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.client import connect
from services.common.server import start
from services.common.settings import ServerSettings

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
        with connect(server.address) as greedy, grpc.insecure_channel(
            server.address, [("grpc.use_local_subchannel_pool", 1)]
        ) as modest:
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
