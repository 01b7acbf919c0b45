"""Parts that are made when they are first needed."""

import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from services.common.late import Late, LateServicer


def test_many_threads_that_ask_first_get_one_and_the_same() -> None:
    made: list[object] = []

    def make() -> object:
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    late, got = Late(make), list[object]()
    threads = [threading.Thread(target=lambda: got.append(late())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and got == made * 8


def test_a_part_that_can_not_be_made_ends_the_process_and_is_told_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))

    def make() -> None:
        raise ImportError("no module named torch")

    late = Late(make)
    late.check()
    for ask in (late, late, late.check):
        with pytest.raises(ImportError, match="torch"):
            ask()
    assert told == [(os.getpid(), signal.SIGTERM)]


def test_the_servicer_is_looked_for_at_the_first_call_and_not_before() -> None:
    asked: list[str] = []

    def find() -> Any:
        asked.append("found")
        return SimpleNamespace(Act=lambda request, context: (request, context))

    act = LateServicer(find).Act
    assert asked == []
    assert act("request", "context") == ("request", "context") and asked == ["found"]
