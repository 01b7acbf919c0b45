"""A learner and a registry that is overloaded; watchers that don't read."""

import threading
import time
from typing import Any

import grpc
import pytest

from lwmecps_core.errors import QueueFull, ServiceUnavailable
from services.learner_service.registry_client import RegistryClient
from services.learner_service.rpc import WAITING, _follow


def _client(patience_s: float) -> RegistryClient:
    return RegistryClient(grpc.insecure_channel("127.0.0.1:1"), "registry", "me", patience_s=patience_s)


def test_an_overloaded_registry_is_waited_for_and_does_not_fail_the_run() -> None:
    answers: list[Any] = [QueueFull("all streams in use"), ServiceUnavailable("gone"), "stored"]

    def call() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert _client(10)._retry(call) == "stored"


def test_one_that_stays_overloaded_is_as_good_as_away() -> None:
    def call() -> Any:
        raise QueueFull("all streams in use")

    with pytest.raises(ServiceUnavailable, match="all streams in use"):
        _client(0.05)._retry(call)


class Endless:
    """A stream that never ends; counts what was taken from it."""

    def __init__(self) -> None:
        self.taken, self.cancelled = 0, threading.Event()

    def __iter__(self) -> "Endless":
        return self

    def __next__(self) -> int:
        if self.cancelled.is_set():
            raise StopIteration
        self.taken += 1
        return self.taken

    def cancel(self) -> None:
        self.cancelled.set()


class Here:
    def is_active(self) -> bool:
        return True


def test_a_watcher_that_does_not_read_holds_its_source_back() -> None:
    news, context = Endless(), Here()
    stream: Any = _follow(news, context)  # type: ignore[arg-type]
    assert next(stream) == 1
    time.sleep(0.3)
    assert news.taken <= WAITING + 3
    assert [next(stream) for _ in range(50)] == list(range(2, 52))
    stream.close()
    assert news.cancelled.is_set()
    deadline = time.monotonic() + 5
    while any(thread.name == "watch" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(thread.name == "watch" for thread in threading.enumerate())
