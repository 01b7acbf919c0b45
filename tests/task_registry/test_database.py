"""Many callers at once on either database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from lwmecps_core.errors import ServiceUnavailable
from services.task_registry import database as module
from services.task_registry.database import Database


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path / 'registry.db'}")


def test_on_sqlite_writers_wait_without_a_connection_and_all_get_their_turn(sqlite: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> int:
        session.execute(sa.select(1))
        begun.set()
        assert go_on.wait(20)
        return 0

    with ThreadPoolExecutor(31) as pool:
        first = pool.submit(sqlite.write, slow)
        assert begun.wait(20)
        others = [pool.submit(sqlite.write, lambda s, n=n: s.scalar(sa.select(n))) for n in range(30)]
        sqlite.check()
        assert sqlite.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
        go_on.set()
        assert first.result(20) == 0
        assert [other.result(20) for other in others] == list(range(30))


def test_a_writer_that_waits_for_too_long_is_told_so(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 50)

    def impatient(_: Session) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(sqlite.write, lambda session: None).result(20)

    with pytest.raises(ServiceUnavailable, match="busy"):
        sqlite.write(impatient)
    sqlite.write(lambda session: None)


def test_a_call_that_finds_all_connections_in_use_can_be_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(database.engine.connect())
        with pytest.raises(ServiceUnavailable, match="all connections are in use"):
            database.check()
        with pytest.raises(ServiceUnavailable, match="all connections are in use"):
            database.write(lambda session: session.execute(sa.select(1)))
    database.check()
