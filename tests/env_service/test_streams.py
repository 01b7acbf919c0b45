"""Streams give back what they hold, however they end."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert
from tests.env_service.conftest import Served, make_task, tensor

STEP = pb.StepStreamRequest(action=tensor(np.zeros((1, 6), np.int32)))


class Stream:
    """A stream whose requests are sent one by one."""

    def __init__(self, served: Served) -> None:
        task = convert.task_to_message(make_task())
        self.session_id = served.stub.CreateSession(pb.CreateSessionRequest(task=task)).session_id
        self._requests: queue.SimpleQueue[pb.StepStreamRequest | None] = queue.SimpleQueue()
        self.call: Any = served.stub.StepStream(iter(self._requests.get, None))
        self._requests.put(pb.StepStreamRequest(session_id=self.session_id, reset=pb.Reset()))

    def first_answer(self) -> Any:
        return next(self.call)

    def ask(self, request: pb.StepStreamRequest) -> Any:
        self._requests.put(request)
        return next(self.call)

    def half_close(self) -> None:
        self._requests.put(None)

    def cancel(self) -> None:
        self.call.cancel()
        self._requests.put(None)


def _open_within(served: Served, seconds: float) -> Stream:
    """A stream that answers; the place of one that just ended may take a moment to be given back."""
    end = time.monotonic() + seconds
    while True:
        stream = Stream(served)
        try:
            stream.first_answer()
            return stream
        except grpc.RpcError as error:
            stream.cancel()
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _half_close(stream: Stream) -> None:
    stream.half_close()
    assert list(stream.call) == []


def _fail(stream: Stream) -> None:
    bad = pb.StepStreamRequest(action=tensor(np.zeros((1, 1), np.int32)))
    with pytest.raises(grpc.RpcError):
        stream.ask(bad)
    stream.half_close()


@pytest.mark.parametrize("end", [_half_close, Stream.cancel, _fail])
def test_stream_that_ends_makes_room_for_another(serve: Callable[..., Served], end: Callable[[Stream], None]) -> None:
    served = serve(max_streams=1)
    for _ in range(3):
        stream = _open_within(served, 5.0)
        refused = Stream(served)
        with pytest.raises(grpc.RpcError) as caught:
            refused.first_answer()
        refused.half_close()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        end(stream)
    _open_within(served, 5.0).cancel()


def test_client_that_vanishes_between_answers_gives_its_session_lock_back(serve: Callable[..., Served]) -> None:
    served = serve()
    stream = Stream(served)
    stream.first_answer()
    stream.cancel()
    request = pb.ResetSessionRequest(session_id=stream.session_id)
    served.stub.ResetSession(request, timeout=5)


def test_stream_answers_every_message_in_order(serve: Callable[..., Served]) -> None:
    stream = Stream(serve())
    assert not stream.first_answer().transition.HasField("reward")
    ends = [stream.ask(STEP).transition.truncated.data for _ in range(12)]
    assert [t for t, end in enumerate(ends) if end == b"\x01"] == [4, 10]
    stream.half_close()


def test_first_message_must_name_the_session(serve: Callable[..., Served]) -> None:
    call = serve().stub.StepStream(iter([STEP]))
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "session_id" in caught.value.details()


def test_calls_and_streams_on_many_sessions_do_not_mix_them_up(serve: Callable[..., Served]) -> None:
    served = serve()
    results: dict[int, list[bytes]] = {}

    def drive(seed: int, name: int) -> None:
        task = convert.task_to_message(make_task())
        session_id = served.stub.CreateSession(pb.CreateSessionRequest(task=task, seed=seed)).session_id

        def requests() -> Iterator[pb.StepStreamRequest]:
            yield pb.StepStreamRequest(session_id=session_id, reset=pb.Reset())
            yield from [STEP] * 20

        results[name] = [r.transition.observation.data for r in served.stub.StepStream(requests())]

    threads = [threading.Thread(target=drive, args=(name % 3, name)) for name in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for name in range(3, 9):
        assert results[name] == results[name % 3]
    assert results[0] != results[1]
