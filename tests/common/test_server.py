"""A server over real connections: checks, limits, health, reflection, metrics, end."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lwmecps_core.errors import InvalidInput, QueueFull, ServiceUnavailable
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.client import connect
from services.common.errors import rpc_errors
from services.common.server import start
from services.common.settings import ClientSettings, ServerSettings

ROOT = Path(__file__).resolve().parents[2]
CLOSE = env_pb2.CloseSessionRequest(session_id="s")
RESET = env_pb2.StepStreamRequest(session_id="s", reset=env_pb2.Reset())


def _commands(items: "queue.Queue[env_pb2.StepStreamRequest | None]"):
    while (item := items.get()) is not None:
        yield item


def test_a_bad_request_names_each_field_and_never_reaches_the_service(servicer, stub) -> None:
    request = env_pb2.CreateSessionRequest(seed=-1, num_envs=5000)
    request.task.cluster.nodes.add(name="a", cpu_millicores=1)
    with pytest.raises(InvalidInput) as caught, rpc_errors("here"):
        stub.CreateSession(request, timeout=5)
    blamed = {violation.field for violation in caught.value.violations}
    assert {"seed", "num_envs", "task.name", "task.cluster.nodes[0].ram_mib", "task.workload"} <= blamed
    assert servicer.calls == []


def test_a_bad_message_in_a_stream_ends_it_with_the_field(stub) -> None:
    bad = env_pb2.StepStreamRequest(action=tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_UNSPECIFIED))
    answers = stub.StepStream(iter([RESET, bad]), timeout=5)
    with pytest.raises(InvalidInput) as caught, rpc_errors("here"):
        assert len(list(answers)) == 1
    assert [violation.field for violation in caught.value.violations] == ["action.dtype"]


def test_streams_beyond_the_limit_are_refused_and_leave_room_for_calls(stub) -> None:
    inputs = [queue.Queue() for _ in range(2)]
    streams = [stub.StepStream(_commands(items), timeout=10) for items in inputs]
    for items, stream in zip(inputs, streams, strict=True):
        items.put(RESET)
        next(stream)
    with pytest.raises(QueueFull, match="2 streams"), rpc_errors("here"):
        list(stub.StepStream(iter([RESET]), timeout=5))
    stub.CloseSession(CLOSE, timeout=5)
    for items, stream in zip(inputs, streams, strict=True):
        items.put(None)
        list(stream)
    assert len(list(stub.StepStream(iter([RESET]), timeout=5))) == 1


def test_a_stream_whose_client_hung_up_gives_its_place_back(stub) -> None:
    for _ in range(5):
        items: queue.Queue = queue.Queue()
        stream = stub.StepStream(_commands(items), timeout=10)
        items.put(RESET)
        deadline = time.monotonic() + 5
        while True:
            try:
                next(stream)
                break
            except grpc.RpcError as error:  # the place of the one before is given back a moment later
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert time.monotonic() < deadline
                items.put(None)
                items = queue.Queue()
                stream = stub.StepStream(_commands(items), timeout=10)
                items.put(RESET)
        stream.cancel()
        items.put(None)


def test_calls_from_many_threads_are_all_checked(stub) -> None:
    failures: list[int] = []

    def work() -> None:
        for _ in range(20):
            stub.CloseSession(CLOSE, timeout=10)
            try:
                stub.CloseSession(env_pb2.CloseSessionRequest(), timeout=10)
            except grpc.RpcError as error:
                failures.append(error.code() is grpc.StatusCode.INVALID_ARGUMENT)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [True] * 160


def test_a_call_whose_deadline_passed_while_it_waited_is_never_begun(serve) -> None:
    begun: list[str] = []
    release = threading.Event()

    class Slow(env_pb2_grpc.EnvServiceServicer):
        def CloseSession(self, request, context):
            begun.append(request.session_id)
            release.wait(10)
            return env_pb2.CloseSessionResponse()

    server = serve(ServerSettings(workers=2, max_streams=1), Slow())
    with connect(server.address) as channel:
        stub = env_pb2_grpc.EnvServiceStub(channel)
        busy = [stub.CloseSession.future(CLOSE, timeout=10) for _ in range(2)]
        while len(begun) < 2:
            time.sleep(0.01)
        with pytest.raises(grpc.RpcError) as caught:
            stub.CloseSession(env_pb2.CloseSessionRequest(session_id="late"), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        release.set()
        for call in busy:
            call.result()
        stub.CloseSession(env_pb2.CloseSessionRequest(session_id="after"), timeout=5)
    assert begun == ["s", "s", "after"]


def test_a_message_over_the_limit_is_refused(stub) -> None:
    action = tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_UINT8, shape=[2 << 20], data=bytes(2 << 20))
    with pytest.raises(grpc.RpcError) as caught:
        stub.StepSession(env_pb2.StepSessionRequest(session_id="s", action=action), timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_and_reflection_answer(server) -> None:
    with connect(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "lwmecps.env.v1.EnvService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert "lwmecps.env.v1.EnvService" in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_calls_are_counted_for_prometheus(server, stub) -> None:
    stub.CloseSession(CLOSE, timeout=5)
    with pytest.raises(grpc.RpcError):
        stub.CloseSession(env_pb2.CloseSessionRequest(), timeout=5)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    method = 'method="/lwmecps.env.v1.EnvService/CloseSession"'
    assert f'lwmecps_calls_total{{code="OK",{method}}}' in text
    assert f'lwmecps_calls_total{{code="INVALID_ARGUMENT",{method}}}' in text
    assert f"lwmecps_call_seconds_count{{{method}}}" in text


def test_a_port_that_is_taken_is_named(server, servicer) -> None:
    with pytest.raises(ServiceUnavailable, match=server.address):
        start(ServerSettings(port=server.port), [])


def test_without_the_token_only_health_answers(serve) -> None:
    server = serve(ServerSettings(token="s3cret"))
    for settings, allowed in (
        (ClientSettings(), False),
        (ClientSettings(token="wrong"), False),
        (ClientSettings(token="s3cret"), True),
    ):
        with connect(server.address, settings) as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            stub = env_pb2_grpc.EnvServiceStub(channel)
            for call in (
                lambda s=stub: s.CloseSession(CLOSE, timeout=5),
                lambda s=stub: list(s.StepStream(iter([RESET]), timeout=5)),
            ):
                if allowed:
                    call()
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_an_open_stream_ends_when_the_server_drains_and_its_health_says_so_first(serve) -> None:
    class Watch(env_pb2_grpc.EnvServiceServicer):
        def StepStream(self, request_iterator, context):
            while context.is_active():
                yield env_pb2.StepStreamResponse()
                time.sleep(0.01)

    server = serve(ServerSettings(), Watch())
    with connect(server.address) as channel:
        statuses = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
        stream = env_pb2_grpc.EnvServiceStub(channel).StepStream(iter([RESET]), timeout=10)
        next(stream)
        started = time.monotonic()
        drain = threading.Thread(target=server.drain, args=(8,))
        drain.start()
        assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(ServiceUnavailable, match="shutting down"), rpc_errors(server.address):
            list(stream)
        statuses.cancel()
        drain.join()
        assert time.monotonic() - started < 4


PROCESS = """
import sys
import time
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common.server import Service, serve
from services.common.settings import ServerSettings

class Slow(env_pb2_grpc.EnvServiceServicer):
    def CloseSession(self, request, context):
        print("called", flush=True)
        time.sleep(0.7)
        return env_pb2.CloseSessionResponse()

descriptor = env_pb2.DESCRIPTOR.services_by_name["EnvService"]
serve(ServerSettings(port=int(sys.argv[1]), log_format="json"),
      [Service(descriptor, Slow(), env_pb2_grpc.add_EnvServiceServicer_to_server)],
      name="slow", on_stop=[lambda: print("stopping", flush=True)])
"""


def test_sigterm_lets_the_call_in_progress_finish(free_port) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(free_port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        with connect(f"127.0.0.1:{free_port}") as channel:
            grpc.channel_ready_future(channel).result(20)
            call = env_pb2_grpc.EnvServiceStub(channel).CloseSession.future(CLOSE, timeout=10)
            assert process.stdout is not None
            assert process.stdout.readline() == "called\n"
            process.send_signal(signal.SIGTERM)
            assert call.result() == env_pb2.CloseSessionResponse()
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert "stopping" in out
    assert [line for line in err.splitlines() if '"event": "stopped"' in line and '"service": "slow"' in line]
