"""The table of sessions: bounded, reaped when idle, one call at a time per session."""

import threading

import pytest

from lwmecps_core.errors import NotFound, QueueFull
from services.env_service.sessions import SessionTable


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Content:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_session_over_the_limit_is_refused_until_another_closes() -> None:
    table = SessionTable[Content](2, 100, 60.0)
    first = table.open(Content)
    table.open(Content)
    with pytest.raises(QueueFull, match="2 sessions"):
        table.open(Content)
    table.close(first)
    assert table.open(Content) != first


def test_session_for_which_there_is_no_memory_is_refused_until_another_closes() -> None:
    table = SessionTable[Content](10, 100, 60.0)
    first = table.open(Content, 60)
    with pytest.raises(QueueFull, match="60 numbers already, of 100 that they may, and this one needs 41"):
        table.open(Content, 41)
    table.open(Content, 40)
    table.close(first)
    table.open(Content, 60)


def test_failed_creation_gives_its_place_back() -> None:
    table = SessionTable[Content](1, 100, 60.0)

    def fail() -> Content:
        raise ValueError("no such cluster")

    with pytest.raises(ValueError):
        table.open(fail)
    table.open(Content)


def test_idle_session_is_reaped_and_closed_once() -> None:
    clock, content = Clock(), Content()
    table = SessionTable[Content](2, 100, 60.0, clock)
    idle, busy = table.open(lambda: content), table.open(Content)
    clock.now_s = 50.0
    with table.use(busy):
        pass
    clock.now_s = 70.0
    assert table.reap() == 1
    assert content.closed == 1
    with pytest.raises(NotFound), table.use(idle):
        pass
    with table.use(busy):
        pass


def test_idle_sessions_make_room_for_a_new_one() -> None:
    clock = Clock()
    table = SessionTable[Content](1, 100, 60.0, clock)
    table.open(Content)
    clock.now_s = 61.0
    table.open(Content)
    assert len(table) == 1


def test_session_in_use_is_never_reaped() -> None:
    clock = Clock()
    table = SessionTable[Content](1, 100, 60.0, clock)
    session_id = table.open(Content)
    with table.use(session_id) as content:
        clock.now_s = 1000.0
        assert table.reap() == 0
        assert content.closed == 0


def test_calls_on_one_session_run_one_after_the_other() -> None:
    table = SessionTable[Content](1, 100, 60.0)
    session_id = table.open(Content)
    entered, order = threading.Event(), []

    def second() -> None:
        entered.set()
        with table.use(session_id):
            order.append("second")

    with table.use(session_id):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_call_that_waited_for_a_closed_session_is_told_so() -> None:
    table = SessionTable[Content](1, 100, 60.0)
    session_id = table.open(Content)
    closer = threading.Thread(target=table.close, args=(session_id,))
    with table.use(session_id) as content:
        closer.start()
        assert content.closed == 0
    closer.join(5)
    assert content.closed == 1
    with pytest.raises(NotFound), table.use(session_id):
        pass


def test_session_ids_are_long_and_never_repeat() -> None:
    table = SessionTable[Content](100, 100, 60.0)
    ids = {table.open(Content) for _ in range(100)}
    assert len(ids) == 100
    assert min(map(len, ids)) >= 22
