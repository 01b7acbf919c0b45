"""Writers on SQLite that share a transaction: who errs errs alone, and nobody is answered before the sync."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from lwmecps_core.errors import NotFound, ServiceUnavailable
from services.task_registry.database import Database

Work = Callable[[Session], Any]


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    made.write(lambda s: s.execute(sa.text("CREATE TABLE kept (n INTEGER PRIMARY KEY)")))
    return made


@pytest.fixture
def commits(sqlite: Database) -> list[int]:
    """Grows by every commit."""
    seen: list[int] = []
    event.listen(sqlite.engine, "commit", lambda connection: seen.append(1))
    return seen


def keep(n: int) -> Work:
    return lambda session: session.execute(sa.text("INSERT INTO kept VALUES (:n)"), {"n": n}).rowcount


def kept(database: Database) -> list[int]:
    with database.read() as session:
        return list(session.scalars(sa.text("SELECT n FROM kept ORDER BY n")))


def at_once(database: Database, works: list[Work], found: list[Future[Any]] | None = None) -> list[Future[Any]]:
    """What each comes to, put into `found`; they all wait while the first is at work, and so are of its group."""
    begun, go_on = threading.Event(), threading.Event()
    found = [] if found is None else found

    def first(session: Session) -> None:
        begun.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(len(works) + 1) as pool:
        opener = pool.submit(database.write, first)
        assert begun.wait(20)
        found.extend(pool.submit(database.write, work) for work in works)
        line = database._turns._line
        while len(line) < len(works):
            assert not any(future.done() for future in found)
        go_on.set()
        opener.exception(20)
    return found


def test_those_that_wait_share_one_commit(sqlite: Database, commits: list[int]) -> None:
    found = at_once(sqlite, [keep(n) for n in range(30)])
    assert [future.result() for future in found] == [1] * 30
    assert kept(sqlite) == list(range(30))
    assert len(commits) == 1


def test_the_error_of_one_is_its_own_and_undoes_only_what_it_did(sqlite: Database, commits: list[int]) -> None:
    sqlite.write(keep(7))
    commits.clear()

    def missing(session: Session) -> None:
        keep(100)(session)
        raise NotFound("task", "no-such-task")

    found = at_once(sqlite, [keep(1), missing, keep(2), keep(7), keep(3)])
    with pytest.raises(NotFound, match="no-such-task"):
        found[1].result()
    with pytest.raises(IntegrityError):
        found[3].result()
    assert [found[i].result() for i in (0, 2, 4)] == [1, 1, 1]
    assert kept(sqlite) == [1, 2, 3, 7]
    assert len(commits) == 1


def test_where_the_database_fails_in_the_work_of_one_the_others_are_done_apart(sqlite: Database) -> None:
    found = at_once(sqlite, [keep(1), lambda s: s.execute(sa.text("SELECT * FROM no_such_table")), keep(2)])
    with pytest.raises(ServiceUnavailable, match="no_such_table"):
        found[1].result()
    assert found[0].result() == found[2].result() == 1
    assert kept(sqlite) == [1, 2]


def test_nobody_is_answered_before_the_commit_and_nobody_believes_one_that_failed(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[bool] = []
    found: list[Future[Any]] = []

    def failing(connection: Any) -> None:
        answered.extend(future.done() for future in found)
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(sqlite.engine.dialect, "do_commit", failing)

    def wrong(session: Session) -> None:
        raise NotFound("run", "that-the-same-group-would-have-made")

    at_once(sqlite, [keep(1), wrong, keep(2)], found)
    assert answered == [False] * 3
    assert all(isinstance(future.exception(), ServiceUnavailable) for future in found)
    monkeypatch.undo()
    assert kept(sqlite) == []
    assert sqlite.write(keep(1)) == 1


def test_many_writers_on_and_on_are_all_served(sqlite: Database, commits: list[int]) -> None:
    def client(k: int) -> list[int]:
        return [sqlite.write(keep(k * 100 + i)) for i in range(25)]

    with ThreadPoolExecutor(16) as pool:
        assert all(done == [1] * 25 for done in pool.map(client, range(16)))
    assert len(kept(sqlite)) == 400
    assert len(commits) < 300
